"""Conformance: publishing, pulling, acknowledging, deadlines, dead letters."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.cloud import pubsub_v1
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from .conftest import Clients, bodies, clients_of, close


def test_a_message_arrives_with_its_data_attributes_id_and_publish_time(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    before_s = time.time()
    message_id = clients.publisher.publish(topic, b"\x00\xff", event_id="e1", name="Zoë").result(10)
    [received] = clients.pull(subscription, 1)
    assert received.message.data == b"\x00\xff"
    assert dict(received.message.attributes) == {"event_id": "e1", "name": "Zoë"}
    assert received.message.message_id == message_id
    assert before_s - 1 < received.message.publish_time.timestamp() < time.time() + 1
    assert received.delivery_attempt == 0


def test_the_client_batches_and_every_message_gets_its_own_id(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    futures = [clients.publisher.publish(topic, str(i).encode()) for i in range(1_500)]
    ids = {future.result(10) for future in futures}
    received = clients.pull(subscription, 1_500)
    assert len(ids) == 1_500
    assert {one.message.message_id for one in received} == ids
    assert sorted(bodies(received), key=int) == [str(i) for i in range(1_500)]


def test_the_sender_cannot_choose_message_id_and_publish_time(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    forged = {"data": b"x", "message_id": "forged", "publish_time": "2001-01-01T00:00:00.123Z"}
    response = clients.low_level.publish(request={"topic": topic, "messages": [forged]})
    [received] = clients.pull(subscription, 1)
    assert received.message.message_id == response.message_ids[0] != "forged"
    assert received.message.publish_time.year > 2020


def test_an_acknowledged_message_does_not_come_again(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    clients.publish(topic, "a", "b")
    received = clients.pull(subscription, 2)
    clients.extend(subscription, received, 1)
    clients.ack(subscription, received[:1])
    assert bodies(clients.pull(subscription, 1)) == bodies(received[1:])
    assert clients.pull_at_once(subscription) == []


def test_a_message_nacked_comes_again_at_once(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    clients.publish(topic, "a")
    first = clients.pull(subscription, 1)
    assert clients.pull_at_once(subscription) == []
    clients.extend(subscription, first, 0)
    start_s = time.monotonic()
    [again] = clients.pull(subscription, 1)
    assert time.monotonic() - start_s < 1
    assert again.message == first[0].message
    assert again.ack_id != first[0].ack_id


def test_a_deadline_can_be_shortened_and_lengthened(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    clients.publish(topic, "short", "long")
    received = {one.message.data: one for one in clients.pull(subscription, 2)}
    clients.extend(subscription, list(received.values()), 1)
    clients.extend(subscription, [received[b"long"]], 30)
    assert bodies(clients.pull(subscription, 2, timeout_s=2)) == ["short"]


def test_an_ack_after_the_deadline_is_no_error(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    clients.publish(topic, "a")
    late = clients.pull(subscription, 1)
    clients.extend(subscription, late, 0)
    clients.pull(subscription, 1)
    clients.ack(subscription, late)
    clients.ack(subscription, late)


def test_what_a_lost_subscriber_did_not_acknowledge_comes_again_after_the_deadline(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic, ack_deadline_seconds=10)
    clients.publish(topic, "a", "b")
    lost = clients_of(clients.address)
    start_s = time.monotonic()
    received = lost.pull(subscription, 2)
    lost.ack(subscription, received[:1])
    close(lost)
    again = clients.pull(subscription, 1, timeout_s=15)
    assert bodies(again) == bodies(received[1:])
    assert 9.9 < time.monotonic() - start_s < 12


def test_every_subscription_gets_every_message_published_after_it(clients: Clients) -> None:
    topic = clients.topic()
    first = clients.subscription(topic)
    clients.publish(topic, "early")
    second = clients.subscription(topic)
    clients.publish(topic, "late")
    received = clients.pull(first, 2)
    clients.ack(first, received)
    assert sorted(bodies(received)) == ["early", "late"]
    assert bodies(clients.pull(second, 1)) == ["late"]


def test_an_exhausted_message_goes_to_the_dead_letter_topic(clients: Clients) -> None:
    topic, dead_topic = clients.topic(), clients.topic()
    policy = {"dead_letter_topic": dead_topic, "max_delivery_attempts": 5}
    subscription = clients.subscription(topic, dead_letter_policy=policy)
    dead = clients.subscription(dead_topic)
    clients.publisher.publish(topic, b"poison", event_id="e1").result(10)
    attempts = []
    for _ in range(5):
        [received] = clients.pull(subscription, 1)
        attempts.append(received.delivery_attempt)
        clients.extend(subscription, [received], 0)
    [letter] = clients.pull(dead, 1)
    assert attempts == [1, 2, 3, 4, 5]
    assert clients.pull_at_once(subscription) == []
    _check_dead_letter(letter, received, subscription)


def _check_dead_letter(letter: Any, original: Any, subscription: str) -> None:
    attributes = dict(letter.message.attributes)
    published = attributes.pop("CloudPubSubDeadLetterSourceTopicPublishTime")
    assert letter.message.data == original.message.data
    assert letter.message.message_id != original.message.message_id
    assert published.startswith(original.message.publish_time.strftime("%Y-%m-%dT%H:%M:%S."))
    assert published.endswith("+00:00")
    assert attributes == {
        "event_id": "e1",
        "CloudPubSubDeadLetterSourceDeliveryCount": "5",
        "CloudPubSubDeadLetterSourceSubscription": subscription.rpartition("/")[2],
        "CloudPubSubDeadLetterSourceSubscriptionProject": "conformance",
    }


def test_a_retry_policy_delays_the_next_delivery(clients: Clients) -> None:
    topic = clients.topic()
    policy = {"minimum_backoff": {"seconds": 1}, "maximum_backoff": {"seconds": 2}}
    subscription = clients.subscription(topic, retry_policy=policy)
    clients.publish(topic, "a")
    clients.extend(subscription, clients.pull(subscription, 1), 0)
    start_s = time.monotonic()
    assert clients.pull_at_once(subscription) == []
    assert bodies(clients.pull(subscription, 1)) == ["a"]
    assert time.monotonic() - start_s > 0.8


def test_a_blocked_pull_is_woken_by_a_publish(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    with ThreadPoolExecutor(1) as pool:
        pulling = pool.submit(clients.subscriber.pull, subscription=subscription, max_messages=10, timeout=20)
        time.sleep(0.3)
        start_s = time.monotonic()
        clients.publish(topic, "a")
        assert bodies(pulling.result(10).received_messages) == ["a"]
    assert time.monotonic() - start_s < 1


def test_a_pull_without_messages_ends_empty_before_its_deadline(
    clients: Clients, embedded_only: None
) -> None:
    subscription = clients.subscription(clients.topic())
    start_s = time.monotonic()
    response = clients.subscriber.pull(subscription=subscription, max_messages=1, timeout=1)
    assert len(response.received_messages) == 0
    assert 0.5 < time.monotonic() - start_s < 1


def test_a_pull_that_was_cancelled_takes_no_message(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    pull = clients.subscriber.transport.grpc_channel.unary_unary(
        "/google.pubsub.v1.Subscriber/Pull", pubsub_v1.types.PullRequest.serialize
    )
    call = pull.future(pubsub_v1.types.PullRequest(subscription=subscription, max_messages=1))
    time.sleep(0.2)
    call.cancel()
    time.sleep(0.2)
    clients.publish(topic, "a")
    assert bodies(clients.pull(subscription, 1, timeout_s=2)) == ["a"]


def test_a_pull_gives_no_more_than_asked_and_at_most_a_thousand(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    for _ in range(2):
        clients.publish(topic, *map(str, range(600)))
    assert len(clients.pull_at_once(subscription, 7)) == 7
    assert len(clients.pull_at_once(subscription, 5_000)) <= 1_000


def test_messages_of_nine_megabytes_go_through(clients: Clients) -> None:
    # gRPC refuses responses above 4 MiB unless the channel says otherwise, and under PUBSUB_EMULATOR_HOST it does not.
    topic = clients.topic()
    subscription = clients.subscription(topic)
    clients.low_level.publish(request={"topic": topic, "messages": [{"data": bytes(9_000_000)}]})
    clients.publish(topic, "small")
    channel = grpc.insecure_channel(clients.address, [("grpc.max_receive_message_length", -1)])
    with pubsub_v1.SubscriberClient(transport=SubscriberGrpcTransport(channel=channel)) as subscriber:
        first = subscriber.pull(subscription=subscription, max_messages=10).received_messages
        second = subscriber.pull(subscription=subscription, max_messages=10).received_messages
    assert sorted(len(one.message.data) for one in [*first, *second]) == [5, 9_000_000]


def test_responses_stay_below_the_clients_own_limit(clients: Clients) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    for _ in range(3):
        clients.low_level.publish(request={"topic": topic, "messages": [{"data": bytes(900_000)}] * 4})
    assert len(clients.pull(subscription, 12)) == 12


@pytest.mark.parametrize("pullers", [4])
def test_no_message_is_lost_or_doubled_under_load(clients: Clients, pullers: int) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic, ack_deadline_seconds=60)
    lock, received = threading.Lock(), list[str]()

    def pull_until_done() -> None:
        while len(received) < 20_000:
            batch = clients.subscriber.pull(
                subscription=subscription, max_messages=700, timeout=2
            ).received_messages
            if batch:
                clients.ack(subscription, batch)
            with lock:
                received.extend(bodies(batch))

    with ThreadPoolExecutor(pullers) as pool:
        pulling = [pool.submit(pull_until_done) for _ in range(pullers)]
        for start in range(0, 20_000, 500):
            clients.publish(topic, *map(str, range(start, start + 500)))
        for one in pulling:
            one.result(30)
    assert sorted(received, key=int) == [str(i) for i in range(20_000)]
    assert clients.pull_at_once(subscription) == []
