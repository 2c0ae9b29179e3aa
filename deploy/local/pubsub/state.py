"""The broker: topics, subscriptions and the messages between them.

Pure logic over protobuf resources: time is an argument, nothing waits or sends, and the caller holds the lock.
`take_ready` names the subscriptions that may have become deliverable, for the calls that wait for them. Publishing has
two steps, so that the expensive one (`prepare`) needs no lock.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from . import wire
from .leases import FlowWindow, Lease, StoredMessage
from .resources import CallRefused, already_exists, check_message, not_found
from .subscription import Delivery, LocalSubscription

DELETED_TOPIC = "_deleted-topic_"  # the service names it in place of a topic that was deleted


class Topic:
    """A topic; `settings` is its protobuf resource."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings
        self.subscriptions: dict[str, LocalSubscription] = {}


class Broker:
    """The state of one server. Message and ack ids count up from `first_id`, which must not be used twice."""

    def __init__(self, first_id: int) -> None:
        self.topics: dict[str, Topic] = {}
        self.subscriptions: dict[str, LocalSubscription] = {}
        self._ids = itertools.count(first_id)
        self._ready: set[str] = set()

    # Topics

    def create_topic(self, settings: Any) -> None:
        """Create a topic. Raises CallRefused if it exists."""
        if settings.name in self.topics:
            raise already_exists(settings.name)
        self.topics[settings.name] = Topic(settings)

    def topic(self, name: str) -> Topic:
        """Return a topic. Raises CallRefused if there is none of the name."""
        if name not in self.topics:
            raise not_found(name)
        return self.topics[name]

    def delete_topic(self, name: str) -> None:
        """Delete a topic; its subscriptions stay with their messages."""
        for subscription in self.topic(name).subscriptions.values():
            subscription.settings.topic = DELETED_TOPIC
        del self.topics[name]

    def prepare(self, messages: Sequence[Any], now_s: float) -> list[tuple[int, StoredMessage]]:
        """Check and serialise messages, and give each an id. Needs no lock."""
        time_field = wire.publish_time_field(now_s)
        prepared = []
        ordering_key = messages[0].ordering_key if messages else ""
        for index, message in enumerate(messages):
            check_message(index, message, ordering_key)
            message_id = next(self._ids)
            framed = wire.frame(message.SerializeToString(), message_id, time_field)
            prepared.append((message_id, StoredMessage(framed, ordering_key, now_s)))
        return prepared

    def publish(self, topic: str, prepared: list[tuple[int, StoredMessage]]) -> None:
        """Hand prepared messages to every subscription of the topic."""
        messages = [message for _, message in prepared]
        for name, subscription in self.topic(topic).subscriptions.items():
            subscription.add(messages)
            self._ready.add(name)

    # Subscriptions

    def create_subscription(self, settings: Any) -> None:
        """Create a subscription. Raises CallRefused if it exists or a topic is missing."""
        if settings.name in self.subscriptions:
            raise already_exists(settings.name)
        topic = self.topic(settings.topic)
        self._check_dead_letter_topic(settings)
        subscription = LocalSubscription(settings, self._ids, self._forward)
        self.subscriptions[settings.name] = topic.subscriptions[settings.name] = subscription

    def update_subscription(self, settings: Any) -> None:
        """Replace the settings of a subscription."""
        self._check_dead_letter_topic(settings)
        self.subscription(settings.name).settings = settings

    def subscription(self, name: str) -> LocalSubscription:
        """Return a subscription. Raises CallRefused if there is none of the name."""
        if name not in self.subscriptions:
            raise not_found(name)
        return self.subscriptions[name]

    def delete_subscription(self, name: str) -> None:
        """Delete a subscription with its messages."""
        self._unlink(self.subscription(name))
        del self.subscriptions[name]
        self._ready.add(name)

    def detach_subscription(self, name: str) -> None:
        """Detach a subscription from its topic and drop its messages."""
        old = self.subscription(name)
        self._unlink(old)
        self.subscriptions[name] = LocalSubscription(old.settings, self._ids, self._forward)
        old.settings.detached = True
        self._ready.add(name)

    def deliver(
        self, name: str, limit: int, now_s: float, deadline_s: int = 0, window: FlowWindow | None = None
    ) -> list[Delivery]:
        """Lease messages of a subscription; see `LocalSubscription.deliver`."""
        subscription = self.subscription(name)
        if subscription.settings.detached:
            raise CallRefused("FAILED_PRECONDITION", f"Subscription {name} is detached from its topic.")
        return subscription.deliver(limit, now_s, deadline_s, window)

    def ack(self, name: str, ack_ids: Iterable[str]) -> None:
        """Acknowledge messages of a subscription."""
        subscription = self.subscription(name)
        subscription.ack(ack_ids)
        self._note_ready(subscription)  # the next message of a key, or room in a stream's window

    def extend(self, name: str, extensions: Iterable[tuple[str, int]], now_s: float) -> None:
        """Move the deadlines of (ack id, seconds) pairs; 0 seconds hands a message back."""
        subscription = self.subscription(name)
        for ack_id, seconds in extensions:
            subscription.extend(ack_id, seconds, now_s)
        self._note_ready(subscription)

    # Time and waiting

    def expire(self, now_s: float) -> None:
        """Hand back all deliveries that are past their deadline."""
        for subscription in self.subscriptions.values():
            if subscription.next_due_s() <= now_s:
                subscription.expire(now_s)
                self._note_ready(subscription)

    def next_due_s(self) -> float:
        """Return when `expire` has something to do next; infinity if never."""
        return min((one.next_due_s() for one in self.subscriptions.values()), default=math.inf)

    def take_ready(self) -> set[str]:
        """Return the subscriptions that may have become deliverable since the last call."""
        ready, self._ready = self._ready, set()
        return ready

    def _note_ready(self, subscription: LocalSubscription) -> None:
        if subscription.has_deliverable:
            self._ready.add(subscription.settings.name)

    def figures(self, now_s: float) -> dict[str, dict[str, float]]:
        """Return the figures of each subscription, by name."""
        return {name: subscription.figures(now_s) for name, subscription in self.subscriptions.items()}

    # Dead letters

    def _forward(self, source: Any, lease: Lease, now_s: float) -> bool:
        """Publish an exhausted message to the dead-letter topic; False if that topic is gone."""
        target = source.dead_letter_policy.dead_letter_topic
        if target not in self.topics:
            return False
        self.publish(target, self.prepare_unchecked(dead_letter(source.name, lease), now_s))
        return True

    def prepare_unchecked(self, message: Any, now_s: float) -> list[tuple[int, StoredMessage]]:
        """Serialise a message that the server itself made; it may be larger than a publisher may send."""
        message_id = next(self._ids)
        framed = wire.frame(message.SerializeToString(), message_id, wire.publish_time_field(now_s))
        return [(message_id, StoredMessage(framed, message.ordering_key, now_s))]

    def _check_dead_letter_topic(self, settings: Any) -> None:
        if settings.dead_letter_policy.dead_letter_topic:
            self.topic(settings.dead_letter_policy.dead_letter_topic)

    def _unlink(self, subscription: LocalSubscription) -> None:
        topic = self.topics.get(subscription.settings.topic)
        if topic is not None:
            topic.subscriptions.pop(subscription.settings.name, None)


def dead_letter(subscription: str, lease: Lease) -> Any:
    """Return the message with the attributes that say where a dead letter comes from, as the service sets them."""
    _, project, _, short_name = subscription.split("/", 3)
    published = datetime.fromtimestamp(lease.message.published_s, UTC)
    message = wire.unframe(lease.message.frame)
    message.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] = str(lease.attempt)
    message.attributes["CloudPubSubDeadLetterSourceSubscription"] = short_name
    message.attributes["CloudPubSubDeadLetterSourceSubscriptionProject"] = project
    message.attributes["CloudPubSubDeadLetterSourceTopicPublishTime"] = published.isoformat(
        timespec="milliseconds"
    )
    return message
