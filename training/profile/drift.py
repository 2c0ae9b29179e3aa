"""Changes of fields from period to period: population stability index against frozen bins of the first periods.

The first quarter of the periods, at least one, is the reference.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2  # type: ignore[import-untyped,unused-ignore]

from export.distributions.reference import freeze
from features.usecase import Kind
from training.profile.columns import MOST_VALUES
from training.profile.facts import FieldDrift
from training.profile.frames import Frame, Texts
from training.profile.periods import reference_periods

LEAST_ROWS = 30  # fewer say nothing about ten bins
LEAST_SHARE = 1e-4  # in place of 0, whose logarithm is infinite
CONFIDENCE = 0.95

Ints = NDArray[np.int64]


def drifts(frame: Frame, period: Ints) -> tuple[FieldDrift, ...]:
    """Return the drift of every field but times, which always move on; none if there is only one period."""
    size = int(period.max()) + 1
    first = reference_periods(size)
    if size == first:
        return ()
    fields = (f for f in frame.event_type.fields.values() if f.kind is not Kind.TIME)
    return tuple(_drift(f.name, _bins(frame, f.name, period < first), period, first) for f in fields)


def _bins(frame: Frame, field: str, is_reference: NDArray[np.bool_]) -> Ints:
    """The bin of each row, as the reference has them; missing is the last."""
    missing = frame.missing(field)
    if field in frame.numbers:
        values = frame.numbers[field]
        edges = np.array(freeze(values[is_reference]).edges)
        return np.where(missing, len(edges) + 1, np.searchsorted(edges, values, side="left"))
    return _of_texts(frame.texts[field], missing)


def _of_texts(texts: Texts, missing: NDArray[np.bool_]) -> Ints:
    if len(texts.words) > MOST_VALUES:
        return missing.astype(np.int64)
    return np.where(missing, len(texts.words), texts.codes)


def _drift(field: str, bins: Ints, period: Ints, first: int) -> FieldDrift:
    width = int(bins.max()) + 1
    counts = np.bincount(period * width + bins, minlength=(int(period.max()) + 1) * width).reshape(-1, width)
    reference = counts[:first].sum(axis=0)
    indices = [_of_period(reference, count) for count in counts]
    beyond = [max(0.0, index - by_chance) for index, by_chance in filter(None, indices[:first])]
    later = [None] * first + indices[first:]
    return FieldDrift(
        field=field,
        psi=tuple(each and each[0] for each in later),
        chance=tuple(each and each[1] for each in later),
        usual=float(np.quantile(beyond, CONFIDENCE)) if beyond else 0.0,
    )


def _of_period(reference: Ints, count: Ints) -> tuple[float, float] | None:
    """The index and what chance gives."""
    return (psi(reference, count), chance(reference, count)) if count.sum() >= LEAST_ROWS else None


def psi(expected: Sequence[int] | Ints, observed: Sequence[int] | Ints) -> float:
    """Sum over bins of (a - e) ln(a / e), a and e the shares of the counts found and expected."""
    a, e = (np.maximum(np.array(n) / np.sum(n), LEAST_SHARE) for n in (observed, expected))
    return float(((a - e) * np.log(a / e)).sum())


def chance(expected: Ints, observed: Ints) -> float:
    """Return the index that 1 of 20 periods exceed although nothing has changed."""
    bins = int(((expected + observed) > 0).sum())
    spread = 1 / expected.sum() + 1 / observed.sum()
    return float(chi2.ppf(CONFIDENCE, bins - 1) * spread) if bins > 1 else 0.0
