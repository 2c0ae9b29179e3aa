"""Pub/Sub by its plain calls: pull, acknowledge, publish; protobuf in, protobuf out.

The client library adds credentials, but neither its batching nor its wrapping of every message, which take
longer than scoring. With PUBSUB_EMULATOR_HOST (host:port) set, that server is used, without credentials.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple
from urllib.parse import quote

import grpc
from google.auth.exceptions import DefaultCredentialsError
from google.protobuf.message import Message as Protobuf
from google.pubsub_v1 import PublisherClient, SubscriberClient, types

from pipeline.pubsub.message import Message
from pipeline.runtime.errors import PubSubRefused, PubSubUnavailable
from pipeline.runtime.transient import is_transient

EMULATOR = "PUBSUB_EMULATOR_HOST"
PULL_MESSAGES = 1_000  # the service gives no more at once
PULL_TIMEOUT_S = 30.0  # a pull waits at the server for a first message
ACK_IDS = 1_000  # a request may have 512 KiB, an id has about 200 bytes
PUBLISH_MESSAGES = 1_000  # the service takes no more a request
PUBLISH_BYTES = 9 << 20  # of a request; the service takes 10 MB, framing included
ANSWER_TIMEOUT_S = 10.0  # calls take milliseconds; a frozen server is noticed after this
CHECK_TIMEOUT_S = 2.0
AT_ONCE = 16  # requests of one publisher under way; the ordering keys of a batch may be a thousand
Route = tuple[tuple[str, str], ...]  # metadata that lead a request to its resource
UNLIMITED = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))


class Received(NamedTuple):
    """One delivery of a message."""

    ack_id: str
    message: Message


class Publication(NamedTuple):
    """A message to publish. Those of one ordering key are given in order to a subscription that keeps order."""

    data: bytes
    attributes: Mapping[str, str]
    ordering_key: str = ""  # at most 1,024 bytes; empty: none


def transport(client: Any) -> Any:
    """Open the transport of a client class: with credentials, or to the emulator. Raises PubSubRefused."""
    emulator = os.environ.get(EMULATOR)
    if emulator:
        # Channels with equal options share a connection, and with it the pause after a failed attempt.
        options = [*UNLIMITED, ("grpc.use_local_subchannel_pool", 1)]
        return client.get_transport_class("grpc")(channel=grpc.insecure_channel(emulator, options=options))
    try:
        return client().transport
    except DefaultCredentialsError as error:
        raise PubSubRefused(f"no credentials for Pub/Sub: {error}") from error


def method(channel: Any, name: str, request: Any, response: Any = None) -> Any:
    """Return the plain call of a method; without `response` the answer stays bytes."""
    answer = response.pb().FromString if response else bytes
    return channel.unary_unary(f"/google.pubsub.v1.{name}", request.pb().SerializeToString, answer)


def failure(error: grpc.RpcError, what: str) -> Exception:
    """Return a gRPC error as PubSubUnavailable or PubSubRefused."""
    kind = PubSubUnavailable if is_transient(error) else PubSubRefused
    return kind(f"{what}: {error.code().name}: {error.details()}")


class Subscription:
    """One subscription, `path` being projects/PROJECT/subscriptions/NAME. Cannot be pickled."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._transport = transport(SubscriberClient)
        channel = self._transport.grpc_channel
        self._pull = method(channel, "Subscriber/Pull", types.PullRequest, types.PullResponse)
        self._ack = method(channel, "Subscriber/Acknowledge", types.AcknowledgeRequest)
        self._extend = method(channel, "Subscriber/ModifyAckDeadline", types.ModifyAckDeadlineRequest)
        self._route = (("x-goog-request-params", f"subscription={quote(path)}"),)

    def pulling(self, most: int = PULL_MESSAGES) -> grpc.Future:
        """Start a pull of at most so many messages: `received` waits for it, its `cancel` ends it."""
        request = types.PullRequest.pb()(subscription=self.path, max_messages=min(most, PULL_MESSAGES))
        return self._pull.future(request, timeout=PULL_TIMEOUT_S, metadata=self._route)

    def received(self, pull: grpc.Future) -> list[Received]:
        """Wait for a pull and return its messages, none if its time is over.

        Raises PubSubUnavailable, PubSubRefused.
        """
        try:
            return [_received(one) for one in pull.result().received_messages]
        except grpc.FutureCancelledError:
            return []
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return []
            raise failure(error, f"pull from {self.path}") from error

    def acknowledge(self, ack_ids: Sequence[str]) -> None:
        """Acknowledge messages. Idempotent. Raises PubSubUnavailable, PubSubRefused."""
        build = types.AcknowledgeRequest.pb()
        requests = [build(subscription=self.path, ack_ids=ids) for ids in _groups(ack_ids, ACK_IDS)]
        self._all(self._ack, requests, "acknowledge at")

    def extend(self, ack_ids: Sequence[str], seconds: int) -> None:
        """Move the deadlines of messages to `seconds` from now, at most 600; 0 hands the messages back at once.

        Ids of messages that are out no longer are ignored. Raises PubSubUnavailable, PubSubRefused.
        """
        build = types.ModifyAckDeadlineRequest.pb()
        requests = [
            build(subscription=self.path, ack_ids=ids, ack_deadline_seconds=seconds)
            for ids in _groups(ack_ids, ACK_IDS)
        ]
        self._all(self._extend, requests, "extend deadlines at" if seconds else "hand back to")

    def hand_back(self, ack_ids: Sequence[str]) -> None:
        """Hand back messages that were not processed: others get them at once, not after the deadline."""
        self.extend(ack_ids, 0)

    def _all(self, call: grpc.UnaryUnaryMultiCallable, requests: Sequence[Protobuf], what: str) -> None:
        if error := _first_error(call, requests, self._route):
            raise failure(error, f"{what} {self.path}") from error

    def check(self) -> None:
        """Check that the subscription exists. Raises PubSubUnavailable, PubSubRefused."""
        self._get()

    def ack_deadline_s(self) -> int:
        """Return the seconds until Pub/Sub delivers a message again. Raises PubSubUnavailable, PubSubRefused."""
        seconds: int = types.Subscription.pb().FromString(self._get()).ack_deadline_seconds
        return seconds

    def _get(self) -> bytes:
        request = types.GetSubscriptionRequest.pb()(subscription=self.path)
        channel, kind = self._transport.grpc_channel, types.GetSubscriptionRequest
        return _get(channel, "Subscriber/GetSubscription", request, kind, self.path)

    def close(self) -> None:
        self._transport.close()


class Publisher:
    """Publishes to topics, `topic` being projects/PROJECT/topics/NAME. Cannot be pickled."""

    def __init__(self) -> None:
        self._transport = transport(PublisherClient)
        self._publish = method(self._transport.grpc_channel, "Publisher/Publish", types.PublishRequest)

    def publish(self, topic: str, messages: Sequence[Publication]) -> None:
        """Publish all messages, those of one ordering key in order, and so those without one.

        Raises PubSubUnavailable, PubSubRefused; then some may be published, and none is under way any more.
        """
        route = (("x-goog-request-params", f"topic={quote(topic)}"),)
        for requests in rounds(messages):
            built = [_publish_request(topic, group) for group in requests]
            if error := _first_error(self._publish, built, route):
                raise failure(error, f"publish to {topic}") from error

    def check(self, topic: str) -> None:
        """Check that the topic exists. Raises PubSubUnavailable, PubSubRefused."""
        request = types.GetTopicRequest.pb()(topic=topic)
        _get(self._transport.grpc_channel, "Publisher/GetTopic", request, types.GetTopicRequest, topic)

    def close(self) -> None:
        self._transport.close()


def _first_error(
    call: grpc.UnaryUnaryMultiCallable, requests: Sequence[Protobuf], route: Route
) -> grpc.RpcError | None:
    """Send all requests side by side, wait until none is under way, and return the first error.

    A single request is sent by this thread, without a thread of gRPC's that would have to hand over the answer.
    """
    if len(requests) > 1:
        calls = [call.future(each, timeout=ANSWER_TIMEOUT_S, metadata=route) for each in requests]
        errors = [error for one in calls if (error := one.exception())]
        return errors[0] if errors else None
    try:
        for each in requests:
            call(each, timeout=ANSWER_TIMEOUT_S, metadata=route)
    except grpc.RpcError as error:
        return error
    return None


def _get(channel: grpc.Channel, name: str, request: Protobuf, kind: Any, path: str) -> bytes:
    """Return the settings of a topic or subscription, as encoded. Raises PubSubUnavailable, PubSubRefused."""
    route = (("x-goog-request-params", f"{next(iter(request.DESCRIPTOR.fields)).name}={quote(path)}"),)
    try:
        settings: bytes = method(channel, name, kind)(request, timeout=CHECK_TIMEOUT_S, metadata=route)
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.NOT_FOUND:
            raise PubSubRefused(
                f"{path}: NOT_FOUND: make it with `riskstream topics`, or name another"
            ) from error
        raise failure(error, path) from error
    return settings


def _received(one: Any) -> Received:
    """Convert a received message from protobuf."""
    message = one.message
    at = message.publish_time
    publish_us = at.seconds * 1_000_000 + at.nanos // 1_000
    return Received(
        one.ack_id, Message(message.data, dict(message.attributes), message.message_id, publish_us)
    )


def _publish_request(topic: str, messages: Sequence[Publication]) -> Any:
    build = types.PubsubMessage.pb()
    return types.PublishRequest.pb()(
        topic=topic,
        messages=[build(data=m.data, attributes=m.attributes, ordering_key=m.ordering_key) for m in messages],
    )


def _groups(values: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (values[i : i + size] for i in range(0, len(values), size))


def rounds(messages: Sequence[Publication]) -> Iterator[list[list[Publication]]]:
    """Yield rounds of requests that may be under way side by side; each holds messages of one ordering key."""
    by_key: dict[str, list[Publication]] = {}
    for message in messages:
        by_key.setdefault(message.ordering_key, []).append(message)
    for turn in zip_longest(*(fitting(own) for own in by_key.values())):
        groups = [group for group in turn if group]
        yield from (groups[i : i + AT_ONCE] for i in range(0, len(groups), AT_ONCE))


def fitting(messages: Sequence[Publication]) -> Iterator[list[Publication]]:
    """Yield the messages in order, in groups that a request can hold."""
    group: list[Publication] = []
    room_bytes = PUBLISH_BYTES
    for message in messages:
        size = size_bytes(message)
        if group and (len(group) == PUBLISH_MESSAGES or size > room_bytes):
            yield group
            group, room_bytes = [], PUBLISH_BYTES
        group.append(message)
        room_bytes -= size
    if group:
        yield group


def size_bytes(message: Publication) -> int:
    """Return an upper bound of the bytes that the message takes in a request."""
    attributes = sum(4 * (len(key) + len(value)) + 16 for key, value in message.attributes.items())
    return len(message.data) + attributes + 4 * len(message.ordering_key) + 32
