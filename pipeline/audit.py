"""What was published to a topic, seen by a subscription of its own, so that it can be held against what came of it."""

import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from google.pubsub_v1.types import ExpirationPolicy
from google.pubsub_v1.types import Subscription as Settings

from features.decoding import event_ids, known_codec
from features.events import BadEvent, Event
from features.intake import decode_all
from features.usecase import UseCase
from pipeline.message import Message
from pipeline.pubsub import PubSubUnavailable, Received, Subscription
from pipeline.retry import retrying
from pipeline.topics import CALL_TIMEOUT_S, explained, short, subscriber_client, subscription_path

QUIET_S = 2.0  # nothing for so long: there is nothing more; a message is there within milliseconds
ACK_DEADLINE_S = 60
RETENTION = timedelta(days=1)


@dataclass(frozen=True)
class Sent:
    """Messages by what should come of them."""

    events: Mapping[
        tuple[str, str], Sequence[str]
    ]  # (event type, event id): ids of the messages that carry it
    unusable: Mapping[str, str]  # message id: the reason of its dead letter

    @classmethod
    def of(cls, use_case: UseCase, messages: Sequence[Message]) -> Self:
        types = [message.attributes.get("event_type", "") for message in messages]
        times = [message.attributes.get("event_time") for message in messages]
        bodies, published_us = [m.data for m in messages], [m.publish_us for m in messages]
        found = decode_all(use_case, types, bodies, published_us, times)
        events: dict[tuple[str, str], list[str]] = {}
        for name in set(types):
            rows = [i for i, kind in enumerate(types) if kind == name and not isinstance(found[i], BadEvent)]
            good: list[Event] = [found[i] for i in rows]  # type: ignore[misc]
            ids = event_ids(known_codec(use_case, name), good) if good else []
            for i, event_id in zip(rows, ids, strict=True):
                events.setdefault((name, event_id), []).append(messages[i].message_id)
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
