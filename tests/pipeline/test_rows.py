"""The job's output states exactly what was assessed, whatever became of an event."""

import json
from dataclasses import replace

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from export import policy
from export.policy import Level, Transition
from features.events import to_json
from features.kernel import Disposition
from features.times import rfc3339
from pipeline.bigquery.schemas import ASSESSMENTS, DEAD_LETTERS
from pipeline.engine.assess import assess
from pipeline.engine.assessments import Assessments
from pipeline.engine.challenger import Shadow
from pipeline.engine.rejects import Reject, too_late
from pipeline.outputs import publications, rows
from pipeline.pubsub.client import PUBLISH_BYTES, PUBLISH_MESSAGES, Publication, fitting, size_bytes
from pipeline.pubsub.message import ASSESSED_WITH, Message
from pipeline.stores.store import MemoryStore
from tests.pipeline.market import MINUTE_US, START_US, Sent, batched, history, market, payment, sent
from tests.pipeline.models import THRESHOLDS, engine

NOW_US = START_US + 10**15


def messages(events: list[Sent]) -> list[Message]:
    return [
        Message(
            to_json(e.event),
            {"event_type": e.event_type} | ({"caller": "ann@bank.example"} if i % 3 == 0 else {}),
            str(i),
            e.published_us,
        )
        for i, e in enumerate(events)
    ]


@pytest.fixture(scope="module")
def mixed() -> tuple[list[Message], Assessments]:
    """A batch with duplicates of the same and of an earlier batch, a profile, an override and a late event."""
    use_case = market("1h")
    own = engine(use_case, MemoryStore())
    day_us = START_US + 24 * 60 * MINUTE_US
    override = sent(
        use_case, "override", day_us, customer="c1", level="LOW", author="ann", reason="known",
        until=rfc3339(day_us + 9 * MINUTE_US),
    )  # fmt: skip
    before = [*history(use_case, 800, seed=5, customers=3), override]
    assess(own, batched(use_case, before))
    # c9's own ring is short; c1's holds some 64 events of the last hours, so its first minute is closed.
    late = payment(use_case, "late", START_US, "c1", None, 20.0)
    events = [*before[-60:], *history(use_case, 900, seed=5, customers=3)[800:], late]
    events += [payment(use_case, "x", day_us, "c9", "m9", 5.0)] * 2
    return messages(events), assess(own, batched(use_case, events))


def expected_row(message: Message, said: Assessments, i: int) -> dict[str, object]:
    """The row of event i, one value at a time."""
    batch, outcome = said.batch, int(said.outcome[i])
    transition = Transition(outcome >> 4 & 7)
    is_applied = said.disposition[i] == Disposition.APPLIED
    has_vector = batch.scored[i] and (is_applied or said.exact[i])
    entities = [
        {"entity": name, "id": batch.arrivals[name].ids[batch.arrivals[name].record[i]], "seq": int(seqs[i])}
        for name, seqs in said.other_seqs.items()
        if batch.arrivals[name].record[i] >= 0 and seqs[i] > 0
    ]
    return {
        "event_id": batch.event_id[i],
        "event_type": batch.types[i],
        "event_time": int(batch.time_us[i]),
        "publish_time": message.publish_us,
        "assessed_at": NOW_US,
        "use_case": "market",
        "customer": batch.subject[i],
        "seq": int(said.seq[i]),
        "entities": entities,
        "disposition": "applied" if is_applied else "duplicate",
        "score": None if np.isnan(said.score[i]) else float(said.score[i]),
        "level_before": Level(outcome & 3).name,
        "level": Level(outcome >> 2 & 3).name,
        "transition": None if transition is Transition.NONE else transition.name,
        "features": [float(value) for value in said.vectors[i]] if has_vector else [],
        "model": said.model_version,
        "fingerprint": said.fingerprint,
        "body": message.data.decode(),
        "caller": message.attributes.get("caller"),
        "challenger": None,
        "challenger_score": None,
        "challenger_level": None,
        "score_level": None if np.isnan(said.score[i]) else level_of(float(said.score[i])),
    }


def level_of(score: float) -> str:
    """Return the level by the thresholds of the tests' models."""
    return "HIGH" if score >= THRESHOLDS["high"] else "MEDIUM" if score >= THRESHOLDS["medium"] else "LOW"


def plain(batch: pa.RecordBatch) -> list[dict[str, object]]:
    """Rows with times as microseconds."""
    columns = [c.cast(pa.int64()) if pa.types.is_timestamp(c.type) else c for c in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names).to_pylist()


def test_a_row_says_what_was_found(mixed: tuple[list[Message], Assessments]) -> None:
    of, said = mixed
    kept = [i for i, found in enumerate(said.disposition) if found != Disposition.TOO_LATE]
    batch = rows.assessment_rows(of, said, NOW_US)
    assert batch.schema == ASSESSMENTS.rows
    batch.validate(full=True)
    np.testing.assert_equal(plain(batch), [expected_row(of[i], said, i) for i in kept])


def test_a_row_says_what_the_challenger_said(mixed: tuple[list[Message], Assessments]) -> None:
    """Rows that it did not score have nothing of it."""
    of, said = mixed
    score = np.full(len(of), np.nan, np.float32)
    score[::2] = np.float32(0.7)
    high = np.full(len(of), Level.HIGH, np.uint8)
    found = plain(rows.assessment_rows(of, replace(said, shadow=Shadow("new", score, high)), NOW_US))
    kept = np.flatnonzero(said.disposition != Disposition.TOO_LATE)
    names = ("challenger", "challenger_score", "challenger_level")
    for row, i in zip(found, kept.tolist(), strict=True):
        expected = (None,) * 3 if i % 2 else ("new", float(np.float32(0.7)), "HIGH")
        assert tuple(row[name] for name in names) == expected
    assert {name: value for name, value in found[0].items() if name not in names} == {
        name: value
        for name, value in plain(rows.assessment_rows(of, said, NOW_US))[0].items()
        if name not in names
    }


def test_the_level_of_a_score_is_unknown_where_another_model_scored(
    mixed: tuple[list[Message], Assessments],
) -> None:
    """The REST service assessed these before a model was exchanged: its thresholds are not known here."""
    of, said = mixed
    by_service = [replaced(message, {ASSESSED_WITH: "before"}) for message in of]
    found = plain(rows.assessment_rows(by_service, said, NOW_US))
    assert {"applied", "duplicate"} == {row["disposition"] for row in found}
    for row in found:
        if row["disposition"] == "duplicate":
            assert (row["model"], row["score_level"]) == ("before", None)
        else:
            assert (row["score_level"] is None) == (row["score"] is None)


def replaced(message: Message, attributes: dict[str, str]) -> Message:
    return message._replace(attributes={**message.attributes, **attributes})


def test_the_mixed_batch_has_everything_in_it(mixed: tuple[list[Message], Assessments]) -> None:
    of, said = mixed
    found = plain(rows.assessment_rows(of, said, NOW_US))
    assert {row["disposition"] for row in found} == {"applied", "duplicate"}
    assert any(len(row["entities"]) == 0 for row in found) and any(row["entities"] for row in found)
    assert any(row["features"] == [] and row["event_type"] == "profile" for row in found)
    assert {None, "OVERRIDDEN"} <= {row["transition"] for row in found}
    assert len(too_late(of, said)) == len(of) - len(found) > 0


def test_alerts_are_of_changes_and_keep_their_id(mixed: tuple[list[Message], Assessments]) -> None:
    of, said = mixed
    found = plain(rows.assessment_rows(of, said, NOW_US))
    changed = [row for row in found if row["level_before"] != row["level"] or row["transition"]]
    alerts = publications.alerts(of, said, NOW_US)
    assert [json.loads(alert.data)["event_id"] for alert in alerts] == [row["event_id"] for row in changed]
    for alert, row in zip(alerts, changed, strict=True):
        body = json.loads(alert.data)
        shared = ("use_case", "customer", "seq", "score", "level_before", "level", "transition", "model")
        assert {name: body[name] for name in shared} == {name: row[name] for name in shared}
        assert body["event_time"] == alert.attributes["event_time"] == rfc3339(row["event_time"])
        assert body["assessed_at"] == rfc3339(NOW_US)
        assert alert.attributes["id"] == f"market:{row['fingerprint']}:{row['customer']}:{row['seq']}"
        assert alert.attributes["published_us"] == str(row["publish_time"])
        assert alert.attributes["transition"] == (row["transition"] or "NONE")
    again = [alert.attributes["id"] for alert in alerts]
    assert any(row["disposition"] == "duplicate" for row in changed), "an alert may have been lost by a crash"
    assert len(set(again)) == len({(row["customer"], row["seq"]) for row in changed})


def test_nothing_changed_is_no_alert() -> None:
    use_case = market()
    events = history(use_case, 1, seed=1)
    said = assess(engine(use_case, MemoryStore()), batched(use_case, events))
    assert policy.level_after(said.outcome).tolist() == [Level.LOW]
    assert publications.alerts(messages(events), said, NOW_US) == []


def letter(message: Message, detail: str = "why") -> Publication:
    return publications.dead_letter("market", Reject(message, "invalid", detail))


def test_a_dead_letter_is_the_message_and_the_reason() -> None:
    message = Message(b"\x00\xff", {"event_type": "payment", "trace": "7"}, "m1", START_US)
    found = letter(message, "détail " * 400)
    assert found.data == message.data
    assert found.attributes.items() >= message.attributes.items()
    assert found.attributes["dead_letter_reason"] == "invalid"
    assert found.attributes["dead_letter_message_id"] == "m1"
    assert 1_020 < len(found.attributes["dead_letter_detail"].encode()) <= 1_024


def test_a_dead_letter_without_room_keeps_the_attributes_of_the_sender() -> None:
    many = {f"a{i}": "x" for i in range(99)}
    assert letter(Message(b"", many, "m1", 0)).attributes == {**many, "dead_letter_reason": "invalid"}
    full = {f"a{i}": "x" for i in range(100)}
    assert letter(Message(b"", full, "m1", 0)).attributes == full


def test_dead_letter_rows_keep_bytes_and_attributes() -> None:
    message = Message(b"\x00\xff", {"event_type": "paymént"}, "m1", START_US)
    large = Message(bytes(10_000_000), {}, "m2", START_US)
    known = Reject(message, "too_late", "old", "payment", "p1", START_US - 5)
    batch = rows.dead_letter_rows("market", [known, Reject(large, "undecodable", "zeros")], NOW_US)
    assert batch.schema == DEAD_LETTERS.rows
    first, second = plain(batch)
    assert first == {
        "use_case": "market", "reason": "too_late", "detail": "old", "event_type": "payment", "event_id": "p1",
        "event_time": START_US - 5, "message_id": "m1", "publish_time": START_US, "rejected_at": NOW_US,
        "body": message.data, "attributes": first["attributes"],
    }  # fmt: skip
    assert msgspec.json.decode(str(first["attributes"])) == message.attributes
    assert second["body"] == bytes(rows.ROW_BYTES)
    assert second["event_id"] is second["event_time"] is second["event_type"] is None


def test_publications_go_in_requests_that_pubsub_takes() -> None:
    small, large = Publication(b"x", {}), Publication(bytes(4_000_000), {"a": "é" * 10})
    many = [small] * 2_500 + [large] * 5 + [Publication(bytes(9_900_000), {})] + [small]
    groups = list(fitting(many))
    assert [one for group in groups for one in group] == many
    assert max(map(len, groups)) == PUBLISH_MESSAGES
    assert all(len(g) == 1 or sum(map(size_bytes, g)) <= PUBLISH_BYTES for g in groups)
    assert list(fitting([])) == []
