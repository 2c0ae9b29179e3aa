"""Dates of one row that contradict the order in which nearly all rows have them.

An order is one that nearly all rows keep and that is not chance: of the rows whose two dates differ, most are in order.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.events import DAY_US
from features.usecase import Kind
from training.profile.facts import DateOrder, Listing
from training.profile.frames import Frame
from training.profile.periods import is_monthly

MOST_CONTRADICTING = 0.05  # of the rows with both dates; more are no exceptions
MOST_OF_DIFFERENT = 0.2  # of the rows whose dates differ
LEAST_ROWS = 30  # with both dates; of fewer no order can be seen
LISTED = 100  # rows on the page for each pair
MENDS = 0.5  # of the contradicting rows: the least that swapping day and month must mend to be mentioned
UNITS = ("instant", "day", "month")  # finer first

Times = NDArray[np.int64]  # microseconds since 1970 UTC; NOT_THERE where missing
NOT_THERE = np.iinfo(np.int64).min


class _Dates(NamedTuple):
    """A column of dates or times [n]."""

    field: str
    time_us: Times
    unit: str


def date_orders(frame: Frame) -> tuple[DateOrder, ...]:
    """Every pair of dates or times whose order some rows contradict; the pair with the most such rows first."""
    columns = list(_columns(frame))
    orders = [order for pair in combinations(columns, 2) if (order := _order(frame, *pair))]
    return tuple(sorted(orders, key=lambda each: -each.contradicting))


def _columns(frame: Frame) -> Iterator[_Dates]:
    for f in frame.event_type.fields.values():
        if f.kind not in (Kind.DATE, Kind.TIME) or frame.missing(f.name).all():
            continue
        missing = frame.missing(f.name)
        scale = DAY_US if f.kind is Kind.DATE else 1
        time_us = np.where(missing, NOT_THERE, np.nan_to_num(frame.numbers[f.name]).astype(np.int64) * scale)
        yield _Dates(f.name, time_us, _unit(time_us[~missing]))


def _unit(time_us: Times) -> str:
    if is_monthly(time_us):
        return "month"
    return "day" if (time_us % DAY_US == 0).all() else "instant"


def _order(frame: Frame, one: _Dates, other: _Dates) -> DateOrder | None:
    """None where all rows agree, or too many differ for an order."""
    both = np.flatnonzero((one.time_us != NOT_THERE) & (other.time_us != NOT_THERE))
    unit = max(one.unit, other.unit, key=UNITS.index)
    a, b = (_floored(each.time_us[both], unit) for each in (one, other))
    before, after = int((a < b).sum()), int((a > b).sum())
    if before < after:
        one, other, a, b = other, one, b, a
    contradicting, different = min(before, after), before + after
    if (
        len(both) < LEAST_ROWS
        or not 0 < contradicting <= MOST_CONTRADICTING * len(both)
        or contradicting > MOST_OF_DIFFERENT * different
    ):
        return None
    rows = both[a > b]
    swapped, mended = _swap(one, other, rows, unit)
    return DateOrder(
        one.field,
        other.field,
        unit,
        len(both),
        contradicting,
        swapped,
        mended,
        _listing(frame, one, other, rows),
    )


def _floored(time_us: Times, unit: str) -> Times:
    """In the unit, so that dates of the same day or month are equal."""
    if unit == "instant":
        return time_us
    return time_us.astype("M8[us]").astype("M8[M]" if unit == "month" else "M8[D]").astype(np.int64)


def _swap(one: _Dates, other: _Dates, rows: NDArray[np.intp], unit: str) -> tuple[str, int]:
    """The field whose day and month, when they change places, put most of the rows in order; how many they do."""
    a, b = one.time_us[rows], other.time_us[rows]
    mended = {
        one.field: int((_floored(swapped(a), unit) <= _floored(b, unit)).sum()) if one.unit != "month" else 0,
        other.field: int((_floored(a, unit) <= _floored(swapped(b), unit)).sum())
        if other.unit != "month"
        else 0,
    }
    field = max(mended, key=lambda name: mended[name])
    return (field, mended[field]) if mended[field] >= MENDS * len(rows) else ("", 0)


def swapped(time_us: Times) -> Times:
    """The times with day and month in each other's place, as they are where the day is no month."""
    day_us = time_us - time_us % DAY_US
    days = day_us.astype("M8[us]").astype("M8[D]")
    months, years = days.astype("M8[M]"), days.astype("M8[Y]")
    day, month = (days - months).astype(np.int64), (months - years).astype(np.int64)  # both from 0
    changed = (years.astype("M8[M]") + day).astype("M8[D]") + month
    changed_us = changed.astype("M8[us]").astype(np.int64)
    return np.where(day < 12, changed_us + time_us % DAY_US, time_us)


def _listing(frame: Frame, one: _Dates, other: _Dates, rows: NDArray[np.intp]) -> Listing:
    shown = rows[:LISTED]
    columns = (frame.event_type.subject, "event", one.field, other.field)
    texts = [[words(each.time_us[i]) for i in shown.tolist()] for each in (one, other)]
    lines = tuple(zip(*frame.names(shown), *texts, strict=True))
    return Listing(f"{one.field} later than {other.field}", columns, lines, len(shown), len(rows))


def words(time_us: np.int64) -> str:
    """A date, with the time of day if there is one."""
    time = np.datetime64(int(time_us), "us")
    return str(time.astype("M8[D]") if time_us % DAY_US == 0 else time.astype("M8[s]")).replace("T", " ")
