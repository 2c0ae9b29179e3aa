"""How rows and fields change from week to week: population stability index against frozen bins of the first weeks.

Weeks begin on Monday, 00:00 UTC. The first quarter of the weeks, at least one, is the reference.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2  # type: ignore[import-untyped,unused-ignore]

from export.reference import freeze
from features.masks import DAY_US, THURSDAY
from features.schema import Kind
from features.times import rfc3339
from training.profile.columns import MOST_VALUES
from training.profile.facts import Drift, Week
from training.profile.frames import Frame, Texts
from training.profile.labels import Outcome

WEEK_US = 7 * DAY_US
MONDAY_US = (7 - THURSDAY) * DAY_US  # the first Monday after 1970-01-01
LEAST_ROWS = 30  # fewer say nothing about ten bins
LEAST_SHARE = 1e-4  # in place of 0, whose logarithm is infinite
CONFIDENCE = 0.95

Ints = NDArray[np.int64]


def weeks(frame: Frame, outcome: Outcome) -> tuple[tuple[Week, ...], Ints]:
    """All weeks from the first to the last event, also empty ones; and the week of each row."""
    number = (frame.time_us - MONDAY_US) // WEEK_US
    week = number - number.min()
    size = int(week.max()) + 1
    rows = np.bincount(week, minlength=size)
    pairs = np.unique(week * len(frame.subject.words) + frame.subject.codes)
    subjects = np.bincount(pairs // len(frame.subject.words), minlength=size)
    positive, known = (np.bincount(week[chosen], minlength=size) for chosen in (outcome == 1, outcome >= 0))
    starts = (np.arange(size) + number.min()) * WEEK_US + MONDAY_US
    found = tuple(
        Week(rfc3339(int(starts[w]))[:10], int(rows[w]), int(subjects[w]), _share(positive[w], known[w]))
        for w in range(size)
    )
    return found, week


def _share(part: np.int64, whole: np.int64) -> float | None:
    return float(part / whole) if whole else None


def reference_weeks(count: int) -> int:
    return max(1, count // 4)


def drifts(frame: Frame, week: Ints) -> tuple[Drift, ...]:
    """Of every field but times, which always move on; none if there is only one week."""
    size = int(week.max()) + 1
    first = reference_weeks(size)
    if size == first:
        return ()
    fields = (f for f in frame.event_type.fields.values() if f.kind is not Kind.TIME)
    return tuple(_drift(f.name, _bins(frame, f.name, week < first), week, first) for f in fields)


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


def _drift(field: str, bins: Ints, week: Ints, first: int) -> Drift:
    width = int(bins.max()) + 1
    counts = np.bincount(week * width + bins, minlength=(int(week.max()) + 1) * width).reshape(-1, width)
    reference = counts[:first].sum(axis=0)
    found = [_of_week(reference, count) for count in counts]
    beyond = [max(0.0, index - by_chance) for index, by_chance in filter(None, found[:first])]
    later = [None] * first + found[first:]
    return Drift(
        field=field,
        psi=tuple(each and each[0] for each in later),
        chance=tuple(each and each[1] for each in later),
        usual=float(np.quantile(beyond, CONFIDENCE)) if beyond else 0.0,
    )


def _of_week(reference: Ints, count: Ints) -> tuple[float, float] | None:
    """The index and what chance gives."""
    return (psi(reference, count), chance(reference, count)) if count.sum() >= LEAST_ROWS else None


def psi(expected: Sequence[int] | Ints, found: Sequence[int] | Ints) -> float:
    """Sum over bins of (a - e) ln(a / e), a and e the shares of the counts found and expected."""
    a, e = (np.maximum(np.array(n) / np.sum(n), LEAST_SHARE) for n in (found, expected))
    return float(((a - e) * np.log(a / e)).sum())


def chance(expected: Ints, found: Ints) -> float:
    """What the index exceeds in 1 of 20 weeks although nothing has changed."""
    bins = int(((expected + found) > 0).sum())
    spread = 1 / expected.sum() + 1 / found.sum()
    return float(chi2.ppf(CONFIDENCE, bins - 1) * spread) if bins > 1 else 0.0
