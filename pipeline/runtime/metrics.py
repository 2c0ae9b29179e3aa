"""Every metric of the job and of the REST service, named once: what is counted, in which unit, and its names.

Code, dashboards, alerts and docs/ take names from here. Dataflow has no gauges and no labels: there a
label's value ends the name, and what only a gauge can say is said by Google's own metric (`cloud`) or not at all.
"""

from dataclasses import dataclass
from enum import StrEnum

NAMESPACE = "riskstream"  # of Beam's metrics, and what names in Prometheus begin with
STEM = "assess-"  # what names in Beam begin with
IN_TIME_S = 5  # from publishing to assessed: the objective is about those that take longer
PROMPT_S = 0.1  # of an answer of the REST service: the objective is about those that take longer

OF_EVENTS = ("too_late", "bad_record")  # the message is an event, which its records do not take
REASONS = ("undecodable", "invalid", "unknown_type", "from_future", *OF_EVENTS)
STAGES = (
    "decode",
    "read",
    "advance",
    "owners",
    "vectors",
    "score",
    "decide",
    "commit",
    "shadow",
    "encode",
    "send",
)
PARTS = ("redis", "pubsub", "bigquery")
CLOSINGS = ("crowded", "unread")
OUTCOMES = ("confirmed", "denied", "unknown")
BOUNDS = ("low", "estimate", "high")  # of a 95 % interval
DRIFTED = ("score", "features")
LAGS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, IN_TIME_S, 10.0, 30.0, 60.0, 600.0, 3_600.0, 86_400.0)
WAITS = ("pull", "decode", "assess", "publish", "store", "acknowledge")
STAGES_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 30.0)
ANSWERS_S = (0.002, 0.005, 0.01, 0.02, 0.05, PROMPT_S, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
BATCHES = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 20_000)
# Upper ends of bands of scores: most scores of a rare risk are small.
BANDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
CLOUD_REDIS, CLOUD_READER = (
    'instance_id=~".*riskstream.*"',
    'subscription_id=~".*-events-riskstream"',
)


class MetricKind(StrEnum):
    COUNTER = "counter"
    DISTRIBUTION = "distribution"
    GAUGE = "gauge"


@dataclass(frozen=True)
class Metric:
    """`scale` makes the integers that Beam wants of a distribution's values, `beam_unit` names their unit."""

    name: str
    kind: MetricKind
    unit: str
    meaning: str
    label: str = ""  # what its series differ in
    values: tuple[str, ...] = ()  # of the label, if all are known beforehand
    bounds: tuple[float, ...] = ()  # upper ends of a distribution's buckets in Prometheus
    scale: float = 1
    beam_unit: str = ""
    in_beam: bool = True  # False: on Google Cloud only managed Prometheus has it
    cloud: str = ""  # Google's own metric that says the same, as PromQL names it, with its labels

    @property
    def beam(self) -> str:
        """The name in Beam and Dataflow; empty: not there. A label's value follows after a hyphen."""
        is_there = self.in_beam and self.kind is not MetricKind.GAUGE
        return "-".join(filter(None, (STEM + self.name, self.beam_unit))) if is_there else ""

    @property
    def prometheus(self) -> str:
        """The name in Prometheus, of a distribution without _bucket, _sum and _count."""
        ending = {"seconds": "_seconds", "bytes": "_bytes"}.get(self.unit, "")
        total = "_total" if self.kind is MetricKind.COUNTER else ""
        return f"{NAMESPACE}_{self.name.replace('-', '_')}{ending}{total}"


def key(metric: Metric, value: str = "") -> str:
    """Return the name of a series in the process's own tally."""
    return f"{metric.name}-{value}" if metric.label else metric.name


def _counter(
    name: str, unit: str, meaning: str, label: str = "", values: tuple[str, ...] = (), **rest: bool
) -> Metric:
    return Metric(name, MetricKind.COUNTER, unit, meaning, label, values, **rest)  # type: ignore[arg-type]


def _gauge(name: str, unit: str, meaning: str, **rest: str | bool | tuple[str, ...]) -> Metric:
    return Metric(name, MetricKind.GAUGE, unit, meaning, **rest)  # type: ignore[arg-type]


EVENTS = _counter("events", "messages", "Messages done with, whatever came of them.")
LATE = _counter(
    "late", "messages", f"Of these, first seen by us and done more than {IN_TIME_S} s after their publishing."
)
REJECTS = _counter("rejects", "messages", "Messages that became dead letters.", "reason", REASONS)
DUPLICATES = _counter(
    "duplicates",
    "events",
    "Events that had been counted before, but for those that the REST service had answered.",
)
CONFLICTS = _counter("conflicts", "events", "Events done again because another worker had written first.")
OWNERS_ASKED = _counter(
    "owners-asked",
    "events",
    "Events of entities beside the subject that workers which own the records were to fold.",
)
OWNERS_UNANSWERED = _counter(
    "owners-unanswered", "events", "Of these, folded by the worker that asked: it had no answer in time."
)
ALERTS = _counter("alerts", "messages", "Alerts published, repeated ones included.")
LEVEL_CHANGES = _counter("level-changes", "events", "Events that changed their customer's level.")
RECOMMENDATIONS = _counter("recommendations", "events", "Events that made the policy recommend off-boarding.")
HELD = _counter("held", "events", "Recommendations that the breaker held back: it is open while this rises.")
SCORES = _counter(
    "scores", "events", "Scored events by band of score.", "band", tuple(f"{end:g}" for end in BANDS)
)
MODEL = _counter("model", "events", "Events assessed, by the id of the model that did it.", "model")
MODELS_REFUSED = _counter(
    "models-refused",
    "bundles",
    "Bundles that could not be used although they were promoted or put in shadow.",
)
LOOKS_FAILED = _counter(
    "looks-failed", "looks", "Looks at the bundle folder that failed; the model in use goes on."
)
DRIFT_CHECKS = _counter("drift-checks", "checks", "Comparisons of scores and features with training's.")
DRIFT = _counter(
    "drifted",
    "checks",
    "Of these, where scores have drifted, or a tenth of the features are worth a look.",
    "what",
    DRIFTED,
)
BATCH = Metric("batch-size", MetricKind.DISTRIBUTION, "messages", "Messages of a batch.", bounds=BATCHES)
LAG = Metric(
    "lag", MetricKind.DISTRIBUTION, "seconds", "System lag: from publishing to assessed, of a batch's oldest message.",
    bounds=LAGS_S, scale=1e3, beam_unit="ms",
)  # fmt: skip
EVENT_LAG = Metric(
    "event-lag", MetricKind.DISTRIBUTION, "seconds", "Event-time lag: since the latest event of each batch happened.",
    bounds=LAGS_S, scale=1e3, beam_unit="ms",
)  # fmt: skip
STAGE = Metric(
    "stage", MetricKind.DISTRIBUTION, "seconds",
    "Time of a batch in a stage: read and commit are Redis, score is ONNX, send waits for BigQuery and Pub/Sub.",
    "stage", STAGES, STAGES_S, scale=1e6, beam_unit="us",
)  # fmt: skip
WAIT = Metric(
    "wait", MetricKind.DISTRIBUTION, "seconds",
    "Time that a batch waits: its oldest message in Pub/Sub until it is pulled; pulled, for decoding; decoded, for the "
    "thread that assesses; assessed, until Pub/Sub has its alerts (publish) and BigQuery its rows (store); delivered, "
    "until it is acknowledged.",
    "step", WAITS, STAGES_S, in_beam=False,
)  # fmt: skip
SCORE_PSI = _gauge(
    "score-psi", "", "Population stability index (PSI) of a whole day's scores against training's."
)
FEATURE_CSI = _gauge(
    "feature-csi", "", "Characteristic stability index (CSI) of each feature, likewise.", label="feature"
)
OWNERS = _gauge(
    "owners",
    "workers",
    "Workers that share the records of entities beside the subject, as this one sees them.",
)
BREAKER = _gauge("breaker-open", "", "1 while the hour's recommendations are used up, else 0.")
WAITING = _gauge(
    "waiting", "threads", "Threads that wait for a part that is away.", label="part", values=PARTS
)
NO_PROGRESS = _gauge(
    "no-progress",
    "seconds",
    "Time since something got done, while messages are at hand and no service is away.",
)
UNACKNOWLEDGED = _gauge(
    "unacknowledged", "messages", "Messages that this process has taken and not acknowledged yet."
)
ROWS_WAITING = _gauge("rows-waiting", "bytes", "Rows in memory that are not in BigQuery yet.")
ROWS_SPILLED = _gauge("rows-spilled", "bytes", "Rows in temporary files that are not in BigQuery yet.")
PULLING_PAUSED = _gauge(
    "pulling-paused", "", "1 while so much waits for BigQuery that no more messages are pulled, else 0."
)
BACKLOG = _gauge(
    "backlog", "messages", "Messages not acknowledged yet, in the use case's subscription of events.",
    cloud=f"pubsub_googleapis_com:subscription_num_undelivered_messages{{{CLOUD_READER}}}",
)  # fmt: skip
OLDEST = _gauge(
    "oldest", "seconds", "Age of the oldest of these.",
    cloud=f"pubsub_googleapis_com:subscription_oldest_unacked_message_age{{{CLOUD_READER}}}",
)  # fmt: skip
STORE_WHOLE = _gauge(
    "store-whole",
    "",
    "1 while Redis holds what was written to it; 0: nothing is assessed until it is repaired.",
    in_beam=False,  # on Google Cloud the REST service tells it: its Redis is the job's
)
STORE_DAMAGES = _counter(
    "store-damages", "losses", "Losses of records in Redis that this process was the first to notice."
)
REDIS_USED = _gauge(
    "redis-used", "bytes", "Memory that Redis uses, all primaries together.",
    cloud=f"redis_googleapis_com:stats_memory_usage{{{CLOUD_REDIS}}}",
)  # fmt: skip
REDIS_LIMIT = _gauge(
    "redis-limit", "bytes", "Memory that Redis may use; 0: no limit is set.",
    cloud=f"redis_googleapis_com:stats_memory_maxmemory{{{CLOUD_REDIS}}}",
)  # fmt: skip

REQUESTS = _counter(
    "api-requests", "requests", "Requests to the REST service by HTTP status.", "status", in_beam=False
)
SLOW = _counter(
    "api-slow",
    "requests",
    f"Of these, failed on our side (5xx) or answered after more than {PROMPT_S * 1e3:g} ms.",
    in_beam=False,
)
LATENCY = Metric(
    "api-latency",
    MetricKind.DISTRIBUTION,
    "seconds",
    "Time from a request to its answer, of assessments and questions.",
    bounds=ANSWERS_S,
    in_beam=False,
)
IN_FLIGHT = _gauge("api-in-flight", "requests", "Requests that wait for their answer.", in_beam=False)
AUDIT_WAITING = _gauge(
    "api-audit-waiting", "records", "Records of the audit trail that wait for BigQuery.", in_beam=False
)
AUDIT_OLDEST = _gauge(
    "api-audit-oldest", "seconds", "Age of the oldest of these; 0: none waits.", in_beam=False
)
AUDIT_MISSING = _counter(
    "api-audit-missing",
    "requests",
    "Requests that left no record: as many as there may be waited.",
    in_beam=False,
)
CONNECTIONS = _gauge("api-connections", "connections", "Open connections of callers.", in_beam=False)
CLOSED = _counter(
    "api-closed",
    "connections",
    "Connections ended by the service: one more came than there may be, or an answer was left unread.",
    "reason",
    CLOSINGS,
    in_beam=False,
)

# Pushed by `riskstream realised`, of the weeks that it looks at.
REALISED = _gauge(
    "realised-decisions", "decisions", "Past recommendations (or events that reached HIGH), by what is known of them.",
    label="outcome", values=OUTCOMES, in_beam=False,
)  # fmt: skip
REALISED_PRECISION = _gauge(
    "realised-precision", "", "Share of confirmed among the confirmed and denied ones, with its 95 % interval.",
    label="bound", values=BOUNDS, in_beam=False,
)  # fmt: skip
REALISED_RECALL = _gauge(
    "realised-recall", "", "Share of those known to be positive about whom there was a decision before, likewise.",
    label="bound", values=BOUNDS, in_beam=False,
)  # fmt: skip

# Told by whoever assesses, and only of what it was the first to assess.
_OF_BOTH = (
    CONFLICTS, LEVEL_CHANGES, RECOMMENDATIONS, HELD, SCORES, MODEL, MODELS_REFUSED, LOOKS_FAILED, DRIFT_CHECKS, DRIFT,
    STAGE, SCORE_PSI, FEATURE_CSI, BREAKER, STORE_WHOLE, STORE_DAMAGES, REDIS_USED, REDIS_LIMIT,
)  # fmt: skip
OF_JOB = (
    EVENTS, LATE, REJECTS, DUPLICATES, ALERTS, BATCH, LAG, EVENT_LAG, WAIT, WAITING, NO_PROGRESS, UNACKNOWLEDGED,
    ROWS_WAITING, ROWS_SPILLED, PULLING_PAUSED, BACKLOG, OLDEST, OWNERS_ASKED, OWNERS_UNANSWERED, OWNERS, *_OF_BOTH,
)  # fmt: skip
OF_SERVICE = (
    REQUESTS, SLOW, LATENCY, IN_FLIGHT, CONNECTIONS, CLOSED, AUDIT_WAITING, AUDIT_OLDEST, AUDIT_MISSING, *_OF_BOTH,
)  # fmt: skip
OF_REALISED = (REALISED, REALISED_PRECISION, REALISED_RECALL)
METRICS = (
    EVENTS, LATE, REJECTS, DUPLICATES, CONFLICTS, OWNERS_ASKED, OWNERS_UNANSWERED, OWNERS, ALERTS, LEVEL_CHANGES,
    RECOMMENDATIONS, HELD, SCORES, MODEL, MODELS_REFUSED, LOOKS_FAILED, DRIFT_CHECKS, DRIFT, BATCH, LAG, EVENT_LAG,
    STAGE, WAIT, SCORE_PSI, FEATURE_CSI, BREAKER, WAITING, NO_PROGRESS, UNACKNOWLEDGED, ROWS_WAITING, ROWS_SPILLED,
    PULLING_PAUSED,
    BACKLOG, OLDEST, STORE_WHOLE, STORE_DAMAGES, REDIS_USED, REDIS_LIMIT, REQUESTS, SLOW, LATENCY, IN_FLIGHT,
    CONNECTIONS, CLOSED, AUDIT_WAITING, AUDIT_OLDEST, AUDIT_MISSING, *OF_REALISED,
)  # fmt: skip
