"""Panels of the dashboards, from the top: health, load, speed, results, and the parts they stand on."""

from collections.abc import Callable
from dataclasses import dataclass

from deploy.monitoring import alerts
from deploy.monitoring.language import JOB, Cloud, Inexpressible, MonitoringSystem
from pipeline.runtime import metrics as m

Question = Callable[[MonitoringSystem], str]


@dataclass(frozen=True)
class Panel:
    """Lines by their legend; {label} stands for a label's value. What a place cannot answer is left out there."""

    title: str
    unit: str  # as Grafana names it
    lines: tuple[tuple[str, Question], ...]


def lines(**of: Question) -> tuple[tuple[str, Question], ...]:
    return tuple(of.items())


def rate(metric: m.Metric, times: int = 1) -> Question:
    """A second, or in so many seconds."""
    return lambda q: q.rate(metric) + (f" * {times}" if times > 1 else "")


def by_label(metric: m.Metric) -> Question:
    return lambda q: q.rate(metric, by_label=True)


def stage(name: str) -> tuple[tuple[str, Question], ...]:
    return (
        (f"{name}, mean", lambda q: q.mean(m.STAGE, value=name)),
        (f"{name}, 99 %", lambda q: q.quantile(m.STAGE, 0.99, value=name)),
    )


def spread(metric: m.Metric) -> tuple[tuple[str, Question], ...]:
    return (
        ("mean", lambda q: q.mean(metric)),
        ("median", lambda q: q.quantile(metric, 0.5)),
        ("99 %", lambda q: q.quantile(metric, 0.99)),
    )


def latest(metric: m.Metric, how: str = "max", each: bool = False) -> Question:
    return lambda q: q.latest(metric, how, each)


def of_dataflow(metric: str) -> Question:
    """Return the panels of Dataflow's own metrics of the job."""

    def ask(q: MonitoringSystem) -> str:
        if not isinstance(q, Cloud):
            raise Inexpressible("only Dataflow says so")
        return f"max(dataflow_googleapis_com:{metric}{{{JOB}}})"

    return ask


def budget(share: Callable[[MonitoringSystem, str], str]) -> tuple[tuple[str, Question], ...]:
    """The share of the budget that is used, in windows of three lengths."""

    def over(window: str) -> Question:
        return lambda q: f"{share(q, window)} / {alerts.BUDGET}"

    return tuple((window, over(window)) for window in ("5m", "1h", "6h"))


def drifted(what: str) -> Question:
    """The share of checks that found drift."""
    return lambda q: f"{q.rate(m.DRIFT, '1h', value=what)} / {q.rate(m.DRIFT_CHECKS, '1h')}"


def mean_time(stage: str) -> Question:
    return lambda q: q.mean(m.STAGE, value=stage)


def longest_wait(step: str) -> Question:
    return lambda q: q.quantile(m.WAIT, 0.99, value=step)


HOUR_S = 3_600
PANELS = (
    Panel("Late events, of the budget (1: just so)", "short", budget(alerts.late)),
    Panel("REST service: slow and failed answers, of the budget (1: just so)", "short", budget(alerts.slow)),
    Panel("Events a second", "short", lines(done=rate(m.EVENTS), late=rate(m.LATE))),
    Panel("Backlog", "short", lines(messages=latest(m.BACKLOG))),
    Panel("Oldest event not acknowledged", "s", lines(age=latest(m.OLDEST))),
    Panel("System lag: publishing to assessed", "s", (
        *spread(m.LAG), ("Dataflow", of_dataflow("job_system_lag")),
        ("Dataflow, oldest message", of_dataflow("job_data_watermark_age")))),
    Panel("Event-time lag", "s", spread(m.EVENT_LAG)),
    Panel("Dead letters a second, by reason", "short", (("{reason}", by_label(m.REJECTS)),)),
    Panel("Duplicates and conflicts a second", "short",
          lines(duplicates=rate(m.DUPLICATES), conflicts=rate(m.CONFLICTS))),
    Panel("Events of shared records a second", "short",
          lines(asked=rate(m.OWNERS_ASKED), unanswered=rate(m.OWNERS_UNANSWERED))),
    Panel("Workers that share records", "short", lines(workers=latest(m.OWNERS))),
    Panel("Changes an hour", "short", lines(
        levels=rate(m.LEVEL_CHANGES, HOUR_S), alerts=rate(m.ALERTS, HOUR_S),
        recommendations=rate(m.RECOMMENDATIONS, HOUR_S), held=rate(m.HELD, HOUR_S))),
    Panel("Breaker (1: open)", "short", lines(open=latest(m.BREAKER))),
    Panel("Scored events a second, by upper end of the score", "short", (("{band}", by_label(m.SCORES)),)),
    Panel("Drift of the scores (PSI)", "short", lines(score=latest(m.SCORE_PSI, "avg"))),
    Panel("Drift of the features (CSI)", "short", (("{feature}", latest(m.FEATURE_CSI, "avg", each=True)),)),
    Panel("Share of checks that found drift", "percentunit", tuple(
        (what, drifted(what)) for what in m.DRIFTED)),
    Panel("Past decisions by what is known of them", "short",
          (("{outcome}", latest(m.REALISED, "max", each=True)),)),
    Panel("Realised precision, with its interval", "percentunit",
          (("{bound}", latest(m.REALISED_PRECISION, "max", each=True)),)),
    Panel("Realised recall, with its interval", "percentunit",
          (("{bound}", latest(m.REALISED_RECALL, "max", each=True)),)),
    Panel("Events a second, by model", "short", (("{model}", by_label(m.MODEL)),)),
    Panel("Bundles refused, looks at the folder that failed, an hour", "short",
          lines(refused=rate(m.MODELS_REFUSED, HOUR_S), failed=rate(m.LOOKS_FAILED, HOUR_S))),
    Panel("Redis: time of a batch", "s", (*stage("read"), *stage("commit"))),
    Panel("Redis: memory", "bytes", lines(used=latest(m.REDIS_USED), limit=latest(m.REDIS_LIMIT))),
    Panel("Redis: holds what was written (0: damaged)", "short", lines(whole=latest(m.STORE_WHOLE, "min"))),
    Panel("Redis: losses of records an hour", "short", lines(lost=rate(m.STORE_DAMAGES, HOUR_S))),
    Panel("ONNX: time of a batch", "s", (*stage("score"), *stage("shadow"))),
    Panel("Time of a batch in the other stages, mean", "s", tuple(
        (name, mean_time(name)) for name in m.STAGES if name not in ("read", "commit", "score", "shadow"))),
    Panel("Time that a batch waits before a step, 99 %", "s", tuple((name, longest_wait(name)) for name in m.WAITS)),
    Panel("REST service: requests a second, by status", "short", (("{status}", by_label(m.REQUESTS)),)),
    Panel("REST service: time to the answer", "s", spread(m.LATENCY)),
    Panel("REST service: requests in flight, of all pods", "short",
          lines(waiting=latest(m.IN_FLIGHT, "sum"))),
    Panel("REST service: records of the audit trail that wait", "short",
          lines(records=latest(m.AUDIT_WAITING, "sum"))),
    Panel("REST service: oldest record of the audit trail that waits", "s", lines(age=latest(m.AUDIT_OLDEST))),
    Panel("REST service: requests an hour without a record in the audit trail", "short",
          lines(requests=rate(m.AUDIT_MISSING, HOUR_S))),
    Panel("REST service: open connections, of all pods", "short", lines(open=latest(m.CONNECTIONS, "sum"))),
    Panel("REST service: connections ended early a second, by reason", "short", (("{reason}", by_label(m.CLOSED)),)),
    Panel("Messages of a batch", "short", spread(m.BATCH)),
    Panel("Messages taken and not acknowledged", "short", lines(messages=latest(m.UNACKNOWLEDGED, "sum"))),
    Panel("Rows that wait for BigQuery", "bytes", (
        ("in memory", latest(m.ROWS_WAITING, "sum")), ("in files", latest(m.ROWS_SPILLED, "sum")))),
    Panel("Pulling paused, because of rows that wait (1: paused)", "short", lines(paused=latest(m.PULLING_PAUSED))),
    Panel("Time without progress although messages are at hand", "s", lines(longest=latest(m.NO_PROGRESS))),
    Panel("Threads that wait, by what for", "short", (("{part}", latest(m.WAITING, "sum", each=True)),)),
)  # fmt: skip
