"""The source: order, small batches at once, nothing acknowledged before its bundle is done, outages."""

import threading
import time
from collections.abc import Iterator

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from pipeline.job import worker
from pipeline.job.beam_options import beam_options
from pipeline.job.job import Job
from pipeline.job.source import Messages, pull
from pipeline.pubsub.client import Publication, Received, Subscription
from pipeline.pubsub.message import Message
from pipeline.pubsub.puller import Puller
from pipeline.runtime.errors import PubSubRefused
from pipeline.runtime.process_metrics import progress, stop
from tests.pipeline.broker import Broker, Relay, broker_of
from tests.pipeline.market import MARKET

PATIENCE_S = 60.0


@pytest.fixture
def broker() -> Iterator[Broker]:
    with broker_of("market") as broker:
        yield broker


@pytest.fixture
def job(broker: Broker) -> Iterator[Job]:
    job = Job.load(
        MARKET, bundle="none", redis_url="none", project="tests", subscription=path(broker), batch=700,
        generation_s=1.0,
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


def taken(puller: Puller, count: int) -> list[list[Received]]:
    until_s, batches = time.monotonic() + PATIENCE_S, []
    while sum(map(len, batches)) < count:
        assert time.monotonic() < until_s
        batches.append(puller.take(1.0))
    return batches


def numbers(batches: list[list[Received]]) -> list[int]:
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
    batches = [puller.take(PATIENCE_S), puller.take(PATIENCE_S)]
    puller.close()
    has = sum(map(len, batches))
    assert waiting(broker) == (5_000, has), "only what was taken is still out"
    puller = Puller(Subscription(path(broker)), 5_000)
    again = taken(puller, 5_000 - has)
    assert sorted(numbers(batches) + numbers(again)) == list(range(5_000))
    puller.close()


def test_a_single_message_comes_at_once(broker: Broker) -> None:
    puller = Puller(Subscription(path(broker)), 1_000)
    assert puller.take(0.05) == []
    waited_s = []
    for i in range(50):
        publish(broker, range(i, i + 1))
        began_s = time.monotonic()
        assert numbers([puller.take(PATIENCE_S)]) == [i]
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
        first = taken(puller, 10)
        relay.cut()
        publish(broker, range(10, 20))
        assert puller.take(0.5) == []
        assert progress.waiting["pubsub"] == 1
        acknowledging = threading.Thread(target=puller.acknowledge, args=([one.ack_id for one in first[0]],))
        acknowledging.start()
        time.sleep(0.3)
        assert acknowledging.is_alive()
        relay.mend()
        assert numbers(taken(puller, 10)) == list(range(10, 20))
        acknowledging.join(PATIENCE_S)
        assert progress.waiting["pubsub"] == 0
        assert waiting(broker)[0] == 20 - len(first[0])
        puller.close()


_seen: list[Messages] = []  # steps are pickled, the process is the same


class See(beam.DoFn):
    """Notes batches; fails at the message `fails_at`, stops the process at `stops_at`."""

    def __init__(self, fails_at: int = -1, stops_at: int = -1) -> None:
        self.fails_at, self.stops_at = fails_at, stops_at

    def process(self, element: Messages) -> None:
        found = [int(message.data) for message in element]
        if self.fails_at in found:
            raise ValueError(f"message {self.fails_at}")
        _seen.append(element)
        if self.stops_at in found:
            stop.set()


def run(job: Job, see: See) -> list[int]:
    """One generation."""
    _seen.clear()
    pipeline = beam.Pipeline(runner=FnApiRunner(), options=beam_options([]))
    pipeline | "Messages" >> pull(job) | "See" >> beam.ParDo(see)
    pipeline.run().wait_until_finish()
    return [int(message.data) for batch in _seen for message in batch]


def test_a_generation_ends_by_itself_and_everything_is_acknowledged(broker: Broker, job: Job) -> None:
    publish(broker, range(3_000))
    began_s = time.monotonic()
    assert run(job, See()) == list(range(3_000))
    assert time.monotonic() - began_s >= job.generation_s
    assert waiting(broker) == (0, 0)


def test_the_next_generation_goes_on_with_what_was_pulled_ahead(broker: Broker, job: Job) -> None:
    publish(broker, range(2_000))
    assert run(job, See()) == list(range(2_000))
    publish(broker, range(2_000, 3_000))
    assert run(job, See()) == list(range(2_000, 3_000))
    assert waiting(broker) == (0, 0)


def test_a_wish_to_stop_ends_it_after_the_batch_at_hand(broker: Broker, job: Job) -> None:
    publish(broker, range(5_000))
    found = run(job, See(stops_at=0))
    assert found == list(range(len(found))) and len(found) <= job.batch
    worker.close(job)
    assert waiting(broker) == (5_000 - len(found), 0), "the rest is handed back"


def test_what_fails_is_not_acknowledged(broker: Broker, job: Job) -> None:
    publish(broker, range(3_000))
    with pytest.raises(ValueError, match="message 1000"):
        run(job, See(fails_at=1_000))
    worker.close(job)
    left, out = waiting(broker)
    assert left == 3_000, "nothing of the bundle, nor of batches before the failure"
    assert out >= 1
