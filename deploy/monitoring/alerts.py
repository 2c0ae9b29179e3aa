"""Alerts that wake somebody (page) or are looked at within a day (ticket); each has its entry in docs/runbook.md.

The objectives: 99.9 % of the events are assessed within 5 s of their publishing, and 99.9 % of the REST service's
requests are answered within 100 ms and without a failure of ours, over 30 days. Burn rates and windows are those of
Google's SRE workbook, chapter 5: 2 % of the month's budget in an hour, 5 % in six hours, 10 % in a day or in three.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from deploy.monitoring.language import MonitoringSystem
from pipeline.runtime.metrics import (
    AUDIT_MISSING,
    AUDIT_OLDEST,
    CLOSED,
    CONFLICTS,
    DRIFT,
    DRIFT_CHECKS,
    DUPLICATES,
    EVENTS,
    HELD,
    IN_TIME_S,
    LATE,
    LEVEL_CHANGES,
    LOOKS_FAILED,
    MODEL,
    MODELS_REFUSED,
    NO_PROGRESS,
    OLDEST,
    PROMPT_S,
    REALISED_PRECISION,
    REDIS_LIMIT,
    REDIS_USED,
    REJECTS,
    REQUESTS,
    SLOW,
    STAGE,
    STORE_WHOLE,
    WAITING,
)

OBJECTIVE = 0.999
BUDGET = round(1 - OBJECTIVE, 6)
PROMPT_MS = PROMPT_S * 1e3
STALLED_S = 300
NO_PROGRESS_S = 120  # the process ends by itself after 300
AUDIT_BEHIND_S = 600  # records are kept for an hour and more
AT_RISK_S = 86_400  # a subscription keeps messages for seven days (deploy/terraform): six are left


class Severity(StrEnum):
    PAGE = "page"
    TICKET = "ticket"


@dataclass(frozen=True)
class AlertRule:
    """It is raised when `asks` has an answer for `minutes` on end."""

    name: str
    severity: Severity
    says: str
    minutes: int
    asks: Callable[[MonitoringSystem], str]


def late(q: MonitoringSystem, window: str) -> str:
    return f"{q.rate(LATE, window)} / {q.rate(EVENTS, window)}"


def slow(q: MonitoringSystem, window: str) -> str:
    return f"{q.rate(SLOW, window)} / {q.rate(REQUESTS, window)}"


def burns(
    q: MonitoringSystem,
    times: float,
    long: str,
    short: str,
    bad: Callable[[MonitoringSystem, str], str] = late,
) -> str:
    """The budget is spent so many times too fast, for some time and still."""
    limit = f"{times * BUDGET:g}"
    return f"({bad(q, long)} > {limit} and {bad(q, short)} > {limit})"


ALERTS = (
    AlertRule("LateFast", Severity.PAGE,
              f"So many events take longer than {IN_TIME_S} s that a month's budget is gone in two days.", 2,
              lambda q: burns(q, 14.4, "1h", "5m")),
    AlertRule("LateSlow", Severity.PAGE,
              f"So many events take longer than {IN_TIME_S} s that a month's budget is gone in five days.", 5,
              lambda q: burns(q, 6, "6h", "30m")),
    AlertRule("LateCreeping", Severity.TICKET,
              f"So many events take longer than {IN_TIME_S} s that a month's budget will not last the month.", 60,
              lambda q: f"{burns(q, 3, '1d', '2h')} or {burns(q, 1, '3d', '6h')}"),
    AlertRule("AnswersFast", Severity.PAGE,
              f"So many answers fail or take more than {PROMPT_MS:g} ms that a month's budget is gone in two days.", 2,
              lambda q: burns(q, 14.4, "1h", "5m", slow)),
    AlertRule("AnswersSlow", Severity.PAGE,
              f"So many answers fail or take more than {PROMPT_MS:g} ms that a month's budget is gone in five days.", 5,
              lambda q: burns(q, 6, "6h", "30m", slow)),
    AlertRule("AnswersCreeping", Severity.TICKET,
              f"So many answers fail or take more than {PROMPT_MS:g} ms that a month's budget will not last it.", 60,
              lambda q: f"{burns(q, 3, '1d', '2h', slow)} or {burns(q, 1, '3d', '6h', slow)}"),
    AlertRule("AuditBehind", Severity.TICKET,
              f"Records of the audit trail have waited for BigQuery for more than {AUDIT_BEHIND_S // 60} minutes.", 5,
              lambda q: f"{q.latest(AUDIT_OLDEST)} > {AUDIT_BEHIND_S}"),
    AlertRule("AuditMissing", Severity.PAGE,
              "The audit trail is full: events leave no record in it, and nobody may look at a customer.", 0,
              lambda q: f"{q.rate(AUDIT_MISSING, '10m')} > 0"),
    AlertRule("CallersCrowd", Severity.TICKET,
              "The REST service ends connections of callers, as there are too many or their answers stay unread.", 10,
              lambda q: f"{q.rate(CLOSED, '10m')} > 0"),
    AlertRule("Stalled", Severity.PAGE,
              f"The oldest event has waited for more than {STALLED_S // 60} minutes: too little is assessed.", 2,
              lambda q: f"{q.latest(OLDEST)} > {STALLED_S}"),
    AlertRule("EventsAtRisk", Severity.PAGE,
              "The oldest event has waited for a day. Pub/Sub drops it after seven.", 5,
              lambda q: f"{q.latest(OLDEST)} > {AT_RISK_S}"),
    AlertRule("JobDown", Severity.PAGE, "No job tells anything, or it has failed.", 5, lambda q: q.down(EVENTS)),
    AlertRule("NoProgress", Severity.PAGE,
              f"Messages are at hand, no service is away, and nothing got done for {NO_PROGRESS_S // 60} minutes.", 0,
              lambda q: f"{q.latest(NO_PROGRESS)} > {NO_PROGRESS_S}"),
    AlertRule("Waiting", Severity.PAGE, "The job waits for Redis, Pub/Sub or BigQuery.", 5,
              lambda q: f"{q.latest(WAITING, by_label=True)} > 0"),
    AlertRule("Rejects", Severity.TICKET, "More than 1 % of the messages are dead letters.", 15,
              lambda q: f"{q.rate(REJECTS, '15m')} / {q.rate(EVENTS, '15m')} > 0.01"),
    AlertRule("BadRecords", Severity.PAGE, "A record in Redis cannot be read; its events become dead letters.", 0,
              lambda q: f"{q.rate(REJECTS, '10m', value='bad_record')} > 0"),
    AlertRule("Duplicates", Severity.TICKET, "More than 10 % of the events come again.", 30,
              lambda q: f"{q.rate(DUPLICATES, '30m')} / {q.rate(EVENTS, '30m')} > 0.1"),
    AlertRule("Conflicts", Severity.TICKET, "Over 10 % of the events are done twice, as workers meet in records.", 30,
              lambda q: f"{q.rate(CONFLICTS, '30m')} / {q.rate(EVENTS, '30m')} > 0.1"),
    AlertRule("StoreDamaged", Severity.PAGE,
              "Redis lost records, or is being repaired: nothing is assessed until it is whole.", 1,
              lambda q: f"{q.latest(STORE_WHOLE, 'min')} < 1"),
    AlertRule("RedisSlow", Severity.TICKET, "Reading or committing a batch takes more than half a second.", 15,
              lambda q: f"{q.mean(STAGE, '15m', 'read')} > 0.5 or {q.mean(STAGE, '15m', 'commit')} > 0.5"),
    AlertRule("RedisFull", Severity.PAGE, "Redis uses more than 80 % of its memory; full, it refuses to write.", 5,
              lambda q: f"{q.latest(REDIS_USED)} / ({q.latest(REDIS_LIMIT)} > 0) > 0.8"),
    AlertRule("ModelSlow", Severity.TICKET, "Scoring a batch takes more than half a second.", 15,
              lambda q: f"{q.mean(STAGE, '15m', 'score')} > 0.5"),
    AlertRule("SinksSlow", Severity.TICKET, "Batches wait for more than two seconds until they have left.", 15,
              lambda q: f"{q.mean(STAGE, '15m', 'send')} > 2"),
    AlertRule("BreakerOpen", Severity.PAGE,
              "More customers than the policy allows in an hour would have been recommended for off-boarding.", 0,
              lambda q: f"{q.rate(HELD, '10m')} > 0"),
    AlertRule("LevelsUnusual", Severity.TICKET,
              "Three times as many levels change, of as many events, as at the same time yesterday.", 30,
              lambda q: _against_yesterday(q)),
    AlertRule("ModelRefused", Severity.TICKET, "A promoted bundle cannot be used; the one before stays in use.", 0,
              lambda q: f"{q.rate(MODELS_REFUSED, '10m')} > 0"),
    AlertRule("BundlesUnreachable", Severity.TICKET,
              "The bundle folder cannot be read, or its pointer is gone; the model in use goes on.", 15,
              lambda q: f"{q.rate(LOOKS_FAILED, '10m')} > 0"),
    AlertRule("ModelsDiffer", Severity.TICKET, "Workers have been using different models for half an hour.", 30,
              lambda q: f"count({q.rate(MODEL, by_label=True)} > 0) > 1"),
    AlertRule("ScoreDrift", Severity.TICKET, "Scores are distributed differently from training's (PSI above 0.2).", 60,
              lambda q: f"{q.rate(DRIFT, '6h', value='score')} / {q.rate(DRIFT_CHECKS, '6h')} > 0.5"),
    AlertRule("FeatureDrift", Severity.TICKET,
              "A tenth of the features have drifted from training (CSI above 0.1 and above chance).", 60,
              lambda q: f"{q.rate(DRIFT, '6h', value='features')} / {q.rate(DRIFT_CHECKS, '6h')} > 0.5"),
    AlertRule("MostlyDenied", Severity.TICKET,
              "Of the recommendations whose outcome is known most were wrong, and that is no chance.", 60,
              lambda q: f"{q.latest(REALISED_PRECISION, 'min', value='high')} < 0.5"),
)  # fmt: skip


def _against_yesterday(q: MonitoringSystem) -> str:
    share = f"{q.rate(LEVEL_CHANGES, '1h')} / {q.rate(EVENTS, '1h')}"
    yesterday = share.replace("[1h]", "[1h] offset 1d")
    return f"{share} > 3 * ({yesterday})"
