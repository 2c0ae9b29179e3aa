"""Conformance: ordering keys."""

import threading
from typing import Any

from .conftest import Clients, bodies


def test_the_messages_of_a_key_come_in_order(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic, enable_message_ordering=True)
    for number in range(300):
        clients.publisher.publish(topic, str(number).encode(), ordering_key=f"key-{number % 7}")
    seen: dict[str, list[int]] = {}
    done = threading.Event()

    def receive(message: Any) -> None:
        seen.setdefault(message.ordering_key, []).append(int(message.data))
        message.ack()
        if sum(map(len, seen.values())) >= 300:
            done.set()

    future = clients.subscriber.subscribe(subscription, receive)
    assert done.wait(10)
    future.cancel()
    future.result(10)
    assert seen == {f"key-{key}": list(range(key, 300, 7)) for key in range(7)}


def test_the_next_message_of_a_key_waits_until_the_previous_is_acknowledged(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic, enable_message_ordering=True)
    clients.publish(topic, "a1", "a2", key="a")
    clients.publish(topic, "b1", key="b")
    first = clients.pull(subscription, 1)
    assert bodies(first) == ["a1"]
    assert bodies(clients.pull(subscription, 1)) == ["b1"]
    assert clients.pull_at_once(subscription) == []
    clients.ack(subscription, first)
    assert bodies(clients.pull(subscription, 1)) == ["a2"]


def test_a_nack_brings_the_rest_of_the_key_again_in_order(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic, enable_message_ordering=True)
    clients.publish(topic, "1", "2", "3", "4", "5", key="a")
    received = clients.pull(subscription, 4)
    assert bodies(received) == ["1", "2", "3", "4"]
    clients.ack(subscription, received[:1])
    clients.extend(subscription, received[1:2], 0)
    assert bodies(clients.pull(subscription, 4)) == ["2", "3", "4", "5"]


def test_a_passed_deadline_brings_the_rest_of_the_key_again_in_order(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic, enable_message_ordering=True)
    clients.publish(topic, "1", "2", "3", key="a")
    received = clients.pull(subscription, 3)
    clients.extend(subscription, received[:1], 1)
    assert bodies(clients.pull(subscription, 3)) == ["1", "2", "3"]


def test_a_dead_letter_lets_its_key_go_on(clients: Clients) -> None:
    topic, dead_topic = clients.topic(), clients.topic()
    policy = {"dead_letter_topic": dead_topic, "max_delivery_attempts": 5}
    subscription = clients.subscription(topic, enable_message_ordering=True, dead_letter_policy=policy)
    dead = clients.subscription(dead_topic)
    clients.publish(topic, "poison", "next", key="a")
    for _ in range(5):
        clients.extend(subscription, clients.pull(subscription, 1), 0)
    [letter] = clients.pull(dead, 1)
    assert (letter.message.data, letter.message.ordering_key) == (b"poison", "a")
    assert bodies(clients.pull(subscription, 1)) == ["next"]


def test_without_message_ordering_a_key_holds_nothing_back(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    clients.publish(topic, "1", "2", key="a")
    received = [*clients.pull(subscription, 1), *clients.pull(subscription, 1)]
    assert sorted(bodies(received)) == ["1", "2"]
    assert {one.message.ordering_key for one in received} == {"a"}
