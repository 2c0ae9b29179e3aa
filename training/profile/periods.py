"""The periods of a history: weeks from Monday, 00:00 UTC, or calendar months of data that have one time a month."""

import numpy as np
from numpy.typing import NDArray

from features.events import DAY_US, THURSDAY
from features.times import rfc3339
from training.profile.facts import ProfilePeriod
from training.profile.frames import Frame
from training.profile.labels import Outcome

WEEK_US = 7 * DAY_US
MONDAY_US = (7 - THURSDAY) * DAY_US  # the first Monday after 1970-01-01
LEAST_MONTHS = 3  # of fewer, one time a month may be chance
LEAST_ROWS = 2  # a time, on average: a handful of rows in as many months is not monthly data

Ints = NDArray[np.int64]


def is_monthly(time_us: NDArray[np.number]) -> bool:
    """Return True if each calendar month (UTC) has one time at most, in at least LEAST_MONTHS months."""
    times_us = np.unique(time_us)
    months = np.unique(month_of(times_us))
    return LEAST_MONTHS <= len(months) == len(times_us) <= len(time_us) / LEAST_ROWS


def month_of(time_us: NDArray[np.number]) -> Ints:
    """Calendar months since 1970-01, UTC."""
    return time_us.astype("M8[us]").astype("M8[M]").astype(np.int64)


def periods(frame: Frame, outcome: Outcome) -> tuple[str, tuple[ProfilePeriod, ...], Ints]:
    """The unit; all periods from the first to the last event, also empty ones; and the period of each row [n]."""
    unit = "month" if is_monthly(frame.time_us) else "week"
    number = month_of(frame.time_us) if unit == "month" else (frame.time_us - MONDAY_US) // WEEK_US
    first = int(number.min())
    period = number - first
    size = int(period.max()) + 1
    rows = np.bincount(period, minlength=size)
    pairs = np.unique(period * len(frame.subject.words) + frame.subject.codes)
    subjects = np.bincount(pairs // len(frame.subject.words), minlength=size)
    positive, known = (np.bincount(period[rows], minlength=size) for rows in (outcome == 1, outcome >= 0))
    return (
        unit,
        tuple(
            ProfilePeriod(
                _start(unit, first + p), int(rows[p]), int(subjects[p]), _share(positive[p], known[p])
            )
            for p in range(size)
        ),
        period,
    )


def _start(unit: str, number: int) -> str:
    if unit == "month":
        return str(np.datetime64(number, "M"))
    return rfc3339(number * WEEK_US + MONDAY_US)[:10]


def _share(part: np.int64, total: np.int64) -> float | None:
    return float(part / total) if total else None


def reference_periods(count: int) -> int:
    """The first quarter, at least one."""
    return max(1, count // 4)
