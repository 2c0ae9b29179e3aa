"""Drift of the scores and features in the log from training, over days; live_drift.py measures the latest events.

Every event counts once. Scores are those of one model; features do not depend on the model. A period has a whole day
at least, since the hours of a day differ.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from export.bundle import Bundle, check
from export.distributions.drift import LEAST_ROWS, DriftVerdict
from export.policy import Level
from features.errors import NotEnoughData
from features.usecase import UseCase, lookbacks
from pipeline.bigquery.queries import ALL_SCORED, DAY, DURING, SCORED, AssessmentQueries, Beginning
from pipeline.operations.drift_columns import ColumnDrift, compare
from pipeline.operations.drift_sample import DriftPeriod, draw
from pipeline.operations.drift_series import DriftPart, parts

TICK = timedelta(microseconds=1)  # of the log's times
# To count copies once this reads less than the view, which looks at their vectors to find the best.
ONCE = "COUNT(DISTINCT IF({when}, TO_JSON_STRING(STRUCT(customer, event_type, event_id, seq)), NULL))"
CUSTOMERS = f"SELECT COUNT(DISTINCT customer) FROM `{{table}}` WHERE {SCORED} AND {DURING}"
COUNTS = f"""
SELECT fingerprint, model, level, {ONCE.format(when="event_time >= @since")}, {ONCE.format(when="event_time < @since")}
FROM `{{table}}` WHERE {ALL_SCORED} AND event_time >= @before AND event_time < @until
GROUP BY fingerprint, model, level
"""


class TooFewEvents(NotEnoughData):
    """The period has too few scored events to measure drift: ask for a longer one."""


class Events(NamedTuple):
    """Events before and in the period."""

    before: int
    now: int


@dataclass(frozen=True)
class Distribution:
    """Distributions of a period of the log beside training. The features that have drifted most come first."""

    use_case: str
    fingerprint: str
    model: str  # whose training this is compared with
    since: datetime
    until: datetime
    events: int  # scored ones, each once
    customers: int
    looked_at: int
    other_features: int  # events whose vectors have other features, so they are left out
    models: Mapping[str, int]  # events by the model that scored them
    levels: Mapping[str, Events]  # events by the level after them; before: a period of the same length
    verdict: DriftVerdict
    score: ColumnDrift | None  # None: too few scores of this model
    features: tuple[ColumnDrift, ...]
    began: Beginning | None  # of the log, unless it is older than all windows
    parts: tuple[DriftPart, ...]  # days, weeks and months, in order

    @property
    def drifted(self) -> list[str]:
        """The names of features that have drifted."""
        return [each.name for each in self.features if each.verdict is DriftVerdict.DRIFTED]


def period(
    log: AssessmentQueries, since: datetime | None, until: datetime | None, length: timedelta
) -> DriftPeriod:
    """Return the period asked for; by default it ends with the newest scored event. Raises TooFewEvents without one."""
    if until is None:
        newest = log.newest()
        if newest is None:
            use = log.use_case
            raise TooFewEvents(
                f"{log.table}: found no scored event of {use.name} with the features {use.fingerprint}, expected at "
                f"least {LEAST_ROWS}; look whether the job runs (`riskstream status`) and which features it has"
            )
        until = newest + TICK
    return DriftPeriod(since or until - length, until)


def measure(
    log: AssessmentQueries, bundle: Bundle, during: DriftPeriod, back: timedelta = timedelta(0)
) -> Distribution:
    """Compare a period with the bundle's training; its parts reach as far `back` from its end, at least over it.

    Raises BundleMismatch for a bundle with other features, TooFewEvents, and GoogleAPIError.
    """
    use_case = log.use_case
    check(bundle, use_case)
    times = {"since": during.since, "until": during.until}
    rows = list(log.ask(COUNTS, before=during.since - (during.until - during.since), **times))
    current = [row for row in rows if row[0] == use_case.fingerprint]
    events = sum(row[3] for row in current)
    sample = draw(log, bundle, during, events)
    if len(sample) < LEAST_ROWS:
        raise TooFewEvents(_too_few(log, len(sample), during))
    longer = DriftPeriod(min(during.since, during.until - back), during.until)
    began = log.beginning(longer.since, during.until, _reach(use_case, bundle))
    _check_whole(log, during, began)
    comparison = compare(use_case, bundle, sample, during, began)
    ((customers,),) = log.ask(CUSTOMERS, **times)
    return Distribution(
        use_case=use_case.name,
        fingerprint=use_case.fingerprint,
        model=bundle.manifest.id,
        since=during.since,
        until=during.until,
        events=events,
        customers=customers,
        looked_at=comparison.looked_at,
        other_features=sum(row[3] for row in rows) - events,
        models=_models(current),
        levels=_levels(current),
        verdict=comparison.verdict,
        score=comparison.score,
        features=comparison.features,
        began=began,
        parts=parts(log, bundle, longer, sample if longer == during else None, began),
    )


def _reach(use_case: UseCase, bundle: Bundle) -> timedelta:
    """Return how long before a period the beginning of the log matters: see `unjudged`."""
    longest = max(back.window_us for back in lookbacks(use_case))
    return timedelta(microseconds=max(longest, bundle.reference.span_us))


def _check_whole(log: AssessmentQueries, during: DriftPeriod, began: Beginning | None) -> None:
    """Raise TooFewEvents for less than a day."""
    since = max(during.since, began.at) if began else during.since
    if during.until - since < DAY:
        hours = (during.until - since) / timedelta(hours=1)
        raise TooFewEvents(
            f"{log.table}: the period from {since:%Y-%m-%d %H:%M} to {during.until:%Y-%m-%d %H:%M} UTC has "
            f"{hours:.1f} hours, expected a whole day at least: the hours of a day differ, and training has all of them"
        )


def _too_few(log: AssessmentQueries, vectors: int, during: DriftPeriod) -> str:
    return (
        f"{log.table}: found {vectors:,} vectors of {log.use_case.name} with the features {log.use_case.fingerprint} "
        f"from {during.since:%Y-%m-%d %H:%M} to {during.until:%Y-%m-%d %H:%M} UTC, expected at least {LEAST_ROWS}: "
        "fewer say nothing; ask for a longer period with --days"
    )


def _models(rows: list[Any]) -> dict[str, int]:
    events: Counter[str] = Counter()
    for _, model, _, now, _ in rows:
        events[model] += now
    return {model: n for model, n in events.most_common() if n}


def _levels(rows: list[Any]) -> dict[str, Events]:
    before, now = Counter[str](), Counter[str]()
    for _, _, level, *counts in rows:
        now[level] += counts[0]
        before[level] += counts[1]
    return {level.name: Events(before[level.name], now[level.name]) for level in Level}
