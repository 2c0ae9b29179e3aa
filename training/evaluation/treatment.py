"""Frozen values of fairness.py: what the model does to groups of customers. Rates are in 0..1."""

from msgspec import Struct

from training.statistics.interval import Interval


class GroupOutcome(Struct, frozen=True):
    """Rate at which one thing happened to a group, and its ratio to the group of reference."""

    outcome: str  # one of training.evaluation.fairness.OUTCOMES
    n: int  # customers to whom it could have happened
    count: int
    rate: Interval
    ratio: (
        Interval | None
    )  # to the rate of the reference; None where the group is too small, and of the reference
    finding: str  # one of training.evaluation.fairness.FINDINGS


class GroupFigures(Struct, frozen=True):
    """Outcomes of customers with one value of a protected or sensitive field."""

    group: str
    n: int
    positives: int
    outcomes: tuple[GroupOutcome, ...]
    false_negative_rate: Interval  # positives that never were HIGH
    precision: Interval  # positives among those that were HIGH at any time


class Fairness(Struct, frozen=True):
    """Groups by one field, the largest first; `reference` is the largest with a known value, empty if none is."""

    field: str  # event_type.field
    is_protected: bool
    reference: str
    groups: tuple[GroupFigures, ...]  # large enough to be shown
    small: tuple[str, ...] = ()  # names of the others
    small_customers: int = 0
    known: int = 0  # customers with a value
    features: tuple[str, ...] = ()  # that are made of the field
    comparisons: int = 0  # all that the ratios' intervals hold for together
