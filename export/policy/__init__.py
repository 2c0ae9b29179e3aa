"""The policy, from scores to levels: thresholds with hysteresis, recommendations, overrides, the breaker. Pure."""

from export.policy.outcome import (
    OutcomeParts,
    is_alert,
    is_new_level,
    is_possible,
    level_after,
    level_before,
    transition,
)
from export.policy.rules import NO_BREAKER, Breaker, Policy, decide
from export.policy.settings import Target, Terms, positive, terms, whole
from export.policy.tables import Level, Recommendation, Transition, Zone

__all__ = [
    "NO_BREAKER",
    "Breaker",
    "Level",
    "OutcomeParts",
    "Policy",
    "Recommendation",
    "Target",
    "Terms",
    "Transition",
    "Zone",
    "decide",
    "is_alert",
    "is_new_level",
    "is_possible",
    "keys",
    "level_after",
    "level_before",
    "outcome",
    "positive",
    "terms",
    "transition",
    "whole",
]
