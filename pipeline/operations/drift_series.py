"""Drift by day, week and month, each compared with training by itself. Days are those of UTC, weeks begin on Monday.

A part of fewer than LEAST_ROWS events is thin, and one that the period or the log does not cover is not whole; neither
is compared.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from export.bundle import Bundle
from export.distributions.drift import LEAST_ROWS
from pipeline.bigquery.queries import DAY, DURING, SCORED, AssessmentQueries, Beginning
from pipeline.operations.drift_columns import DriftComparison, compare
from pipeline.operations.drift_sample import DriftPeriod, DriftSample, draw

EVENTS = f"SELECT COUNT(*) FROM `{{table}}` WHERE {SCORED} AND {DURING}"


class DriftBy(StrEnum):
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True)
class DriftPart:
    """One day, week or month; `comparison` is None if it is thin or not whole, which `reason` says."""

    by: DriftBy
    since: datetime
    until: datetime
    looked_at: int
    comparison: DriftComparison | None
    reason: str


def parts(
    log: AssessmentQueries,
    bundle: Bundle,
    during: DriftPeriod,
    sample: DriftSample | None,
    began: Beginning | None,
) -> tuple[DriftPart, ...]:
    """Compare the days, weeks and months of a period, empty ones too; a sample is drawn unless one is given.

    Raises GoogleAPIError.
    """
    if sample is None:
        ((events,),) = log.ask(EVENTS, **during._asdict())
        sample = draw(log, bundle, during, events)
    compared = []
    for by in DriftBy:
        for each in calendar(during, by):
            compared.append(_part(log, bundle, by, each, during, sample, began))
    return tuple(compared)


def calendar(during: DriftPeriod, by: DriftBy) -> Iterator[DriftPeriod]:
    """Yield the days, weeks or months that overlap the period."""
    start = _beginning(during.since, by)
    while start < during.until:
        following = _following(start, by)
        yield DriftPeriod(start, following)
        start = following


def _part(
    log: AssessmentQueries,
    bundle: Bundle,
    by: DriftBy,
    each: DriftPeriod,
    during: DriftPeriod,
    sample: DriftSample,
    began: Beginning | None,
) -> DriftPart:
    some = sample.during(each)
    since = max(during.since, began.at) if began else during.since
    if each.since < since or each.until > during.until:
        return DriftPart(by, *each, len(some), None, f"not a whole {by}")
    if len(some) < LEAST_ROWS:
        return DriftPart(by, *each, len(some), None, f"thin: fewer than {LEAST_ROWS} events")
    return DriftPart(by, *each, len(some), compare(log.use_case, bundle, some, each, began), "")


def _beginning(moment: datetime, by: DriftBy) -> datetime:
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if by is DriftBy.WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if by is DriftBy.MONTH else day


def _following(start: datetime, by: DriftBy) -> datetime:
    if by is DriftBy.MONTH:
        return (start + timedelta(days=31)).replace(day=1)
    return start + (DAY if by is DriftBy.DAY else timedelta(days=7))
