"""Reconciling: what adds up is found to, with two entities, models, the breaker, copies; each fault has its check."""

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from google.cloud import bigquery

from export import bundle as bundles
from export.bundle import Bundle
from export.policy import Transition, transition
from features.events import to_json
from features.usecase import UseCase, parse
from pipeline.batch.backfill import assessed as backfilled
from pipeline.batch.backfill_basis import NOTHING, Basis, WrongHistory, basis, check
from pipeline.bigquery import tables
from pipeline.bigquery.assessment_log import Log, read_log
from pipeline.bigquery.client import Appender, query_client
from pipeline.engine.assess import assess
from pipeline.engine.engine import Engine
from pipeline.engine.rejects import too_late
from pipeline.files import Place
from pipeline.files.history import history as files_of
from pipeline.files.source import WarehouseTable
from pipeline.job.translate import decode
from pipeline.outputs import rows
from pipeline.pubsub.client import Publication
from pipeline.pubsub.message import Message
from pipeline.reconciliation.published import PublishedMessages, audit_subscription, collect
from pipeline.reconciliation.recompute import PIECE, pieces, steps
from pipeline.reconciliation.reconcile import Reconciliation, engines, reconcile
from pipeline.stores.readiness import Marker
from pipeline.stores.store import MemoryStore, record_keys
from tests.pipeline.broker import PROJECT as BROKER_PROJECT
from tests.pipeline.broker import broker_of
from tests.pipeline.market import MARKET, START_US, history, market, payment
from tests.pipeline.market import Sent as Event
from tests.pipeline.models import trained
from tests.pipeline.test_bigquery import SCHEMAS
from tests.pipeline.test_bigquery import assessments as large_rows

pytestmark = pytest.mark.usefixtures("bigquery_server")

PROJECT = "local-project"
DAY_US = 86_400_000_000
UNLIMITED, LIMITED = "min_events: 3}", "min_events: 3}, max_per_hour: 1"
BAD = (
    Message(b"\xff", {"event_type": "payment"}, "bad-1", START_US),
    Message(b"{}", {"event_type": "payment"}, "bad-2", START_US),
    Message(b"{}", {"event_type": "refund"}, "bad-3", START_US),
)


@dataclass(frozen=True)
class Told:
    """A stream that was assessed, and what was said about it."""

    use_case: UseCase
    root: str
    messages: list[Message]
    assessments: pa.Table
    dead_letters: pa.Table
    records: dict[bytes, bytes]

    @property
    def sent(self) -> PublishedMessages:
        return PublishedMessages.of(self.use_case, self.messages)

    def with_column(self, name: str, edit: Callable[[list], object]) -> "Told":
        """The assessments with a column's values changed in place."""
        values = self.assessments[name].to_pylist()
        edit(values)
        field = self.assessments.schema.field(name)
        at = self.assessments.schema.get_field_index(name)
        return replace(self, assessments=self.assessments.set_column(at, field, pa.array(values, field.type)))


def other(bundle: Bundle) -> Bundle:
    """The same model under another name, with other thresholds."""
    manifest = msgspec.structs.replace(
        bundle.manifest, id="market-other", thresholds={"medium": 0.2, "high": 0.5}
    )
    return msgspec.structs.replace(bundle, manifest=manifest)


def assessed(use_case: UseCase, root: str, n: int, seed: int, sizes: Sequence[int] = (70, 1, 130)) -> Told:
    """n events and some bad messages."""
    return assessed_from(use_case, root, history(use_case, n, seed), sizes)


def assessed_from(
    use_case: UseCase,
    root: str,
    events: Sequence[Event],
    sizes: Sequence[int] = (70, 1, 130),
    store: MemoryStore | None = None,
    emptied_at: int | None = None,
) -> Told:
    """Events and bad messages through two workers in turn; the second has another model.

    Before event `emptied_at` the store drops all records.
    """
    store, both = store or MemoryStore(), (trained(use_case), other(trained(use_case)))
    for one in both:
        bundles.save(one, root)
    bundles.promote(root, both[1].manifest.id)
    engines = [Engine.from_bundle(use_case, one, store) for one in both]
    messages = [
        Message(to_json(one.event), {"event_type": one.event_type}, str(i), one.published_us)
        for i, one in enumerate(events)
    ]
    messages += BAD
    said, letters, at = [], [], 0
    for engine, size in zip(cycle(engines), cycle(sizes)):
        if at == emptied_at:
            store.records.clear()
        decoded = decode(use_case, messages[at : at + size])
        found = assess(engine, decoded.events) if decoded.events else None
        rejects = decoded.rejects + (too_late(decoded.messages, found) if found else [])
        said += [rows.assessment_rows(decoded.messages, found, START_US + at)] if found else []
        letters += [rows.dead_letter_rows(use_case.name, rejects, START_US + at)] if rejects else []
        at += size
        if at >= len(messages):
            return Told(use_case, root, messages, pa.Table.from_batches(said), pa.Table.from_batches(letters),
                        store.records)  # fmt: skip
    raise AssertionError


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return assessed(market("1m"), str(tmp_path_factory.mktemp("bundles")), 600, seed=3)


def found_in(
    told: Told, sent: PublishedMessages | None = None, basis: Basis = NOTHING, now_us: int = START_US + DAY_US
) -> Reconciliation:
    """Return the findings once all of it lies in BigQuery."""
    dataset = logged(told)
    store = MemoryStore(dict(told.records))
    return reconcile(
        told.use_case, project=PROJECT, dataset=dataset, bundle=told.root, store=store, sent=sent or told.sent,
        basis=basis, now_us=now_us,
    )  # fmt: skip


def logged(told: Told) -> str:
    """A new dataset with all that was said."""
    dataset = f"d{time.time_ns()}"
    tables.create(query_client(PROJECT), dataset)
    appender = Appender(PROJECT, dataset, SCHEMAS)
    for name, table in (("assessments", told.assessments), ("dead_letters", told.dead_letters)):
        for batch in table.to_batches():
            appender.append(name, batch)
    appender.close()
    return dataset


def wrong(found: Reconciliation) -> dict[str, int]:
    return {check.name: check.wrong for check in found.checks if not check.holds}


# What adds up


def test_a_stream_with_two_entities_models_copies_and_rejects_adds_up(told: Told) -> None:
    found = found_in(told)
    assert wrong(found) == {} and found.holds
    assert found.messages == len(told.messages) and found.rows == len(told.assessments) > found.events
    assert found.events == len(
        set(zip(*(told.assessments[n].to_pylist() for n in ("event_id", "seq")), strict=True))
    )
    assert {"invalid", "too_late", "undecodable", "unknown_type"} == set(found.dead_letters)
    assert found.records == len(told.records)
    assert all(check.looked_at for check in found.checks)
    assert len(set(told.assessments["model"].to_pylist())) == 2


def test_what_the_breaker_held_back_is_found_to_be_so(tmp_path: Path) -> None:
    """Each worker counts its own recommendations, so no order of the log would tell them."""
    text = MARKET.read_text().replace(UNLIMITED, LIMITED)
    told = assessed(parse(text, "limited.yaml"), str(tmp_path), 600, seed=4)
    assert Transition.HELD.name in told.assessments["transition"].to_pylist()
    assert wrong(found_in(told)) == {}


def test_all_rows_twice_are_still_one_assessment_each(told: Told) -> None:
    twice = replace(told, assessments=pa.concat_tables([told.assessments] * 2))
    found = found_in(twice)
    assert wrong(found) == {} and found.rows == 2 * len(told.assessments)


def test_without_knowing_what_was_published_the_rest_is_reconciled(told: Told) -> None:
    dataset = f"d{time.time_ns()}"
    tables.create(query_client(PROJECT), dataset)
    found = reconcile(told.use_case, project=PROJECT, dataset=dataset, bundle=told.root, store=MemoryStore())
    assert found.holds and found.messages is None and found.events == found.rows == 0


def test_a_duplicate_that_came_too_late_for_its_vector_is_counted(told: Told) -> None:
    scored = [score is not None for score in told.assessments["score"].to_pylist()]
    row = scored.index(True, 300)

    def forget(values: list) -> None:
        values[row] = []

    def repeat(values: list) -> None:
        values[row] = "duplicate"

    known_once = told.with_column("features", forget)
    assert set(wrong(found_in(known_once))) <= {"only a duplicate may be without a vector"}
    found = found_in(known_once.with_column("disposition", repeat))
    assert wrong(found) == {} and found.without_vector in (0, 1)


def test_the_two_legs_of_a_transfer_are_two_assessments(tmp_path: Path) -> None:
    """They share event id, number and time. Each is shown, and the loss of one is noticed."""
    use_case = market("1m")
    events = history(use_case, 200, seed=6)
    payments = [one for one in events if one.event_type == "payment"][:40]
    others = [
        payment(use_case, one.event.id, one.event._time_us, f"other-{one.event.customer}", "m1", 30.0)
        for one in payments
    ]
    told = assessed_from(use_case, str(tmp_path), [*events, *others])
    pairs = Counter(zip(*(told.assessments[n].to_pylist() for n in ("event_id", "seq")), strict=True))
    assert max(pairs.values()) > 1
    found = found_in(told)
    assert wrong(found) == {} and found.events > len(pairs)
    ids = set(
        told.assessments.filter(pc.equal(told.assessments["customer"], "other-c1"))["event_id"].to_pylist()
    )
    is_lost = [
        customer == "other-c1" and event_id == min(ids)
        for customer, event_id in zip(
            *(told.assessments[n].to_pylist() for n in ("customer", "event_id")), strict=True
        )
    ]
    without = replace(told, assessments=told.assessments.filter(pa.array([not lost for lost in is_lost])))
    assert wrong(found_in(without))[GONE] == 1


def test_columns_are_told_apart_whatever_texts_hold() -> None:
    texts = [("a\0b", "c"), ("a", "b\0c"), ("a", "c"), ("a\0b", "c")]
    log = Log(
        pa.table({name: [pair[i] for pair in texts] for i, name in enumerate(("customer", "event_id"))})
    )
    codes = log.codes("customer", "event_id").tolist()
    assert len(set(codes)) == 3 and codes[0] == codes[3]


# What does not


def a_row_is_lost(told: Told) -> Told:
    applied = [i for i, word in enumerate(told.assessments["disposition"].to_pylist()) if word == "applied"]
    ids = told.assessments["event_id"].to_pylist()
    row = next(i for i in applied[40:] if ids.count(ids[i]) == 1)
    kept = [i for i in range(len(told.assessments)) if i != row]
    return replace(told, assessments=told.assessments.take(kept))


def a_score_is_another(told: Told) -> Told:
    def edit(values: list) -> None:
        row = next(i for i, score in enumerate(values) if score is not None)
        values[row] = float(np.nextafter(np.float32(values[row]), np.float32(1)))

    return told.with_column("score", edit)


def a_vector_differs_in_a_bit(told: Told) -> Told:
    def edit(values: list) -> None:
        vector = next(vector for vector in values if vector)
        at = next(i for i, value in enumerate(vector) if value == value)
        vector[at] = float(np.nextafter(vector[at], np.inf))

    return told.with_column("features", edit)


def a_level_is_another(told: Told) -> Told:
    def edit(values: list) -> None:
        values[0] = {"LOW": "HIGH", "MEDIUM": "LOW", "HIGH": "MEDIUM"}[values[0]]

    return told.with_column("level", edit)


def a_number_of_the_merchant_is_another(told: Told) -> Told:
    def edit(values: list) -> None:
        next(entities for entities in values if entities)[0]["seq"] += 1

    return told.with_column("entities", edit)


def an_event_is_counted_twice(told: Told) -> Told:
    again = told.assessments.slice(5, 1)
    at = again.schema.get_field_index("seq")
    return replace(
        told,
        assessments=pa.concat_tables(
            [told.assessments, again.set_column(at, again.schema.field("seq"), pa.array([10_000]))]
        ),
    )


def a_copy_says_something_else(told: Told) -> Told:
    again = a_score_is_another(replace(told, assessments=told.assessments.slice(0, 60)))

    def edit(values: list) -> None:
        values[:] = [2 * START_US] * len(values)

    later = again.with_column("assessed_at", edit)
    return replace(told, assessments=pa.concat_tables([told.assessments, later.assessments]))


def a_record_differs_in_a_byte(told: Told) -> Told:
    key = next(key for key in told.records if b":customer:" in key)
    blob = told.records[key]
    return replace(told, records=told.records | {key: blob[:-1] + bytes([blob[-1] ^ 1])})


def a_merchant_is_lost(told: Told) -> Told:
    key = next(key for key in told.records if b":merchant:" in key)
    return replace(told, records={other: blob for other, blob in told.records.items() if other != key})


def a_dead_letter_is_lost(told: Told) -> Told:
    row = told.dead_letters["message_id"].to_pylist().index("bad-2")
    kept = [i for i in range(len(told.dead_letters)) if i != row]
    return replace(told, dead_letters=told.dead_letters.take(kept))


GONE, NUMBER = (
    "every event published is one assessment or a dead letter",
    "every event has one number in one record",
)
GAPS, COPIES = "a customer's events are numbered from 1 without gaps", "repeated rows say the same"
VECTORS, SCORES = "vectors are what the log implies", "scores are what the log implies"
LEVELS, MERCHANT = (
    "levels and transitions are what the log implies",
    "numbers of merchant are what the log implies",
)
RECORDS = "records of customer equal a replay, byte by byte"
MERCHANTS = "records of merchant equal a replay, byte by byte"
DEAD = "every message that is no event is a dead letter with its reason"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (a_row_is_lost, {GONE, GAPS, RECORDS}),
        (a_score_is_another, {SCORES}),
        (a_vector_differs_in_a_bit, {VECTORS}),
        (a_level_is_another, {LEVELS}),
        (a_number_of_the_merchant_is_another, {MERCHANT}),
        (an_event_is_counted_twice, {NUMBER, GAPS}),
        (a_copy_says_something_else, {COPIES}),
        (a_record_differs_in_a_byte, {RECORDS}),
        (a_merchant_is_lost, {MERCHANTS}),
        (a_dead_letter_is_lost, {DEAD}),
    ],
)  # fmt: skip
def test_every_fault_is_found_by_its_check(
    told: Told, fault: Callable[[Told], Told], expected: set[str]
) -> None:
    found = found_in(fault(told))
    assert expected <= set(wrong(found)) and not found.holds
    shown = {check.name: check.examples for check in found.checks}
    assert all(1 <= len(shown[name]) <= 5 for name in expected)


def test_what_nobody_published_is_found(told: Told) -> None:
    sent = told.sent
    (first, _), *rest = sent.events.items()
    assert str(first) == f"payment {first.event_id} of customer {first.customer}"
    unusable = {message: reason for message, reason in sent.unusable.items() if message != "bad-1"}
    found = found_in(told, PublishedMessages(dict(rest), unusable))
    assert wrong(found) == {
        "everything assessed was published": 1,
        "every dead letter was published and deserves its reason": 1,
    }
    examples = [line for check in found.checks for line in check.examples]
    assert examples == [
        f"{first}: never published",
        "message bad-1: undecodable, but it was never published",
    ]


# Its parts


def test_more_rows_than_a_message_holds_are_read_whole() -> None:
    dataset = f"d{time.time_ns()}"
    tables.create(query_client(PROJECT), dataset)
    appender = Appender(PROJECT, dataset, SCHEMAS)
    for first in range(0, 20_000, 4_000):
        appender.append("assessments", large_rows(4_000, first, features=70))
    appender.close()
    here = replace(market(), name="use_case", fingerprint="fingerprint")
    log = read_log(PROJECT, dataset, here)
    assert sorted(log.seq.tolist()) == list(range(20_000))
    assert log.table.nbytes > 12_000_000


def test_customers_are_not_parted() -> None:
    customer = np.repeat(np.arange(7), [PIECE // 2, PIECE, 5, PIECE * 2, 1, 1, 1])
    found = list(pieces(customer))
    assert [(piece.start, piece.stop) for piece in found] == [(0, 30_000), (30_000, 70_005), (70_005, 70_008)]
    assert list(pieces(customer[:0])) == []


def test_steps_take_each_customers_rows_in_order_and_one_model_at_a_time(told: Told) -> None:
    order = np.lexsort((told.assessments["seq"].to_numpy(), Log(told.assessments).codes("customer")))
    log = Log(told.assessments).take(order)
    for is_limited in (False, True):
        found = list(steps(log, is_limited))
        assert sorted(np.concatenate(found).tolist()) == list(range(len(log)))
        at = np.empty(len(log), np.int64)
        at[np.concatenate(found)] = np.arange(len(log))
        same = np.diff(log.codes("customer")) == 0
        assert (np.diff(at)[same] > 0).all()
        for some in found:
            assert len(set(log.take(some).texts("model"))) == 1
            recommended = transition(log.outcome[some]) == Transition.RECOMMENDED
            assert not is_limited or recommended.all() or not recommended.any()


def test_an_audit_sees_all_that_is_published_while_it_lasts() -> None:
    with broker_of("shop") as broker:
        broker.publish(broker.names.events, Publication(b"before", {}))
        with audit_subscription(BROKER_PROJECT, broker.names.events) as path:
            sent = [Publication(str(i).encode(), {"n": str(i)}) for i in range(2_500)]
            broker.publish(broker.names.events, *sent)
            found = collect(path, quiet_s=0.5)
            assert [(one.data, one.attributes) for one in found] == [
                (one.data, one.attributes) for one in sent
            ]
            assert collect(path, quiet_s=0.1) == []
        assert broker.subscriptions() == [name for name in broker.subscriptions() if "audit" not in name]


def test_an_event_published_twice_is_one_event_in_two_messages() -> None:
    use_case = market()
    body = to_json(history(use_case, 1, seed=1)[0].event)
    copies = [Message(body, {"event_type": "payment"}, name, 2 * START_US) for name in ("a", "b")]
    sent = PublishedMessages.of(use_case, [*copies, *BAD])
    assert sent.events == {(history(use_case, 1, seed=1)[0].event.customer, "payment", "p0"): ["a", "b"]}
    assert sent.unusable == {"bad-1": "undecodable", "bad-2": "invalid", "bad-3": "unknown_type"}
    assert sent.messages == 5


# After a backfill


@dataclass(frozen=True)
class Warm:
    """A stream that went on from a backfilled store, and the history that had filled it."""

    told: Told
    events: list[Event]  # of the history
    marker: Marker

    def file(self, folder: Path, name: str = "history.jsonl") -> Path:
        path = folder / name
        path.write_bytes(b"".join(to_json(one.event) + b"\n" for one in self.events))
        return path


def warm(use_case: UseCase, folder: Path, n: int = 1_200) -> Warm:
    """The first half of a history by backfill; the rest, and again some of the first, by the stream."""
    folder.mkdir(exist_ok=True)
    events = sorted(
        (one for one in history(use_case, n, seed=8) if one.event_type == "payment"),
        key=lambda one: one.event._time_us,
    )
    events.insert(0, payment(use_case, "once", START_US - 3_600_000_000, "silent", "m9", 10.0))
    half, store = len(events) // 2, MemoryStore()
    found = Warm(None, events[:half], None)  # type: ignore[arg-type]
    with files_of(use_case, [found.file(folder)], END_US) as past:
        for _ in backfilled(Engine.from_bundle(use_case, trained(use_case), store), past):
            pass
        marker = Marker("backfill", "2026-01-01T00:00:00Z", half, past.digest, trained(use_case).manifest.id)
    told = assessed_from(
        use_case, str(folder / "bundles"), [*events[half - 40 : half], *events[half:]], store=store
    )
    return replace(found, told=told, marker=marker)


def basis_of(warm: Warm, places: Sequence[Place]) -> Basis:
    use_case = warm.told.use_case
    with files_of(use_case, places, END_US) as past:
        check(past, warm.marker)
        return basis(engines(use_case, warm.told.root)(warm.marker.model), past)


END_US = START_US + 400 * 86_400_000_000


def test_after_a_backfill_all_adds_up_once_the_history_is_given(tmp_path: Path) -> None:
    """The history has events that came both ways, customers unknown to the stream, and a breaker."""
    use_case = parse(
        MARKET.read_text().replace("24h\n", "1m\n", 1).replace(UNLIMITED, LIMITED), "limited.yaml"
    )
    past = warm(use_case, tmp_path)
    assert "duplicate" in past.told.assessments["disposition"].to_pylist()
    without = wrong(found_in(past.told))
    assert without[VECTORS] > 100 and without[GAPS] > 0
    found = found_in(past.told, basis=basis_of(past, [past.file(tmp_path)]))
    assert wrong(found) == {} and found.records == len(past.told.records)
    unlogged = past.told.records.keys() - keys_in_log(past.told)
    lost = next(key for key in unlogged if b":customer:" in key)
    kept = {key: blob for key, blob in past.told.records.items() if key != lost}
    assert wrong(found_in(replace(past.told, records=kept), basis=basis_of(past, [past.file(tmp_path)]))) == {
        RECORDS: 1
    }


def keys_in_log(told: Told) -> set[bytes]:
    own, ids = told.use_case, set(told.assessments["customer"].to_pylist())
    others = {each["id"] for some in told.assessments["entities"].to_pylist() for each in some}
    names = [("customer", ids), ("merchant", others)]
    return {
        key
        for name, some in names
        for key in record_keys("riskstream", own.name, own.fingerprint, name, list(some))
    }


def test_another_history_is_refused(tmp_path: Path) -> None:
    past = warm(market("1m"), tmp_path, 400)
    file = past.file(tmp_path)
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[1:]))
    with pytest.raises(
        WrongHistory, match=r"found 1\d\d events with digest .*, expected those of the backfill of 2026-01-01"
    ):
        basis_of(past, [file])
    several = replace(past, marker=msgspec.structs.replace(past.marker, earlier=1))
    with pytest.raises(WrongHistory, match="2 different histories"):
        basis_of(several, [past.file(tmp_path)])


def test_a_table_is_the_same_history_in_whatever_order_it_is_read(tmp_path: Path) -> None:
    """Also where many events have one time."""
    use_case = market("1m")
    past = warm(use_case, tmp_path, 400)
    same_time = [
        payment(use_case, f"same{i}", START_US, one.event.customer, "m1", float(i))
        for i, one in enumerate(past.events)
    ]
    client = query_client(PROJECT)
    client.create_dataset("past", exists_ok=True)
    digests, found = set(), []
    for seed in (1, 2):
        order = np.random.default_rng(seed).permutation(2 * len(past.events))
        bodies = [json.loads(to_json([*past.events, *same_time][i].event)) for i in order]
        rows = [{"merchant": None, **body} for body in bodies]
        name = f"t{time.time_ns()}"
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{name}.parquet")
        columns = [bigquery.SchemaField(c, "FLOAT64" if c == "amount" else "STRING") for c in rows[0]]
        client.create_table(bigquery.Table(f"{PROJECT}.past.{name}", columns))
        how = bigquery.LoadJobConfig(source_format="PARQUET")
        with (tmp_path / f"{name}.parquet").open("rb") as file:
            client.load_table_from_file(file, f"{PROJECT}.past.{name}", job_config=how).result()
        with files_of(use_case, [WarehouseTable(PROJECT, "past", name)], END_US) as table:
            digests.add(table.digest)
            found.append(basis(Engine.from_bundle(use_case, trained(use_case), MemoryStore()), table).records)
    assert len(digests) == 1
    assert found[0] == found[1] and len(found[0]["customer"]) > 5
