"""What was published to a topic, seen by a subscription of its own, so that it can be held against what came of it."""

import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, Self

from google.pubsub_v1.types import ExpirationPolicy
from google.pubsub_v1.types import Subscription as Settings

from features.events import BadEvent, decode_all, make_batch
from features.usecase import UseCase
from pipeline.pubsub.client import Received, Subscription
from pipeline.pubsub.message import Message
from pipeline.pubsub.topics import CALL_TIMEOUT_S, explained, short, subscriber_client, subscription_path
from pipeline.runtime.errors import PubSubUnavailable
from pipeline.runtime.retry import retrying

QUIET_S = 2.0  # nothing for so long: there is nothing more; a message is there within milliseconds
ACK_DEADLINE_S = 60
RETENTION = timedelta(days=1)


class Named(NamedTuple):
    """What makes an event one: the two legs of a transfer share an id and differ in the customer."""

    customer: str
    event_type: str
    event_id: str

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_id} of customer {self.customer}"


@dataclass(frozen=True)
class Sent:
    """Messages by what should come of them."""

    events: Mapping[Named, Sequence[str]]  # ids of the messages that carry each event
    unusable: Mapping[str, str]  # message id: the reason of its dead letter

    @classmethod
    def of(cls, use_case: UseCase, messages: Sequence[Message]) -> Self:
        types = [message.attributes.get("event_type", "") for message in messages]
        times = [message.attributes.get("event_time") for message in messages]
        bodies, published_us = [m.data for m in messages], [m.publish_us for m in messages]
        found = decode_all(use_case, types, bodies, published_us, times)
        good = {i: event for i, event in enumerate(found) if not isinstance(event, BadEvent)}
        decoded = make_batch(
            use_case, [(types[i], event) for i, event in good.items()], [published_us[i] for i in good]
        )
        events: dict[Named, list[str]] = {}
        for i, *name in zip(good, decoded.subject, decoded.types, decoded.event_id, strict=True):
            events.setdefault(Named(*name), []).append(messages[i].message_id)
        pairs = zip(messages, found, strict=True)
        return cls(events, {m.message_id: e.reason for m, e in pairs if isinstance(e, BadEvent)})

    @property
    def messages(self) -> int:
        return sum(map(len, self.events.values())) + len(self.unusable)


@contextmanager
def auditing(project: str, topic: str) -> Iterator[str]:
    """A subscription that sees everything published to `topic` within the block; its path, for `collect`.

    Raises PubSubUnavailable, PubSubRefused.
    """
    path = subscription_path(project, f"{short(topic)}-audit-{uuid.uuid4().hex[:8]}")
    wanted = Settings(
        name=path,
        topic=topic,
        ack_deadline_seconds=ACK_DEADLINE_S,
        message_retention_duration=RETENTION,
        expiration_policy=ExpirationPolicy(ttl=RETENTION),
    )
    with subscriber_client() as client, explained(path):
        client.create_subscription(request=wanted, retry=None, timeout=CALL_TIMEOUT_S)
        try:
            yield path
        finally:
            client.delete_subscription(subscription=path, retry=None, timeout=CALL_TIMEOUT_S)


def collect(path: str, quiet_s: float = QUIET_S) -> list[Message]:
    """Takes all messages out of a subscription, each once, in the order of publishing; ends when none come."""
    seen: dict[str, Message] = {}
    with closing(Subscription(path)) as source:
        while received := retrying(lambda: pulled(source, quiet_s), PubSubUnavailable, f"read {path}"):
            seen.update((one.message.message_id, one.message) for one in received)
            retrying(
                lambda: source.acknowledge([one.ack_id for one in received]), PubSubUnavailable, "acknowledge"
            )
    return sorted(seen.values(), key=lambda message: message.publish_us)


def pulled(source: Subscription, quiet_s: float) -> list[Received]:
    """What comes within this time."""
    pull, arrived = source.pulling(), threading.Event()
    pull.add_done_callback(lambda _: arrived.set())
    if not arrived.wait(quiet_s):
        pull.cancel()
    return source.received(pull)
