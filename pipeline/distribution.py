"""How scores and features in the log are distributed beside training's: days of it, where drift.py sees hours.

Every event counts once. BigQuery hands over the vectors of at most some MOST_VECTORS events, chosen by a hash of their
ids, and they are counted page by page. Scores are those of one model; features are the same whatever the model.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc
from google.cloud.bigquery import QueryJobConfig, ScalarQueryParameter
from google.cloud.bigquery.retry import DEFAULT_RETRY
from google.cloud.bigquery.table import RowIterator
from numpy.typing import NDArray

from export.bundle import Bundle, check
from export.drift import DRIFTED, LEAST_ROWS, Columns, Verdict, are_many, verdict
from export.levels import Level
from export.reference import Bins
from features.usecase import UseCase
from pipeline.bigquery import query_client
from pipeline.tables import ASSESSMENTS, unique_rows

MOST_VECTORS = 100_000  # by chance alone the index is then about 0.0001; about a minute of BigQuery's answers
PIECE = 10_000  # vectors binned at once: some 10 MB
ASK_AGAIN = DEFAULT_RETRY.with_timeout(60.0)
TICK = timedelta(microseconds=1)  # of the log's times
ALL_SCORED = "use_case = @use_case AND score IS NOT NULL"
SCORED = f"{ALL_SCORED} AND fingerprint = @fingerprint"
DURING = "event_time >= @since AND event_time < @until"
# To count copies once this reads less than the view, which looks at their vectors to find the best.
ONCE = "COUNT(DISTINCT IF({when}, TO_JSON_STRING(STRUCT(customer, event_type, event_id, seq)), NULL))"
NEWEST = f"SELECT MAX(event_time) FROM `{{table}}` WHERE {SCORED}"
CUSTOMERS = f"SELECT COUNT(DISTINCT customer) FROM `{{table}}` WHERE {SCORED} AND {DURING}"
COUNTS = f"""
SELECT fingerprint, model, level, {ONCE.format(when="event_time >= @since")}, {ONCE.format(when="event_time < @since")}
FROM `{{table}}` WHERE {ALL_SCORED} AND event_time >= @before AND event_time < @until
GROUP BY fingerprint, model, level
"""
CHOSEN = (
    f"{SCORED} AND {DURING} AND ARRAY_LENGTH(vector) > 0 AND MOD(FARM_FINGERPRINT(event_id), @one_in) = 0"
)


class TooFewEvents(LookupError):
    """There are too few scored events to say anything (of who asks): ask for a longer period."""


class Period(NamedTuple):
    """Of event times: since <= time < until."""

    since: datetime
    until: datetime


class Events(NamedTuple):
    """Events before and in the period."""

    before: int
    now: int


@dataclass(frozen=True)
class Column:
    """The score or a feature, then (in training) and now: shares of each bin, those missing apart. See reference.py."""

    name: str
    words: str
    psi: float
    verdict: Verdict
    missing_then: float
    missing_now: float
    edges: tuple[float, ...]
    then: tuple[float, ...]
    now: tuple[float, ...]


@dataclass(frozen=True)
class Distribution:
    """What was found. `features` has those first that have drifted most."""

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
    verdict: Verdict
    score: Column | None  # None: too few scores of this model
    features: tuple[Column, ...]

    @property
    def drifted(self) -> list[str]:
        """Names of features."""
        return [each.name for each in self.features if each.verdict is Verdict.DRIFTED]

    @property
    def is_score_drifted(self) -> bool:
        return self.score is not None and self.score.verdict is Verdict.DRIFTED


@dataclass(frozen=True)
class Assessed:
    """Where the assessments of a use case are. Its methods raise GoogleAPIError."""

    use_case: UseCase
    project: str
    dataset: str = "riskstream"

    @property
    def table(self) -> str:
        return f"{self.project}.{self.dataset}.{ASSESSMENTS.name}"

    def ask(self, sql: str, **values: int | datetime) -> RowIterator:
        texts = {"use_case": self.use_case.name, "fingerprint": self.use_case.fingerprint}
        kinds = {str: "STRING", int: "INT64", datetime: "TIMESTAMP"}
        given = [ScalarQueryParameter(k, kinds[type(v)], v) for k, v in (texts | values).items()]
        config = QueryJobConfig(query_parameters=given)
        # Without a word, jobs would be tried again for 40 minutes. `query_and_wait` takes the local server's
        # refusals for empty answers.
        patience: dict[str, Any] = {"retry": ASK_AGAIN, "job_retry": None}
        asked = query_client(self.project).query(sql.format(table=self.table), job_config=config, **patience)
        return asked.result(**patience)


def period(log: Assessed, since: datetime | None, until: datetime | None, length: timedelta) -> Period:
    """What is not given: until the newest event scored, for `length`. Raises TooFewEvents without any."""
    if until is None:
        ((newest,),) = log.ask(NEWEST)
        if newest is None:
            use = log.use_case
            raise TooFewEvents(
                f"{log.table}: found no scored event of {use.name} with the features {use.fingerprint}, expected at "
                f"least {LEAST_ROWS}; look whether the job runs (`riskstream status`) and which features it has"
            )
        until = newest + TICK
    return Period(since or until - length, until)


def measure(log: Assessed, bundle: Bundle, during: Period) -> Distribution:
    """Raises BundleMismatch for a bundle with other features, TooFewEvents, and GoogleAPIError."""
    use_case = log.use_case
    check(bundle, use_case)
    times = {"since": during.since, "until": during.until}
    rows = list(log.ask(COUNTS, before=during.since - (during.until - during.since), **times))
    own = [row for row in rows if row[0] == use_case.fingerprint]
    events = sum(row[3] for row in own)
    one_in = max(1, -(-events // MOST_VECTORS))
    counted = _count(log, bundle, one_in=one_in, **times)
    if counted.looked_at < LEAST_ROWS:
        raise TooFewEvents(_too_few(log, counted.looked_at, during))
    ((customers,),) = log.ask(CUSTOMERS, **times)
    score, features = _columns(use_case, bundle, counted)
    return Distribution(
        use_case=use_case.name,
        fingerprint=use_case.fingerprint,
        model=bundle.manifest.id,
        since=during.since,
        until=during.until,
        events=events,
        customers=customers,
        looked_at=counted.looked_at,
        other_features=sum(row[3] for row in rows) - events,
        models=_models(own),
        levels=_levels(own),
        verdict=_together(score, features),
        score=score,
        features=features,
    )


class _Counted(NamedTuple):
    looked_at: int
    features: NDArray[np.int64]  # [features, bins]
    score: NDArray[np.int64]  # [1, bins]


def _count(log: Assessed, bundle: Bundle, **values: Any) -> _Counted:
    names = bundle.manifest.features
    features = Columns([bundle.reference.features[name] for name in names])
    score = Columns([bundle.reference.score])
    found = _Counted(0, *(np.zeros(each.then.shape, np.int64) for each in (features, score)))
    sql = unique_rows("{table}", ASSESSMENTS, "vector, score, model", CHOSEN)
    for page in log.ask(sql, **values).to_arrow_iterable():
        for start in range(0, page.num_rows, PIECE):
            part = page.slice(start, PIECE)
            vectors = part["vector"].flatten().to_numpy().reshape(-1, len(names))
            is_own = pc.equal(part["model"], bundle.manifest.id).to_numpy(zero_copy_only=False)
            found = _Counted(
                found.looked_at + len(vectors),
                found.features + features.counts(vectors),
                found.score + score.counts(part["score"].to_numpy()[is_own, None]),
            )
    return found


def _too_few(log: Assessed, found: int, during: Period) -> str:
    return (
        f"{log.table}: found {found:,} vectors of {log.use_case.name} with the features {log.use_case.fingerprint} "
        f"from {during.since:%Y-%m-%d %H:%M} to {during.until:%Y-%m-%d %H:%M} UTC, expected at least {LEAST_ROWS}: "
        "fewer say nothing; ask for a longer period with --days"
    )


def _columns(
    use_case: UseCase, bundle: Bundle, counted: _Counted
) -> tuple[Column | None, tuple[Column, ...]]:
    """The score, and the features sorted."""
    reference, words = bundle.reference, {each.name: each.words for each in use_case.table}
    names = bundle.manifest.features
    bins = [reference.features[name] for name in names]
    psis = Columns(bins).psi(counted.features).tolist()
    found = [
        _column(name, words[name], *rest)
        for name, *rest in zip(names, bins, psis, counted.features, strict=True)
    ]
    features = tuple(sorted(found, key=lambda each: -each.psi))
    if counted.score.sum() < LEAST_ROWS:
        return None, features
    (of_score,) = Columns([reference.score]).psi(counted.score).tolist()
    return _column("score", "the model's probability", reference.score, of_score, counted.score[0]), features


def _column(name: str, words: str, bins: Bins, psi: float, counts: NDArray[np.int64]) -> Column:
    shares = counts / counts.sum()
    return Column(
        name=name,
        words=words,
        psi=psi,
        verdict=verdict(psi),
        missing_then=bins.missing,
        missing_now=float(shares[-1]),
        edges=bins.edges,
        then=bins.shares,
        now=tuple(shares[: len(bins.shares)].tolist()),
    )


def _models(rows: list[Any]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for _, model, _, now, _ in rows:
        found[model] += now
    return {model: n for model, n in found.most_common() if n}


def _levels(rows: list[Any]) -> dict[str, Events]:
    before, now = Counter[str](), Counter[str]()
    for _, _, level, *counts in rows:
        now[level] += counts[0]
        before[level] += counts[1]
    return {level.name: Events(before[level.name], now[level.name]) for level in Level}


def _together(score: Column | None, features: tuple[Column, ...]) -> Verdict:
    """Drifted if the score is, or many of the features; worth a look if anything is."""
    columns = [*features, *([score] if score else [])]
    drifted = sum(each.psi > DRIFTED for each in features)
    if are_many(drifted, len(features)) or (score and score.verdict is Verdict.DRIFTED):
        return Verdict.DRIFTED
    return Verdict.LOOK if any(each.verdict is not Verdict.STEADY for each in columns) else Verdict.STEADY
