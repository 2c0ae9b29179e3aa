"""Order on the way through Pub/Sub: what a server that keeps none does to a history, and what protects from it."""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.pubsub_v1 import types

from features.kernel import Disposition
from features.times import rfc3339
from pipeline.engine.assess import assess
from pipeline.job.translate import decode
from pipeline.operations.publish_file import publish
from pipeline.pubsub.client import Publication, Publisher, Subscription, fitting, rounds
from pipeline.pubsub.puller import Puller
from pipeline.pubsub.topics import create, subscriber_client
from pipeline.runtime.errors import PubSubRefused
from pipeline.stores.store import MemoryStore
from tests.commands import Run
from tests.pipeline.broker import PROJECT, Broker, broker_of
from tests.pipeline.market import MINUTE_US, START_US, Sent, batched, market, payment
from tests.pipeline.models import engine

MARKET = market()
HOUR_US = 60 * MINUTE_US
EVENTS, CUSTOMERS = 1_145, 6
PATIENCE_S = 30.0


@pytest.fixture
def broker() -> Iterator[Broker]:
    with broker_of(MARKET.name) as broker:
        yield broker


@pytest.fixture
def ordered(broker: Broker) -> Broker:
    """Its subscription of events keeps order."""
    with subscriber_client() as client:
        client.delete_subscription(subscription=broker.names.reader(broker.names.events))
    create(broker.names, ordered=True)
    return broker


@pytest.fixture
def payments(tmp_path: Path) -> Path:
    """A history of months of few and busy customers, as an export has it: in no order."""
    rng = random.Random(1)
    rows = [
        {"id": f"p{i}", "at": rfc3339(START_US + 2 * i * HOUR_US), "customer": f"c{rng.randrange(CUSTOMERS)}",
         "amount": 1.5, "state": "DONE"}
        for i in range(EVENTS)
    ]  # fmt: skip
    rng.shuffle(rows)
    path = tmp_path / "payments.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def shuffle(broker: Broker, seed: int) -> None:
    """Reorder waiting messages as far as the service promises no order: within a key it does."""
    with broker.server._engine.open() as own:
        backlog = own.subscription(broker.names.reader(broker.names.events))._backlog
        for queue in (backlog._fresh, backlog._ready):
            waiting = list(queue)
            random.Random(seed).shuffle(waiting)
            queue.clear()
            queue.extend(waiting)


def dispositions(broker: Broker, count: int) -> np.ndarray:
    """Pull and assess the waiting events as the job does, each pull in another order, and return their dispositions."""
    puller, eng = (
        Puller(Subscription(broker.names.reader(broker.names.events)), 100),
        engine(MARKET, MemoryStore()),
    )
    found: list[np.ndarray] = []
    while sum(map(len, found)) < count:
        received, leases = puller.take(PATIENCE_S)
        assert received, "nothing comes any more"
        decoded = decode(MARKET, [one.message for one in received])
        assert decoded.events is not None and not decoded.rejects
        found.append(assess(eng, decoded.events).disposition)
        puller.acknowledge(leases)
        shuffle(broker, len(found))
    puller.close()
    return np.concatenate(found)


def late(found: np.ndarray) -> int:
    return int((found == Disposition.TOO_LATE).sum())


def test_a_server_that_keeps_no_order_makes_events_of_a_replayed_history_too_late(
    broker: Broker, payments: Path
) -> None:
    publish(MARKET, [payments], broker.names.events, PROJECT)
    shuffle(broker, 0)
    found = dispositions(broker, EVENTS)
    assert late(found) > EVENTS / 10


def test_with_ordering_keys_no_event_is_too_late_whatever_the_server_does(
    ordered: Broker, payments: Path
) -> None:
    done = publish(MARKET, [payments], ordered.names.events, PROJECT, ordered=True)
    assert (done.published, done.rows) == (EVENTS, EVENTS)
    shuffle(ordered, 0)
    found = dispositions(ordered, EVENTS)
    assert (late(found), len(found)) == (0, EVENTS)
    assert (found == Disposition.APPLIED).all()


def in_turn(events: Sequence[Sent], size: int = 10) -> int:
    """Count the events that are too late when they arrive like this."""
    eng = engine(MARKET, MemoryStore())
    batches = [batched(MARKET, events[at : at + size]) for at in range(0, len(events), size)]
    return sum(late(assess(eng, batch).disposition) for batch in batches)


def days(count: int) -> list[Sent]:
    """One customer's payments, one every two days: more than the lateness apart."""
    return [payment(MARKET, f"p{i}", START_US + 48 * i * HOUR_US, "anna", None, 1.0) for i in range(count)]


@pytest.mark.parametrize(("behind", "refused"), [(1, 0), (63, 0), (64, 1), (100, 1)])
def test_an_event_may_come_behind_63_later_ones_of_its_customer(behind: int, refused: int) -> None:
    events = days(200)
    events.insert(50 + behind, events.pop(50))
    assert in_turn(events) == refused


def test_within_the_lateness_any_order_will_do_up_to_a_thousand_events() -> None:
    events = [payment(MARKET, f"p{i}", START_US + i * MINUTE_US, "anna", None, 1.0) for i in range(1_000)]
    random.Random(2).shuffle(events)
    assert in_turn(events) == 0


def test_publishing_in_order_into_a_subscription_that_keeps_none_is_refused(
    broker: Broker, payments: Path
) -> None:
    with pytest.raises(
        PubSubRefused, match="market-events-riskstream keeps no order, and that cannot be changed"
    ):
        publish(MARKET, [payments], broker.names.events, PROJECT, ordered=True)
    with pytest.raises(PubSubRefused, match="keeps no order"):
        create(broker.names, ordered=True)
    assert {one.action for one in create(broker.names)} == {"kept"}


def test_a_topic_whose_readers_are_not_ours_is_published_to(ordered: Broker, payments: Path) -> None:
    with subscriber_client() as client:
        client.delete_subscription(subscription=ordered.names.reader(ordered.names.events))
    assert publish(MARKET, [payments], ordered.names.events, PROJECT, ordered=True).published == EVENTS


def test_only_events_are_ordered(ordered: Broker) -> None:
    with subscriber_client() as client:
        kept = {
            topic: client.get_subscription(subscription=ordered.names.reader(topic)).enable_message_ordering
            for topic in ordered.names.topics
        }
    assert kept == {topic: topic == ordered.names.events for topic in ordered.names.topics}


def test_a_request_holds_the_messages_of_one_key_in_their_order() -> None:
    rng = random.Random(3)
    keys = [f"c{rng.randrange(5)}" for _ in range(6_000)]
    messages = [Publication(b"%d" % i, {}, key) for i, key in enumerate(keys)]
    made = list(rounds(messages))
    assert all(len({message.ordering_key for message in group}) == 1 for groups in made for group in groups)
    assert max(len(group) for groups in made for group in groups) == 1_000
    for key in set(keys):
        sent = [m.data for groups in made for group in groups for m in group if m.ordering_key == key]
        assert sent == [message.data for message in messages if message.ordering_key == key]
    plain = [Publication(b"x", {}) for _ in range(2_500)]
    assert [len(groups) for groups in rounds(plain)] == [1, 1, 1], "one after the other"
    assert [group for groups in rounds(plain) for group in groups] == list(fitting(plain))


def test_the_local_server_takes_no_request_with_two_keys_as_the_service_takes_none(broker: Broker) -> None:
    request = types.PublishRequest(
        topic=broker.names.events,
        messages=[types.PubsubMessage(data=b"x", ordering_key=key) for key in ("a", "b")],
    )
    publisher = Publisher()
    with pytest.raises(grpc.RpcError, match="must have the same one"):
        publisher._publish(types.PublishRequest.pb(request))
    publisher.publish(broker.names.events, [Publication(b"x", {}, key) for key in ("a", "b", "a")])
    publisher.close()
    assert len(broker.messages(broker.names.events, 3)) == 3


def test_the_command_line_makes_and_uses_an_ordered_subscription(
    run: Run, broker: Broker, payments: Path
) -> None:
    words = ("--project", PROJECT, "--use-case", MARKET.file)
    refused = run("publish", str(payments), "--ordered", *words)
    assert refused.code == 6 and "`riskstream topics --ordered`" in refused.err
    with subscriber_client() as client:
        client.delete_subscription(subscription=broker.names.reader(broker.names.events))
    assert run("topics", "--ordered", *words).code == 0
    done = run("publish", str(payments), "--ordered", "--json", *words)
    assert done.code == 0 and json.loads(done.out)["by_type"] == {"payment": EVENTS}
