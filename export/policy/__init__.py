"""From scores to levels: thresholds with hysteresis, recommendations, overrides and the breaker, as tables. Pure."""

from export.policy.rules import (
    NO_BREAKER,
    OUTCOME_BITS,
    Breaker,
    Policy,
    change,
    decide,
    level_after,
    level_before,
)
from export.policy.settings import Target, Terms, positive, terms, whole
from export.policy.tables import Change, Level, Recommendation, Zone

__all__ = [
    "NO_BREAKER",
    "OUTCOME_BITS",
    "Breaker",
    "Change",
    "Level",
    "Policy",
    "Recommendation",
    "Target",
    "Terms",
    "Zone",
    "change",
    "decide",
    "level_after",
    "level_before",
    "positive",
    "terms",
    "whole",
]
