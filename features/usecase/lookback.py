"""Lookback of each feature: after a cold start its window fills first, and counts over `ever` only grow."""

from collections.abc import Iterator
from typing import NamedTuple

from features.kernel.plan import EVER, Statistic
from features.usecase.file import UseCase
from features.usecase.schema import Age, Copy, Difference, Equals, Feature, Formula, Ratio, Raw

GROWING = frozenset({Statistic.COUNT, Statistic.SINCE_FIRST})  # over `ever`, with the age of the record


class Lookback(NamedTuple):
    """`window_us` is the longest window, 0 without one.

    `ever`: it looks back over all of the customer's record; `grows`: with the record's age.
    """

    window_us: int
    ever: bool
    grows: bool


def lookbacks(use_case: UseCase) -> tuple[Lookback, ...]:
    """One for each feature, in vector order."""
    return tuple(_lookback(use_case, feature) for feature in use_case.table)


def _lookback(use_case: UseCase, feature: Feature) -> Lookback:
    outputs = use_case.by_entity[feature.entity].outputs if feature.entity else ()
    used = [outputs[raw.column] for raw in _sides(feature.formula) if 0 <= raw.column < len(outputs)]
    windows = [window.length_us for _, _, window in used]
    ever = {statistic for _, statistic, window in used if window.length_us == EVER}
    return Lookback(max(windows, default=0), bool(ever), not ever.isdisjoint(GROWING))


def _sides(formula: Formula) -> Iterator[Raw]:
    match formula:
        case Ratio(of, other) | Difference(of, other):
            yield from (of, other)
        case Copy(source) | Age(source) | Equals(source, _):
            yield source
