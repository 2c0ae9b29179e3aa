"""Vectors: the kernel's raw columns and the event's own values, combined by the declared formulas.

Only elementwise IEEE arithmetic, so that bits do not depend on how events were batched. Missing is NaN: a
ratio over 0, a difference with a missing side, a category nobody has told yet (in each of its columns).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from features.events import Batch
from features.usecase import Age, Copy, Difference, Equals, Feature, Ratio, Raw, UseCase

DAY_US = 86_400_000_000
DAYS_PER_YEAR = 365.25
MAX_FLOAT32 = float(np.finfo(np.float32).max)

Floats = NDArray[np.float64]
Places = slice | NDArray[np.intp]


@dataclass(frozen=True)
class _Assembly:
    """Columns that are copied as they are, entity by entity, and the features that need arithmetic."""

    copies: tuple[tuple[str, Places, Places], ...]  # entity, to, from
    others: tuple[tuple[int, Feature], ...]


@lru_cache(maxsize=64)
def _assembly(use_case: UseCase) -> _Assembly:
    copies: dict[str, list[tuple[int, int]]] = {}
    others = []
    for position, feature in enumerate(use_case.table):
        formula = feature.formula
        if isinstance(formula, Copy) and formula.source.column >= 0:
            copies.setdefault(feature.entity, []).append((position, formula.source.column))
        else:
            others.append((position, feature))
    pairs = [(entity, _places([t for t, _ in c]), _places([f for _, f in c])) for entity, c in copies.items()]
    return _Assembly(tuple(pairs), tuple(others))


def _places(numbers: list[int]) -> Places:
    """Return the places as a slice if they follow one another, which is several times as fast."""
    follow = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return slice(numbers[0], numbers[-1] + 1) if follow else np.array(numbers)


def vectors(batch: Batch, raw: Mapping[str, Floats]) -> NDArray[np.float32]:
    """float32[n, F] of `raw` (by entity, float64[n, plan.raw_columns]), columns as `use_case.features`."""
    assembly = _assembly(batch.use_case)
    found = np.empty((len(batch), len(batch.use_case.table)), dtype=np.float32)
    with np.errstate(all="ignore"):  # NaN in, NaN out; division by zero is NaN below
        for entity, to, origin in assembly.copies:
            found[:, to] = raw[entity][:, origin]
        for position, feature in assembly.others:
            found[:, position] = _column(batch, raw, feature)
    return found


def _column(batch: Batch, raw: Mapping[str, Floats], feature: Feature) -> Floats:
    def of(source: Raw) -> Floats:
        if source.column < 0:
            return batch.event_values[source.field]
        return raw[feature.entity][:, source.column]

    match feature.formula:
        case Copy(source):
            return of(source)
        case Ratio(left, right):
            return _finite(of(left) / of(right))
        case Difference(left, right):
            return of(left) - of(right)
        case Age(source):
            return (batch.time_us / DAY_US - of(source)) / DAYS_PER_YEAR
        case Equals(source, code):
            return _equals(of(source), code)


def _finite(numbers: Floats) -> Floats:
    """NaN for what float32 cannot hold: division by zero or by next to nothing."""
    return np.where(np.abs(numbers) <= MAX_FLOAT32, numbers, np.nan)


def _equals(codes: Floats, code: int) -> Floats:
    return np.where(np.isnan(codes), np.nan, (codes == code).astype(np.float64))
