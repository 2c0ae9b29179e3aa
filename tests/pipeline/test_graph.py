"""The graph and its steps: labels, batches, what may be encoded between steps, the exchange of models."""

import dataclasses
import pickle
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.io.gcp.pubsub import PubsubMessage
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from export.bundle import promote, save
from features.events import MAX_EVENT_BYTES, to_json
from features.usecase.expiry import expiries_ms
from pipeline.engine.assess import assess
from pipeline.engine.engine import Engine
from pipeline.job import graph, worker
from pipeline.job.beam_options import DATAFLOW, LOCAL, beam_options
from pipeline.job.flink import FLINK
from pipeline.job.job import Job
from pipeline.job.sinks import Outgoing
from pipeline.job.source import Gather, Messages, message_of
from pipeline.job.translate import Decoded, decode, encode
from pipeline.pubsub.message import Message
from pipeline.runtime.process_metrics import now, progress
from pipeline.stores.store import MemoryStore, record_keys
from tests.pipeline.market import MARKET, START_US, Sent, batched, history, market
from tests.pipeline.models import trained
from tests.pipeline.servers import RedisServer
from tests.pipeline.vital import begun

LABELS = Path(__file__).with_name("step_labels.txt")


@pytest.fixture
def bundles(tmp_path: Path) -> str:
    root = str(tmp_path / "bundles")
    save(trained(market()), root)
    promote(root, trained(market()).manifest.id)
    return root


@pytest.fixture
def job(bundles: str, redis_server: RedisServer) -> Iterator[Job]:
    redis_server.client.flushall()
    begun(redis_server.url, market())
    job = Job.load(MARKET, bundle=bundles, redis_url=redis_server.url, project="project-1").with_paths()
    yield job
    worker.close(job)


def message(event: Sent, number: int = 0) -> Message:
    attributes = {"event_type": event.event_type}
    return Message(to_json(event.event), attributes, str(number), event.published_us)


def messages(events: list[Sent]) -> Messages:
    return Messages(message(event, i) for i, event in enumerate(events))


@pytest.mark.parametrize(("runner", "place"), [(LOCAL, 0), (DATAFLOW, 1), (FLINK, 2)])
def test_step_labels_are_as_they_were(runner: str, place: int) -> None:
    job = Job.load(MARKET, bundle="b", redis_url="redis://r", project="project-1").with_paths()
    pipeline = beam.Pipeline()
    graph.stream(pipeline, job, runner)
    names = {transform.unique_name for transform in pipeline.to_runner_api().components.transforms.values()}
    labels = sorted(name for name in names if not name.startswith("ref_"))
    assert labels == LABELS.read_text().split("---\n")[place].split("\n")[:-1]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--runner=FlinkRunner",), "1000"),
        (("--runner", "flink"), "1000"),  # as Beam also lets it be written
        (("--runner=FlinkRunner", "--checkpointing_interval=5000"), "5000"),
        (("--runner=FlinkRunner", "--checkpointing_interval", "5000"), "5000"),
    ],
)
def test_flink_always_makes_checkpoints(flags: tuple[str, ...], expected: str) -> None:
    """A job without them would never acknowledge."""
    options = beam_options(flags)
    assert options.get_all_options(retain_unknown_options=True)["checkpointing_interval"] in (
        expected,
        int(expected),
    )


def test_a_worker_in_another_folder_finds_the_bundle() -> None:
    job = Job.load(MARKET, bundle="build/bundles", redis_url="redis://r", project="project-1")
    assert job.with_paths().bundle == str(Path.cwd() / "build" / "bundles")
    assert dataclasses.replace(job, bundle="gs://bucket/bundles").with_paths().bundle == "gs://bucket/bundles"


def test_decode_parts_events_from_rejects() -> None:
    events = history(market(), 40, seed=1)
    good = messages(events)
    bad = [
        Message(b"\xff", {"event_type": "payment"}, "b0", START_US),
        Message(b"{}", {"event_type": "payment", "event_id": "e1"}, "b1", START_US),
        Message(b"{}", {"event_type": "refund"}, "b2", START_US),
        Message(b"{}", {}, "b3", START_US),
        good[2]._replace(publish_us=START_US - 10**12, message_id="b4"),
        Message(b'{"a":"' + b"x" * MAX_EVENT_BYTES + b'"}', {"event_type": "payment"}, "b5", START_US),
    ]
    found = decode(market(), [*good[:7], *bad, *good[7:]])
    assert tuple(found.messages) == good
    assert found.events.events == [event.event for event in events]
    assert [reject.message for reject in found.rejects] == bad
    reasons = [reject.reason for reject in found.rejects]
    assert reasons == ["undecodable", "invalid", "unknown_type", "unknown_type", "from_future", "undecodable"]
    assert found.rejects[1].event_id == "e1"
    assert f"{MAX_EVENT_BYTES + 8} bytes" in found.rejects[5].detail
    assert found.oldest_us == START_US - 10**12


def test_nothing_usable_is_still_a_batch() -> None:
    found = decode(market(), [Message(b"", {}, "1", START_US)])
    assert found.events is None and len(found.messages) == 0
    leaves = encode(found, None, START_US)
    assert leaves.rows.keys() == {"dead_letters"} and leaves.reasons == {"unknown_type": 1}
    assert leaves.alerts == [] and len(leaves.dead_letters) == 1


def test_what_passes_between_steps_can_be_encoded() -> None:
    """A runner may send it to another machine."""
    own = messages(history(market(), 50, seed=2))
    decoded = decode(market(), [*own, Message(b"", {}, "1", START_US)])
    again: Decoded = pickle.loads(pickle.dumps(decoded))
    assert again.events.event_id == decoded.events.event_id and again.rejects == decoded.rejects
    said = assess(model_of(MemoryStore()), again.events)
    leaves = encode(again, said, START_US)
    arrived: Outgoing = pickle.loads(pickle.dumps(leaves))
    for table, rows in leaves.rows.items():
        assert arrived.rows[table].serialize().equals(rows.serialize())
    assert dataclasses.replace(arrived, rows={}) == dataclasses.replace(leaves, rows={})
    assert pickle.loads(pickle.dumps(own)) == own


def model_of(store: MemoryStore) -> Engine:
    return Engine.from_bundle(market(), trained(market()), store)


def collected(job: Job, batches: list[Messages]) -> list[Outgoing]:
    """Return the output of the graph for these batches."""
    found: list[Outgoing] = []
    _collected.append(found)
    pipeline = beam.Pipeline(runner=FnApiRunner(), options=beam_options([]))
    source = pipeline | beam.Impulse() | "Batches" >> beam.FlatMap(lambda _: batches)
    graph.assessed(source, job) | "Collect" >> beam.ParDo(Collect(len(_collected) - 1))
    pipeline.run().wait_until_finish()
    return found


_collected: list[list[Outgoing]] = []  # the steps are pickled, the process is the same


class Collect(beam.DoFn):
    def __init__(self, place: int) -> None:
        self.place = place

    def process(self, element: Outgoing) -> None:
        _collected[self.place].append(element)


def test_the_graph_says_what_assess_says(job: Job) -> None:
    """Full batches overlap, small ones do not, empty ones only say that nothing comes: all the same."""
    events = history(market(), 4_000, seed=3)
    ends = [0, 1_500, 3_100, 3_101, 3_101, 3_900, 4_000]
    batches = [messages(events[a:b]) for a, b in pairwise(ends)]
    engine = model_of(MemoryStore())
    expected = [encode(d, assess(engine, d.events), 0) for d in (decode(market(), b) for b in batches if b)]
    found = collected(job, batches)
    assert len(found) == len(expected) == 5
    for one, other in zip(found, expected, strict=True):
        left, right = one.rows["assessments"], other.rows["assessments"]
        for column in ("event_id", "customer", "seq", "score", "level", "transition", "body"):
            assert left[column].equals(right[column]), column
        assert left["features"].value_lengths().equals(right["features"].value_lengths())
        np.testing.assert_array_equal(left["features"].flatten(), right["features"].flatten())
        assert [a.attributes for a in one.alerts] == [a.attributes for a in other.alerts]
        assert one.reasons == other.reasons


def test_the_graph_counts(job: Job) -> None:
    before, began_at = progress.counts.copy(), now()
    events = history(market(), 600, seed=4)
    found = collected(job, [Messages([*messages(events), Message(b"", {}, "x", START_US)])])
    counted = progress.counts - before
    rows = found[0].rows["assessments"]
    assert counted["events"] == 601
    assert counted["rejects-unknown_type"] == 1
    assert counted["duplicates"] == rows["disposition"].to_pylist().count("duplicate") > 0
    assert counted["alerts"] == len(found[0].alerts) > 0
    assert counted["recommendations"] > 0
    assert progress.last_batch.events == 601
    assert now() >= progress.last_batch.at >= began_at
    stages = {"decode", "read", "advance", "vectors", "score", "decide", "commit", "encode"}
    assert progress.last_batch.stages_us.keys() == stages


def test_dataflows_messages_become_batches(job: Job) -> None:
    small = dataclasses.replace(job, batch=10)
    when = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
    elements = [PubsubMessage(b"%d" % i, {"event_type": "payment"}, str(i), when) for i in range(25)]
    gather = Gather(small)
    gather.start_bundle()
    found = [batch for element in elements for batch in gather.process(element)]
    found += [windowed.value for windowed in gather.finish_bundle()]
    assert [len(batch) for batch in found] == [10, 10, 5]
    assert [one for batch in found for one in batch] == [message_of(element) for element in elements]
    when_us = int(when.timestamp()) * 1_000_000 + when.microsecond
    assert found[2][4] == Message(b"24", {"event_type": "payment"}, "24", when_us)
    gather.start_bundle()
    assert list(gather.finish_bundle()) == []


def test_redis_keeps_customers_for_ever_and_merchants_a_month_longer_than_their_windows() -> None:
    """Merchants have windows of a day, a lateness of a day, and messages that Pub/Sub kept for 31 days."""
    days = (timedelta(days=1 + 1 + 31) + timedelta(minutes=5)) // timedelta(milliseconds=1)
    assert expiries_ms(market()) == {"merchant": days, "customer": 0}


def test_unscored_events_have_no_vector(job: Job) -> None:
    events = [e for e in history(market(), 200, seed=6) if e.event_type == "profile"]
    (found,) = collected(job, [messages(events)])
    assert all(len(vector) == 0 for vector in found.rows["assessments"]["features"].to_pylist())
    assert np.isnan(found.rows["assessments"]["score"].to_numpy(zero_copy_only=False)).all()


def test_a_record_that_cannot_be_read_makes_dead_letters_and_ends_nothing(
    job: Job, redis_server: RedisServer
) -> None:
    events = history(market(), 200, seed=6)
    name, fingerprint = market().name, market().fingerprint
    customer = next(iter(batched(market(), events[:1]).subject))
    (key,) = record_keys(job.prefix, name, fingerprint, market().subject, [customer])
    redis_server.client.set(key, b"garbage")
    before = progress.counts["rejects-bad_record"]
    (found,) = collected(job, [messages(events)])
    theirs = batched(market(), events).subject.count(customer)
    assert found.reasons == {"bad_record": theirs} and len(found.dead_letters) == theirs > 0
    assert found.rows["assessments"].num_rows == 200 - theirs
    assert progress.counts["rejects-bad_record"] == before + theirs
