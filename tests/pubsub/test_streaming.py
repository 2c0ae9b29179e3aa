"""Conformance: StreamingPull, through the client's own subscriber and through the bare call."""

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import pubsub_v1

from .conftest import Clients


class Stream:
    """The bare StreamingPull call: what is put in goes to the server, what comes out is what it sent."""

    def __init__(self, clients: Clients, **first: Any) -> None:
        self._requests: queue.Queue[Any] = queue.Queue()
        self.send(stream_ack_deadline_seconds=10, **first)
        self._responses = clients.subscriber.streaming_pull(requests=self._outgoing())
        self._received: queue.Queue[Any] = queue.Queue()
        threading.Thread(target=self._collect, daemon=True).start()

    def send(self, **fields: Any) -> None:
        self._requests.put(pubsub_v1.types.StreamingPullRequest(**fields))

    def receive(self, count: int, timeout_s: float = 5.0) -> list[Any]:
        """Up to `count` messages; fewer if the time is over first. Raises what the call ended with."""
        received: list[Any] = []
        until_s = time.monotonic() + timeout_s
        while len(received) < count:
            try:
                item = self._received.get(timeout=max(0.01, until_s - time.monotonic()))
            except queue.Empty:
                break
            if isinstance(item, exceptions.GoogleAPICallError):
                raise item
            received.append(item)
        return received

    def close(self) -> None:
        self._requests.put(None)
        self._responses.cancel()

    def _outgoing(self) -> Iterator[Any]:
        while (request := self._requests.get()) is not None:
            yield request

    def _collect(self) -> None:
        try:
            for response in self._responses:
                for one in response.received_messages:
                    self._received.put(one)
        except exceptions.GoogleAPICallError as error:
            self._received.put(error)


def test_the_clients_subscriber_receives_and_acknowledges_everything(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    seen, done = set[bytes](), threading.Event()

    def receive(message: Any) -> None:
        seen.add(message.data)
        message.ack()
        if len(seen) == 2_000:
            done.set()

    future = clients.subscriber.subscribe(subscription, receive)
    for start in range(0, 2_000, 500):
        clients.publish(topic, *map(str, range(start, start + 500)))
    assert done.wait(15)
    future.cancel()
    future.result(10)
    assert clients.pull_at_once(subscription) == []


def test_a_nack_in_the_clients_subscriber_brings_the_message_again(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    delivered: list[str] = []
    done = threading.Event()

    def receive(message: Any) -> None:
        delivered.append(message.message_id)
        if len(delivered) < 3:
            message.nack()
        else:
            message.ack()
            done.set()

    future = clients.subscriber.subscribe(subscription, receive)
    [message_id] = clients.publish(topic, "a")
    assert done.wait(5)
    future.cancel()
    future.result(10)
    assert delivered == [message_id] * 3


def test_several_subscribers_share_a_subscription(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    seen: list[list[bytes]] = [[], [], []]
    flow = pubsub_v1.types.FlowControl(max_messages=10)

    def receiver(mine: list[bytes]) -> Any:
        def receive(message: Any) -> None:
            mine.append(message.data)
            time.sleep(0.001)
            message.ack()

        return receive

    futures = [clients.subscriber.subscribe(subscription, receiver(mine), flow) for mine in seen]
    time.sleep(0.2)
    clients.publish(topic, *map(str, range(600)))
    until_s = time.monotonic() + 10
    while sum(map(len, seen)) < 600 and time.monotonic() < until_s:
        time.sleep(0.02)
    for future in futures:
        future.cancel()
        future.result(10)
    assert sorted(int(body) for mine in seen for body in mine) == list(range(600))
    assert all(seen)


def test_a_stream_gets_no_more_messages_than_its_window(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    clients.publish(topic, *map(str, range(20)))
    stream = Stream(clients, subscription=subscription, max_outstanding_messages=5)
    first = stream.receive(6, timeout_s=0.5)
    assert len(first) == 5
    stream.send(ack_ids=[one.ack_id for one in first[:2]])
    assert len(stream.receive(3, timeout_s=0.5)) == 2
    clients.ack(subscription, first[2:])
    assert len(stream.receive(4, timeout_s=0.5)) == 3
    stream.close()


def test_a_stream_gets_no_more_bytes_than_its_window(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    clients.publish(topic, *["x" * 1_000] * 10)
    stream = Stream(clients, subscription=subscription, max_outstanding_bytes=3_500)
    first = stream.receive(10, timeout_s=0.5)
    assert 3 <= len(first) <= 4
    stream.send(modify_deadline_ack_ids=[first[0].ack_id], modify_deadline_seconds=[0])
    assert len(stream.receive(1)) == 1
    stream.close()


def test_a_stream_extends_and_hands_back(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    stream = Stream(clients, subscription=subscription)
    clients.publish(topic, "a", "b")
    ack_ids = [one.ack_id for one in stream.receive(2)]
    stream.send(modify_deadline_ack_ids=ack_ids, modify_deadline_seconds=[0, 60])
    assert len(stream.receive(2, timeout_s=0.5)) == 1
    stream.close()


@pytest.mark.parametrize(
    ("first", "error"),
    [
        ({"subscription": "projects/conformance/subscriptions/unknown"}, exceptions.NotFound),
        ({"subscription": "nonsense"}, exceptions.InvalidArgument),
    ],
)
def test_a_stream_on_nothing_is_refused(
    clients: Clients, first: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        Stream(clients, **first).receive(1)


def test_a_later_request_must_not_name_a_subscription(clients: Clients) -> None:
    subscription = clients.subscription(clients.topic())
    stream = Stream(clients, subscription=subscription)
    stream.send(subscription=subscription)
    with pytest.raises(exceptions.InvalidArgument):
        stream.receive(1)


def test_a_stream_ends_when_its_subscription_is_deleted(clients: Clients) -> None:
    subscription = clients.subscription(clients.topic())
    stream = Stream(clients, subscription=subscription)
    assert stream.receive(1, timeout_s=0.3) == []
    clients.subscriber.delete_subscription(subscription=subscription)
    with pytest.raises(exceptions.NotFound):
        stream.receive(1)
