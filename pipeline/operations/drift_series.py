"""The log by day, week and month, each compared with training on its own. Days are those of UTC, weeks begin on Monday.

A part of fewer than LEAST_ROWS events is thin, and one that the period or the log does not cover is not whole: of
neither is anything said but its size.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from export.bundle import Bundle
from export.distributions.drift import LEAST_ROWS
from pipeline.bigquery.queries import DAY, DURING, SCORED, Assessed, Beginning
from pipeline.operations.drift_columns import Comparison, compare
from pipeline.operations.drift_sample import Period, Sample, draw

EVENTS = f"SELECT COUNT(*) FROM `{{table}}` WHERE {SCORED} AND {DURING}"


class By(StrEnum):
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True)
class Part:
    """One day, week or month; `comparison` is None if it is thin or not whole, which `reason` says."""

    by: By
    since: datetime
    until: datetime
    looked_at: int
    comparison: Comparison | None
    reason: str


def parts(
    log: Assessed, bundle: Bundle, during: Period, sample: Sample | None, began: Beginning | None
) -> tuple[Part, ...]:
    """The days, weeks and months of a period, empty ones too; without its `sample` one is drawn.

    Raises GoogleAPIError.
    """
    if sample is None:
        ((events,),) = log.ask(EVENTS, **during._asdict())
        sample = draw(log, bundle, during, events)
    compared = []
    for by in By:
        for each in calendar(during, by):
            compared.append(_part(log, bundle, by, each, during, sample, began))
    return tuple(compared)


def calendar(during: Period, by: By) -> Iterator[Period]:
    """The days, weeks or months that have something of the period."""
    start = _beginning(during.since, by)
    while start < during.until:
        following = _following(start, by)
        yield Period(start, following)
        start = following


def _part(
    log: Assessed,
    bundle: Bundle,
    by: By,
    each: Period,
    during: Period,
    sample: Sample,
    began: Beginning | None,
) -> Part:
    some = sample.during(each)
    since = max(during.since, began.at) if began else during.since
    if each.since < since or each.until > during.until:
        return Part(by, *each, len(some), None, f"not a whole {by}")
    if len(some) < LEAST_ROWS:
        return Part(by, *each, len(some), None, f"thin: fewer than {LEAST_ROWS} events")
    return Part(by, *each, len(some), compare(log.use_case, bundle, some, each, began), "")


def _beginning(moment: datetime, by: By) -> datetime:
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if by is By.WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if by is By.MONTH else day


def _following(start: datetime, by: By) -> datetime:
    if by is By.MONTH:
        return (start + timedelta(days=31)).replace(day=1)
    return start + (DAY if by is By.DAY else timedelta(days=7))
