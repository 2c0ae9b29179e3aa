"""The calendar of generated events: hours of the day, days of the week, days of the month.

Times are int64 microseconds since 1970 in UTC; hours are UTC too, so a French evening is 17 to 20.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Times = NDArray[np.int64]

SECOND_US: Final = 1_000_000
HOUR_US: Final = 3600 * SECOND_US
DAY_US: Final = 24 * HOUR_US
EPOCH_WEEKDAY: Final = 3  # 1970-01-01 was a Thursday; Monday is 0

# relative activity from Monday to Sunday: spending peaks on Friday and Saturday
WEEKDAY_WEIGHTS: Final = np.array([0.85, 0.85, 0.88, 0.92, 1.0, 1.0, 0.72])
# banks pay what falls on a weekend on the Friday before
WEEKEND_SHIFT_DAYS: Final = np.array([0, 0, 0, 0, 0, -1, -2])

# relative activity per hour, 0 to 23
HOUR_WEIGHTS: Final = {
    "shops": (2, 1, 1, 1, 1, 2, 5, 8, 9, 11, 14, 15, 12, 11, 12, 14, 16, 17, 14, 10, 7, 5, 4, 3),
    "office": (1, 1, 2, 4, 4, 6, 9, 14, 15, 14, 12, 9, 11, 12, 12, 10, 7, 6, 5, 4, 3, 2, 2, 1),
    "any": (3, 2, 2, 2, 2, 3, 4, 5, 6, 6, 7, 7, 7, 7, 7, 7, 8, 8, 9, 9, 9, 8, 6, 4),
    "night": (18, 18, 14, 9, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 8, 12, 14, 16),
    "early": (0, 2, 6, 8, 6, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
}
HOUR_CDF: Final = {name: np.cumsum(weights) / sum(weights) for name, weights in HOUR_WEIGHTS.items()}


def midnight_us(day: date) -> int:
    """Start of a UTC day."""
    since_epoch = datetime(day.year, day.month, day.day, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return since_epoch // timedelta(microseconds=1)


def weekday(times: Times) -> Times:
    """0 is Monday."""
    return (times // DAY_US + EPOCH_WEEKDAY) % 7


def at_hours(days: Times, hours: str, rng: Generator) -> Times:
    """A time on each of these days (any time within it), drawn from a named profile of hours."""
    hour = np.searchsorted(HOUR_CDF[hours], rng.random(len(days)), side="right")
    return readable(days // DAY_US * DAY_US + hour * HOUR_US + rng.integers(0, HOUR_US, len(days)))


def readable(times: Times) -> Times:
    """Times whose fraction prints with five or six digits, as in the real files."""
    moved: Times = times + (times % 100 == 0)
    return moved


def months_between(start_us: int, end_us: int) -> Times:
    """First midnight of every month that touches [start, end)."""
    first, last = (np.datetime64(us, "us").astype("datetime64[M]") for us in (start_us, end_us))
    return np.arange(first, last + 1).astype("datetime64[us]").astype(np.int64)
