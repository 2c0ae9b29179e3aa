"""Feature values where no event has a value in some fields, as in files that lack a column.

Counts, sums and numbers of different values are 0 then, other statistics, attributes and values of the event unknown
(NaN). An aggregate that asks for events without a value is taken as one that finds none.
"""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from features.kernel.plan import Statistic
from features.usecase.file import UseCase
from features.usecase.schema import Difference, Feature, Ratio, Raw

EMPTY = frozenset({Statistic.COUNT, Statistic.SUM, Statistic.DISTINCT})  # 0 where nothing is counted
UNKNOWN = float("nan")


def blanked(use_case: UseCase, vectors: NDArray[np.float32], lacking: Collection[str]) -> NDArray[np.float32]:
    """A copy of `vectors` [n, F] as it is without values in the fields `lacking` (event_type.field).

    Of a ratio or difference one of whose sides does not need the fields, the value that is left is not known from the
    vector: it is taken as unknown, but for a ratio whose upper side is 0.
    """
    blank = vectors.copy()
    for k, feature in enumerate(use_case.table):
        value = _blank(use_case, feature, lacking)
        if value is not None:
            blank[:, k] = np.where(np.isnan(blank[:, k]) & (value == 0), UNKNOWN, value)
    return blank


def _blank(use_case: UseCase, feature: Feature, lacking: Collection[str]) -> float | None:
    """The feature's value; None if it needs none of the fields."""
    match feature.formula:
        case Ratio(of, over):
            upper, lower = (_raw(use_case, feature, side, lacking) for side in (of, over))
            return None if upper is None and lower is None else UNKNOWN if lower is not None else upper
        case Difference(of, minus):
            sides = [_raw(use_case, feature, side, lacking) for side in (of, minus)]
            known = [side for side in sides if side is not None]
            return None if not known else known[0] - known[1] if len(known) == len(sides) else UNKNOWN
        case formula:
            return _raw(use_case, feature, formula.source, lacking)


def _raw(use_case: UseCase, feature: Feature, raw: Raw, lacking: Collection[str]) -> float | None:
    if raw.column < 0:
        types = [t.name for t in use_case.event_types.values() if t.scored and raw.field in t.fields]
        return UNKNOWN if types and all(f"{name}.{raw.field}" in lacking for name in types) else None
    declared = use_case.by_entity[feature.entity]
    if raw.column >= len(declared.outputs):  # an attribute
        return UNKNOWN if set(feature.fields) & set(lacking) else None
    lane, statistic, _ = declared.outputs[raw.column]
    aggregate = declared.aggregates[lane]
    used = [each.field for each in aggregate.where] + [aggregate.value, aggregate.distinct]
    if not any(f"{aggregate.event_type}.{name}" in lacking for name in used if name):
        return None
    return 0.0 if statistic in EMPTY else UNKNOWN
