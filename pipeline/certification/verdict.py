"""The verdict on a run: what readers see, held against what was published and against a replay of the log."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.certification.account import StreamEvidence, account
from pipeline.certification.balances import moving_checks, resting_checks
from pipeline.certification.exercise import Exercise, FaultReport
from pipeline.certification.workload import NUMBER, REASONS
from pipeline.pubsub.message import Message
from pipeline.reconciliation.compare import Invariant, invariant
from pipeline.reconciliation.published import PublishedMessages
from pipeline.reconciliation.reconcile import reconcile

PERCENTILES = {"p50": 50, "p95": 95, "p99": 99, "max": 100}


@dataclass(frozen=True)
class LatencyFigures:
    """Milliseconds from the publication of an event to that of the first copy of its alert, by the server's clock."""

    alerts: int
    undisturbed: dict[str, float]  # by percentile; empty: there was no such alert
    disturbed: dict[str, float]  # of events that met a fault, or the recovery from it, on their way


def verdict(exercise: Exercise, evidence: StreamEvidence, sent: Sequence[Message]) -> tuple[Invariant, ...]:
    """Return every check of a run; `sent` is what an independent subscription has received.

    Raises what `reconcile` raises.
    """
    place, use_case, workload = exercise.place, exercise.use_case, exercise.workload
    replayed = reconcile(
        use_case, project=place.project, dataset=place.run, bundle=place.bundles,
        store=exercise.balances.reader, prefix=place.prefix, sent=PublishedMessages.of(use_case, sent),
    )  # fmt: skip
    return (
        invariant("the run came to its end", 1, exercise.failures),
        _recovered(exercise.faults),
        *account(use_case, evidence, workload.events, set(REASONS)),
        _refusals(exercise, evidence),
        *_moving(exercise),
        *resting_checks(exercise.balances.balances(), workload),
        *replayed.checks,
    )


def under_way_bound(exercise: Exercise) -> int:
    """Return how many events can be under way at once: a batch a worker, and as many again after a kill."""
    settings = exercise.system.settings
    return settings.batch * settings.workers * (2 if settings.kills else 1)


def _moving(exercise: Exercise) -> tuple[Invariant, ...]:
    """Check the balances while the job was at work; a cluster cannot be read at one moment."""
    if exercise.system.settings.redis_cluster:
        return ()
    return moving_checks(exercise.balances, under_way_bound(exercise))


def _recovered(faults: Sequence[FaultReport]) -> Invariant:
    stuck = (f"{each.name} at {each.began_at}" for each in faults if each.recovered_s is None)
    return invariant("the job recovered from every fault by itself", len(faults), stuck)


def _refusals(exercise: Exercise, evidence: StreamEvidence) -> Invariant:
    """Compare the reasons in the dead letters with those that the messages were made for."""
    reasons = {
        each.attributes.get(NUMBER, ""): each.attributes.get("dead_letter_reason")
        for each in evidence.letters
    }
    expected = exercise.workload.refusals
    wrong = (
        f"message {number}: found {reasons.get(number, 'no dead letter')}, expected {expected.get(number, 'none')}"
        for number in sorted(reasons.keys() | expected.keys())
        if reasons.get(number) != expected.get(number)
    )
    return invariant(
        "every message that is no event is a dead letter with the right reason", len(expected), wrong
    )


def latency_figures(alerts: Sequence[Message], faults: Sequence[FaultReport]) -> LatencyFigures:
    """Return how long alerts took, apart for events that met a fault or the recovery from it on their way."""
    first: dict[str, tuple[int, int]] = {}  # when the alert and its event were published
    for alert in alerts:
        times_us = alert.publish_us, int(alert.attributes["published_us"])
        id = alert.attributes["id"]
        first[id] = min(first.get(id, times_us), times_us)

    def is_disturbed(alert_us: int, event_us: int) -> bool:
        return any(event_us <= fault.ended_us and fault.began_us <= alert_us for fault in faults)

    in_fault = [
        alert_us - event_us for alert_us, event_us in first.values() if is_disturbed(alert_us, event_us)
    ]
    others = [
        alert_us - event_us for alert_us, event_us in first.values() if not is_disturbed(alert_us, event_us)
    ]
    return LatencyFigures(len(first), _percentiles(others), _percentiles(in_fault))


def _percentiles(took_us: Sequence[int]) -> dict[str, float]:
    if not took_us:
        return {}
    values = np.percentile(np.array(took_us) / 1e3, list(PERCENTILES.values())).round(1).tolist()
    return dict(zip(PERCENTILES, values, strict=True))


def stream_figures(exercise: Exercise, evidence: StreamEvidence) -> Iterator[tuple[str, int]]:
    """Yield counts of the stream for the report."""
    workload = exercise.workload
    yield "messages planned", len(workload.messages)
    yield "messages published", exercise.published
    yield "events, each once", len(workload.transfers)
    yield (
        "messages that repeat an event",
        len(workload.messages) - len(workload.transfers) - len(workload.refusals),
    )
    for reason, count in sorted(Counter(workload.refusals.values()).items()):
        yield f"messages made to be {reason}", count
    yield "assessed", len(evidence.assessed)
    yield "dead letters", len(evidence.refused)
    yield "alerts", len({each.attributes.get("id") for each in evidence.alerts})
    yield "copies of alerts", len(evidence.alerts)
    yield "starts of the job", exercise.starts + sum(fault.name == "kill" for fault in exercise.faults)
    yield "looks at all balances", exercise.balances.samples
    yield "looks that found them apart", exercise.balances.apart_samples
    yield "most events apart", exercise.balances.most.events
    yield "most cents apart", exercise.balances.most.cents
    yield "most events that may be under way", under_way_bound(exercise)
