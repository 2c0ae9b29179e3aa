"""The sources: order, small batches at once, nothing acknowledged before it is delivered, leases, outages."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from export.bundle import promote, save
from pipeline.job import worker
from pipeline.job.beam_options import beam_options
from pipeline.job.deliveries import Deliveries
from pipeline.job.job import Job
from pipeline.job.source import Messages, Source, pull, pull_apart
from pipeline.pubsub.client import Publication, Received, Subscription
from pipeline.pubsub.message import Message
from pipeline.pubsub.puller import Puller
from pipeline.runtime.errors import PubSubRefused, SinkRefused, SinkUnavailable
from pipeline.runtime.process_metrics import progress, stop
from tests.pipeline.broker import Broker, Relay, broker_of
from tests.pipeline.market import MARKET, market
from tests.pipeline.models import trained
from tests.pipeline.servers import RedisServer

PATIENCE_S = 60.0


@pytest.fixture
def broker() -> Iterator[Broker]:
    with broker_of("market") as broker:
        yield broker


@pytest.fixture
def job(broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Job]:
    """A job whose worker can get ready, which it does before it pulls."""
    redis_server.client.flushall()
    save(trained(market()), str(tmp_path))
    promote(str(tmp_path), trained(market()).manifest.id)
    job = Job.load(
        MARKET, bundle=str(tmp_path), redis_url=redis_server.url, project="tests", subscription=path(broker),
        batch=700, allow_empty_store=True,
    )  # fmt: skip
    yield job
    worker.close(job)
    stop.clear()


def path(broker: Broker) -> str:
    return broker.names.reader(broker.names.events)


def publish(broker: Broker, numbers: range) -> None:
    broker.publish(broker.names.events, *(Publication(b"%d" % i, {"event_type": "payment"}) for i in numbers))


def waiting(broker: Broker) -> tuple[float, float]:
    """Messages not acknowledged, and those of them that somebody has."""
    with broker.server._engine.open() as own:
        figures = own.figures(0.0)[path(broker)]
    return figures["num_undelivered_messages"], figures["num_outstanding_messages"]


def taken(puller: Puller, count: int) -> list[Sequence[Received]]:
    until_s, batches = time.monotonic() + PATIENCE_S, []
    while sum(map(len, batches)) < count:
        assert time.monotonic() < until_s
        batches.append(puller.take(1.0).received)
    return batches


def numbers(batches: Sequence[Sequence[Received]]) -> list[int]:
    return [int(one.message.data) for batch in batches for one in batch]


def test_messages_come_whole_and_in_order(broker: Broker) -> None:
    publish(broker, range(5_000))
    puller = Puller(Subscription(path(broker)), 1_500)
    batches = taken(puller, 5_000)
    assert numbers(batches) == list(range(5_000))
    assert max(map(len, batches)) <= 1_500
    one = batches[0][0].message
    assert isinstance(one, Message) and one.attributes == {"event_type": "payment"} and one.message_id
    assert abs(one.publish_us / 1e6 - time.time()) < PATIENCE_S
    puller.close()


def test_what_was_pulled_ahead_is_handed_back(broker: Broker) -> None:
    publish(broker, range(5_000))
    puller = Puller(Subscription(path(broker)), 1_000)
    batches = [puller.take(PATIENCE_S).received, puller.take(PATIENCE_S).received]
    puller.close()
    has = sum(map(len, batches))
    assert waiting(broker) == (5_000, has), "only what was taken is still out"
    puller = Puller(Subscription(path(broker)), 5_000)
    again = taken(puller, 5_000 - has)
    assert sorted(numbers(batches) + numbers(again)) == list(range(5_000))
    puller.close()


def test_a_single_message_comes_at_once(broker: Broker) -> None:
    puller = Puller(Subscription(path(broker)), 1_000)
    assert not puller.take(0.05).received
    waited_s = []
    for i in range(50):
        publish(broker, range(i, i + 1))
        began_s = time.monotonic()
        assert numbers([puller.take(PATIENCE_S).received]) == [i]
        waited_s.append(time.monotonic() - began_s)
    assert sorted(waited_s)[25] < 0.05
    puller.close()


def test_an_unknown_subscription_is_refused(broker: Broker) -> None:
    puller = Puller(Subscription(path(broker) + "-not"), 10)
    with pytest.raises(PubSubRefused, match="NOT_FOUND"):
        puller.take(PATIENCE_S)
    puller.close()


def test_an_outage_is_waited_out(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    with Relay(broker.server.port) as relay:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", relay.address)
        puller = Puller(Subscription(path(broker)), 1_000)
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", broker.server.address)
        publish(broker, range(10))
        first = puller.take(PATIENCE_S)
        relay.cut()
        publish(broker, range(10, 20))
        assert not puller.take(0.5).received
        assert progress.waiting["pubsub"] == 1
        acknowledging = threading.Thread(target=puller.acknowledge, args=(first.leases,))
        acknowledging.start()
        time.sleep(0.3)
        assert acknowledging.is_alive()
        relay.mend()
        assert numbers(taken(puller, 10)) == list(range(10, 20))
        acknowledging.join(PATIENCE_S)
        assert progress.waiting["pubsub"] == 0
        assert waiting(broker)[0] == 20 - len(first.received)
        puller.close()


_seen: list[Messages] = []  # steps are pickled, the process is the same
SOURCES = pytest.mark.parametrize("source", [pull, pull_apart])


class See(beam.DoFn):
    """Note batches as delivered; fail at the message `fails_at`, stop the process at `stops_at`."""

    def __init__(self, job: Job, fails_at: int = -1, stops_at: int = -1) -> None:
        self.job, self.fails_at, self.stops_at = job, fails_at, stops_at

    def process(self, element: Messages) -> None:
        found = [int(message.data) for message in element]
        if self.fails_at in found:
            raise ValueError(f"message {self.fails_at}")
        _seen.append(element)
        if element.ticket is not None:
            worker.of(self.job).deliveries.follow(element.ticket, [])
        if self.stops_at in found:
            stop.set()


def run(see: See, source: Callable[[Job], Source]) -> list[int]:
    """Run a pipeline from start to end."""
    _seen.clear()
    stop.clear()
    pipeline = beam.Pipeline(runner=FnApiRunner(), options=beam_options([]))
    pipeline | "Messages" >> source(see.job) | "See" >> beam.ParDo(see)
    pipeline.run().wait_until_finish()
    if source is pull:
        worker.of(see.job).deliveries.drain()
    return [int(message.data) for batch in _seen for message in batch]


@SOURCES
def test_everything_delivered_is_acknowledged_when_it_stops(
    broker: Broker, job: Job, source: Callable[[Job], Source]
) -> None:
    publish(broker, range(3_000))
    assert run(See(job, stops_at=2_999), source) == list(range(3_000))
    assert waiting(broker) == (0, 0)


@SOURCES
def test_the_next_pipeline_goes_on_with_what_was_pulled_ahead(
    broker: Broker, job: Job, source: Callable[[Job], Source]
) -> None:
    publish(broker, range(3_000))
    first = run(See(job, stops_at=0), source)
    assert len(first) < 3_000
    assert first + run(See(job, stops_at=2_999), source) == list(range(3_000))
    assert waiting(broker) == (0, 0)


@SOURCES
def test_a_wish_to_stop_ends_it_after_the_batch_at_hand(
    broker: Broker, job: Job, source: Callable[[Job], Source]
) -> None:
    publish(broker, range(5_000))
    found = run(See(job, stops_at=0), source)
    assert found == list(range(len(found))) and len(found) <= job.batch
    worker.close(job)
    assert waiting(broker) == (5_000 - len(found), 0), "the rest is handed back"


@SOURCES
def test_what_fails_is_not_acknowledged(broker: Broker, job: Job, source: Callable[[Job], Source]) -> None:
    publish(broker, range(3_000))
    with pytest.raises(ValueError, match="message 1000"):
        run(See(job, fails_at=1_000), source)
    worker.close(job)
    left, out = waiting(broker)
    if source is pull:
        assert left == 3_000 - sum(map(len, _seen)), "the batches before the failure, which were delivered"
        assert out == 0, "all others are handed back at once"
    else:
        assert left == 3_000, "nothing of the bundle, nor of batches before the failure"
        assert out >= 1


def test_each_batch_waits_for_its_own_deliveries_only(broker: Broker, job: Job) -> None:
    publish(broker, range(2_100))
    deliveries = worker.of(job).deliveries
    batches = [deliveries.take(PATIENCE_S) for _ in range(3)]
    waited: list[Future[None]] = [Future(), Future(), Future()]
    deliveries.follow(batches[0].ticket, waited[:2])
    deliveries.follow(batches[1].ticket, waited[2:])
    deliveries.follow(batches[2].ticket, [])
    until(lambda: waiting(broker)[0] == 1_400, "what gives nothing is acknowledged at once")
    waited[2].set_result(None)
    until(lambda: waiting(broker)[0] == 700, "the second does not wait for the first")
    waited[0].set_result(None)
    waited[1].set_exception(SinkUnavailable("BigQuery is away"))
    deliveries.drain()
    assert waiting(broker)[0] == deliveries.messages == 700, "half of a batch is not delivered"
    assert deliveries.failure is None
    worker.close(job)
    assert waiting(broker) == (700, 0), "it is handed back"


def test_nothing_is_taken_while_a_bound_is_reached(
    broker: Broker, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    publish(broker, range(2_100))
    crowds = [""]
    puller = Puller(Subscription(path(broker)), job.batch, extends=True)
    deliveries = Deliveries(puller, lambda share: crowds[0], most_messages=1_400, longest_s=1_000.0)
    first, second = (deliveries.take(PATIENCE_S) for _ in range(2))
    assert not deliveries.take(0.2).received, "as many as there may be are not acknowledged"
    assert "1,400 messages are not acknowledged" in caplog.messages[-1]
    deliveries.follow(second.ticket, [])
    deliveries.drain()
    crowds[0] = "rows wait"
    assert not deliveries.take(0.2).received
    crowds[0], deliveries._longest_s = "", 0.0
    assert not deliveries.take(0.2).received, "the first waits for too long"
    deliveries.follow(first.ticket, [])
    deliveries.drain()
    assert len(deliveries.take(PATIENCE_S).received) == 700
    assert caplog.messages[-1] == "pulls messages again"
    deliveries.close()


def test_a_refused_delivery_ends_an_idle_source(broker: Broker, job: Job) -> None:
    publish(broker, range(10))
    deliveries = worker.of(job).deliveries
    refused: Future[None] = Future()
    deliveries.follow(deliveries.take(PATIENCE_S).ticket, [refused])
    threading.Timer(0.5, refused.set_exception, (SinkRefused("the table is gone"),)).start()
    with pytest.raises(SinkRefused, match="the table is gone"):
        run(See(job), pull)
    worker.close(job)
    assert waiting(broker)[0] == 10


def test_leases_are_extended_until_they_end(broker: Broker, job: Job) -> None:
    """Taken or pulled ahead, no message comes a second time; and the messages are handed back at the end."""
    with broker.server._engine.open() as engine:
        engine.subscription(path(broker)).settings.ack_deadline_seconds = 2  # the service has 10 s at least
    deliveries = worker.of(job).deliveries
    until(lambda: deliveries._puller._leases._deadline_s == 2, "the deadline is read")
    publish(broker, range(1_400))
    received, ticket, _ = deliveries.take(PATIENCE_S)
    until(lambda: waiting(broker) == (1_400, 1_400), "some are taken, the others pulled ahead")
    other = Subscription(path(broker))
    again = other.pulling()
    threading.Timer(5.0, again.cancel).start()
    assert other.received(again) == []
    deliveries.follow(ticket, [])
    deliveries.drain()
    worker.close(job)
    other.close()
    assert waiting(broker) == (1_400 - len(received), 0)


def until(condition: Callable[[], bool], what: str) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until_s, what
        time.sleep(0.02)
