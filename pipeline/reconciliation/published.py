"""Messages published to a topic, recorded by a temporary subscription and compared with what became of them."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, Self

from features.events import BadEvent, decode_all, make_batch
from features.usecase import UseCase
from pipeline.pubsub.client import Subscription
from pipeline.pubsub.message import Message
from pipeline.pubsub.reading import pull_within, temporary_subscription
from pipeline.runtime.errors import PubSubUnavailable
from pipeline.runtime.retry import retrying

QUIET_S = 2.0  # nothing for so long: there is nothing more; a message is there within milliseconds
ACK_DEADLINE_S = 60
RETENTION = timedelta(days=1)


class EventKey(NamedTuple):
    """The values that identify an event: the two legs of a transfer share an id and differ in the customer."""

    customer: str
    event_type: str
    event_id: str

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_id} of customer {self.customer}"


@dataclass(frozen=True)
class PublishedMessages:
    """Published messages by what should become of them."""

    events: Mapping[EventKey, Sequence[str]]  # ids of the messages that carry each event
    unusable: Mapping[str, str]  # message id: the reason of its dead letter

    @classmethod
    def of(cls, use_case: UseCase, messages: Sequence[Message]) -> Self:
        types = [message.attributes.get("event_type", "") for message in messages]
        times = [message.attributes.get("event_time") for message in messages]
        bodies, published_us = [m.data for m in messages], [m.publish_us for m in messages]
        decoded = decode_all(use_case, types, bodies, published_us, times)
        good = {i: event for i, event in enumerate(decoded) if not isinstance(event, BadEvent)}
        batch = make_batch(
            use_case, [(types[i], event) for i, event in good.items()], [published_us[i] for i in good]
        )
        events: dict[EventKey, list[str]] = {}
        for i, *name in zip(good, batch.subject, batch.types, batch.event_id, strict=True):
            events.setdefault(EventKey(*name), []).append(messages[i].message_id)
        pairs = zip(messages, decoded, strict=True)
        return cls(events, {m.message_id: e.reason for m, e in pairs if isinstance(e, BadEvent)})

    @property
    def messages(self) -> int:
        return sum(map(len, self.events.values())) + len(self.unusable)


def audit_subscription(project: str, topic: str) -> AbstractContextManager[str]:
    """Subscribe to everything that is published to `topic` within the block; yields the path for `collect`.

    Raises PubSubUnavailable, PubSubRefused.
    """
    return temporary_subscription(project, topic, "audit", ACK_DEADLINE_S, RETENTION)


def collect(path: str, quiet_s: float = QUIET_S) -> list[Message]:
    """Take all messages out of a subscription, each once, in the order of publishing; end when none comes."""
    seen: dict[str, Message] = {}
    with closing(Subscription(path)) as source:
        while received := retrying(lambda: pull_within(source, quiet_s), PubSubUnavailable, f"read {path}"):
            seen.update((one.message.message_id, one.message) for one in received)
            retrying(
                lambda: source.acknowledge([one.ack_id for one in received]), PubSubUnavailable, "acknowledge"
            )
    return sorted(seen.values(), key=lambda message: message.publish_us)
