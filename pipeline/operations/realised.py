"""Realised performance: outcomes of past decisions, week by week, as labels come. SQL over the log, also as a view.

A decision is that a customer was recommended for off-boarding, or reached a level by a score, once a week at most;
where the label is an event's, it is the level that the event's score reached. A label counts as in training: a customer
is positive if any event ever said so. Weeks begin on Monday, UTC.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from google.cloud import bigquery

from features.errors import BadInput
from features.usecase import Label, UseCase, is_known_later
from pipeline.bigquery.queries import AssessmentQueries
from pipeline.bigquery.schemas import ASSESSMENTS
from pipeline.bigquery.tables import make_view
from pipeline.runtime.provisioned import Provisioned

RECOMMENDED, HIGH, MEDIUM = DECISIONS = ("RECOMMENDED", "HIGH", "MEDIUM")  # MEDIUM: at least


class NoLabel(BadInput):
    """The use case has no label, so nothing says how its decisions turned out."""


@dataclass(frozen=True)
class RealisedWeek:
    """Decisions of a week and what is known of them by now; counts are of customers, or of events.

    Of those decided, `known_before` were known to be positive already; the others are `confirmed` (positive), `denied`
    (said since to be negative) or `unknown` as yet. `days` is the median from a decision to its label. `positives` are
    those that became known to be positive in the week after they were scored (events: positive ones of the week);
    there had been a decision about `decided_before` of them.
    """

    decision: str
    week: date
    decided: int
    known_before: int
    confirmed: int
    denied: int
    unknown: int
    days: float | None
    positives: int
    decided_before: int


def weeks(log: AssessmentQueries, since: date) -> list[RealisedWeek]:
    """Return the weeks from the one of `since` on, in order. Raises NoLabel, and GoogleAPIError."""
    columns = ", ".join(RealisedWeek.__dataclass_fields__)
    inner = query(log.use_case, f"{log.project}.{log.dataset}")
    sql = f"SELECT {columns} FROM ({inner}) WHERE week >= CAST(@monday AS DATE) ORDER BY week, decision"
    monday = since - timedelta(days=since.weekday())
    return [RealisedWeek(*row.values()) for row in log.run(sql, monday=monday.isoformat())]


def create_view(client: bigquery.Client, dataset: str, use_case: UseCase) -> Provisioned:
    """Make the view `realised_USE_CASE`, or replace one of another definition. Idempotent.

    Raises NoLabel, and `google.api_core.exceptions.GoogleAPICallError`.
    """
    sql = query(use_case, f"{client.project}.{dataset}")
    return make_view(client, f"{dataset}.realised_{use_case.name}", sql, stale=False)


def query(use_case: UseCase, dataset: str) -> str:
    """Return SQL for one row a decision and week, over PROJECT.DATASET. Raises NoLabel."""
    label = use_case.label
    if label is None:
        raise NoLabel(f"{use_case.file}: label is missing, so nothing says how decisions turned out")
    names = {
        "name": text(use_case.name),
        "log": f"`{dataset}.{ASSESSMENTS.view}`",
        "copies": f"`{dataset}.{ASSESSMENTS.name}`",
        "type": text(label.event_type),
        "value": value_of(label.field),
        "positive": ", ".join(text(_as_json(each)) for each in label.positive),
        "delay": label.delay_us,
        "of": text(label.event or label.event_type),
        "event_id": _event_id(label),
    }
    parts = OF_EVENTS if is_known_later(label, use_case.event_types) else OF_CUSTOMERS
    return (LABELS + parts + SUMS).format(**names).strip()


def text(value: str) -> str:
    """Return a string as a literal of SQL."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"


def value_of(field: str) -> str:
    """Return SQL for the text of a field of an event's body, without the blanks around it."""
    return f"TRIM(JSON_VALUE(body, '$.{field}'))"


def _as_json(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else value


def _event_id(label: Label) -> str:
    """Return SQL for the id of the labelled event: the one that fields name, or the event itself."""
    return f"CONCAT({_joined(map(value_of, label.event_id))})" if label.event else "event_id"


def _joined(values: Iterable[str]) -> str:
    return ", ':', ".join(values)


# Monday of the week; what weeks are called differs between dialects.
MONDAY = "DATE_SUB(DATE({0}), INTERVAL MOD(DATE_DIFF(DATE({0}), DATE '1970-01-05', DAY), 7) DAY)"
# A label may come as a copy of its event, which the view of unique rows hides.
LABELS = """
WITH labels AS (
  SELECT customer, {event_id} AS event_id, {value} IN ({positive}) AS is_positive,
    TIMESTAMP_ADD(event_time, INTERVAL {delay} MICROSECOND) AS known_at
  FROM {copies} WHERE use_case = {name} AND event_type = {type} AND {value} != ''
),
"""
OF_CUSTOMERS = f"""
known AS (
  SELECT customer, MIN(known_at) AS positive_at FROM labels WHERE is_positive GROUP BY customer
),
decisions AS (
  SELECT customer, decision, {MONDAY.format("event_time")} AS week, MIN(event_time) AS decided_at
  FROM {{log}} CROSS JOIN UNNEST(['RECOMMENDED', 'HIGH', 'MEDIUM']) AS decision
  WHERE use_case = {{name}} AND score IS NOT NULL AND (
    (decision = 'RECOMMENDED' AND transition = 'RECOMMENDED')
    OR (decision = 'HIGH' AND level = 'HIGH' AND level_before != 'HIGH')
    OR (decision = 'MEDIUM' AND level != 'LOW' AND level_before = 'LOW'))
  GROUP BY customer, decision, week
),
denials AS (
  SELECT d.customer, d.decision, d.week, MIN(l.known_at) AS denied_at
  FROM decisions AS d JOIN labels AS l ON l.customer = d.customer
  WHERE NOT l.is_positive AND l.known_at > d.decided_at
  GROUP BY d.customer, d.decision, d.week
),
outcomes AS (
  SELECT d.decision, d.week, d.decided_at,
    COALESCE(k.positive_at <= d.decided_at, FALSE) AS known_before,
    COALESCE(k.positive_at > d.decided_at, FALSE) AS confirmed,
    k.positive_at IS NULL AND n.denied_at IS NOT NULL AS denied,
    COALESCE(k.positive_at, n.denied_at) AS told_at
  FROM decisions AS d LEFT JOIN known AS k ON k.customer = d.customer
  LEFT JOIN denials AS n ON n.customer = d.customer AND n.decision = d.decision AND n.week = d.week
),
scored AS (
  SELECT customer, MIN(event_time) AS first_at FROM {{log}}
  WHERE use_case = {{name}} AND score IS NOT NULL GROUP BY customer
),
first_decisions AS (
  SELECT customer, decision, MIN(decided_at) AS first_at FROM decisions GROUP BY customer, decision
),
positives AS (
  SELECT n.decision, {MONDAY.format("k.positive_at")} AS week,
    COALESCE(f.first_at < k.positive_at, FALSE) AS decided_before
  FROM known AS k JOIN scored AS s ON s.customer = k.customer
  CROSS JOIN (SELECT decision FROM UNNEST(['RECOMMENDED', 'HIGH', 'MEDIUM']) AS decision) AS n
  LEFT JOIN first_decisions AS f ON f.customer = k.customer AND f.decision = n.decision
  WHERE s.first_at < k.positive_at
),
"""
OF_EVENTS = f"""
known AS (
  SELECT customer, event_id, LOGICAL_OR(is_positive) AS is_positive,
    COALESCE(MIN(IF(is_positive, known_at, NULL)), MIN(known_at)) AS known_at
  FROM labels GROUP BY customer, event_id
),
events AS (
  SELECT customer, event_id, MIN(event_time) AS event_time,
    LOGICAL_OR(score_level = 'HIGH') AS high, LOGICAL_OR(score_level != 'LOW') AS medium
  FROM {{log}} WHERE use_case = {{name}} AND event_type = {{of}} AND score IS NOT NULL
  GROUP BY customer, event_id
),
judged AS (
  SELECT decision, {MONDAY.format("e.event_time")} AS week, e.event_time AS decided_at,
    COALESCE(IF(decision = 'HIGH', e.high, e.medium), FALSE) AS flagged, k.is_positive, k.known_at
  FROM events AS e LEFT JOIN known AS k ON k.customer = e.customer AND k.event_id = e.event_id
  CROSS JOIN UNNEST(['HIGH', 'MEDIUM']) AS decision
),
outcomes AS (
  SELECT decision, week, decided_at, FALSE AS known_before, COALESCE(is_positive, FALSE) AS confirmed,
    COALESCE(NOT is_positive, FALSE) AS denied, known_at AS told_at
  FROM judged WHERE flagged
),
positives AS (
  SELECT decision, week, flagged AS decided_before FROM judged WHERE is_positive
),
"""
SUMS = """
timed AS (
  SELECT decision, week, known_before, confirmed, denied,
    PERCENTILE_CONT(
      IF(confirmed OR denied, TIMESTAMP_DIFF(told_at, decided_at, SECOND) / 86400, NULL), 0.5
    ) OVER (PARTITION BY decision, week) AS days
  FROM outcomes
),
rows_of_weeks AS (
  SELECT decision, week, 1 AS decided, IF(known_before, 1, 0) AS known_before, IF(confirmed, 1, 0) AS confirmed,
    IF(denied, 1, 0) AS denied, days, 0 AS positives, 0 AS decided_before
  FROM timed
  UNION ALL
  SELECT decision, week, 0, 0, 0, 0, NULL, 1, IF(decided_before, 1, 0) FROM positives
)
SELECT decision, week, SUM(decided) AS decided, SUM(known_before) AS known_before, SUM(confirmed) AS confirmed,
  SUM(denied) AS denied, SUM(decided - known_before - confirmed - denied) AS unknown, MAX(days) AS days,
  SUM(positives) AS positives, SUM(decided_before) AS decided_before
FROM rows_of_weeks GROUP BY decision, week
"""
