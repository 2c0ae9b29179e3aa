"""A run on servers that work is certified; whatever is lost, doubled or made up afterwards is found."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from features.record import dumps, loads
from pipeline.certification.account import StreamEvidence, failed
from pipeline.certification.verdict import latency_figures, stream_figures, under_way_bound, verdict
from pipeline.pubsub.message import Message
from pipeline.reconciliation.compare import Invariant
from tests.certification.conftest import FinishedRun

Forge = Callable[[StreamEvidence], StreamEvidence]


def judged(run: FinishedRun, evidence: StreamEvidence | None = None) -> Sequence[Invariant]:
    return failed(verdict(run.exercise, evidence or run.evidence, run.sent))


def test_servers_that_work_are_certified(finished: FinishedRun) -> None:
    assert judged(finished) == []
    exercise = finished.exercise
    assert [each.name for each in exercise.faults] == [
        "redis-cut",
        "redis-stall",
        "pubsub-cut",
        "bigquery-cut",
    ]
    figures = dict(stream_figures(exercise, finished.evidence))
    assert figures["assessed"] == figures["events, each once"] == 354
    assert figures["dead letters"] == 6 and figures["messages that repeat an event"] == 40
    assert figures["looks at all balances"] > 10
    assert figures["most events apart"] <= under_way_bound(exercise) == 100
    latency = latency_figures(finished.evidence.alerts, exercise.faults)
    assert latency.alerts == figures["alerts"] > 50
    assert 0 < latency.undisturbed["p50"] <= latency.undisturbed["max"]


def with_alert(evidence: StreamEvidence, alert: Message) -> StreamEvidence:
    return replace(evidence, alerts=[*evidence.alerts, alert])


def another_level(evidence: StreamEvidence) -> StreamEvidence:
    """A second copy of an alert says that the customer is on another level."""
    alert = evidence.alerts[0]
    body = alert.data.replace(b'"level":"', b'"level":"NOT_')
    assert body != alert.data
    return with_alert(evidence, replace_data(alert, body))


def replace_data(message: Message, data: bytes) -> Message:
    return Message(data, message.attributes, message.message_id, message.publish_us)


def false_alert(evidence: StreamEvidence) -> StreamEvidence:
    alert = evidence.alerts[0]
    attributes = {**alert.attributes, "id": alert.attributes["id"] + "000"}
    return with_alert(evidence, Message(alert.data, attributes, "1", alert.publish_us))


def lost_alert(evidence: StreamEvidence) -> StreamEvidence:
    id = evidence.alerts[0].attributes["id"]
    return replace(evidence, alerts=[each for each in evidence.alerts if each.attributes["id"] != id])


def lost_event(evidence: StreamEvidence) -> StreamEvidence:
    return replace(evidence, assessed=evidence.assessed[1:])


def event_counted_twice(evidence: StreamEvidence) -> StreamEvidence:
    again = evidence.assessed[0]._replace(seq=1_000)
    return replace(evidence, assessed=[*evidence.assessed, again])


def event_of_nobody(evidence: StreamEvidence) -> StreamEvidence:
    made_up = evidence.assessed[0]._replace(event_id="nobody", customer="nobody", seq=1, transition=None)
    return replace(evidence, assessed=[*evidence.assessed, made_up._replace(level=made_up.level_before)])


def wrong_reason(evidence: StreamEvidence) -> StreamEvidence:
    first, *others = evidence.letters
    attributes = {**first.attributes, "dead_letter_reason": "too_late"}
    return replace(
        evidence, letters=[Message(first.data, attributes, first.message_id, first.publish_us), *others]
    )


def lost_letter(evidence: StreamEvidence) -> StreamEvidence:
    return replace(evidence, letters=evidence.letters[1:])


@pytest.mark.parametrize(
    ("forge", "found"),
    [
        (another_level, "every copy of an alert says what the log says"),
        (false_alert, "no alert is false"),
        (lost_alert, "every change of a customer has its alert"),
        (lost_event, "no event was lost"),
        (event_counted_twice, "no event was counted twice"),
        (event_of_nobody, "no event was made up"),
        (wrong_reason, "every message that is no event is a dead letter with the right reason"),
        (lost_letter, "dead letters are the same in table and topic"),
    ],
)
def test_a_forged_outcome_is_not_certified(finished: FinishedRun, forge: Forge, found: str) -> None:
    assert found in {check.name for check in judged(finished, forge(finished.evidence))}


@pytest.mark.parametrize("loss", ["lost", "older", "another sum", "damaged"])
def test_a_redis_that_loses_writes_is_not_certified(finished: FinishedRun, loss: str) -> None:
    balances = finished.exercise.balances
    payee = balances.keys[0]
    before = balances.reader.call("GET", payee)
    plan = balances.use_case.plans["payee"]
    record = loads(plan, before)
    last = record.ring[-1]
    richer = replace(last, values=(last.values[0] + 1, *last.values[1:]))
    changed = {
        "lost": None,
        "older": dumps(plan, replace(record, seq=record.seq - 1, ring=record.ring[:-1])),
        "another sum": dumps(plan, replace(record, ring=(*record.ring[:-1], richer))),
        "damaged": before[:-8],
    }[loss]
    balances.reader.call("DEL", payee) if changed is None else balances.reader.call("SET", payee, changed)
    try:
        names = {check.name for check in judged(finished)}
    finally:
        balances.reader.call("SET", payee, before)
    assert "every record holds the sums of what was published, each event once" in names
    assert "what was paid and what was received sum to nought" in names
    assert "records of payee equal a replay, byte by byte" in names


def test_a_run_that_was_broken_off_is_not_certified(finished: FinishedRun) -> None:
    finished.exercise.failures.append("the job ended by itself")
    try:
        assert [check.name for check in judged(finished)] == ["the run came to its end"]
    finally:
        finished.exercise.failures.clear()
