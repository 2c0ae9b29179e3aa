"""The topics and subscriptions of a use case: their names, and making them, which may be repeated.

A use case has three topics, events in, alerts and dead letters out, each with one subscription from the start.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from google.api_core.exceptions import (
    AlreadyExists,
    GoogleAPICallError,
    NotFound,
    PermissionDenied,
    RetryError,
)
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.types import ExpirationPolicy, Subscription

from pipeline.pubsub.client import transport
from pipeline.runtime.errors import PubSubRefused, PubSubUnavailable
from pipeline.runtime.provisioned import Provisioned
from pipeline.runtime.transient import is_transient

ACK_DEADLINE_S = 60  # a batch takes milliseconds; the rest is for a job that waits for Redis or BigQuery
RETENTION = timedelta(days=7)  # the longest outage that loses nothing
CALL_TIMEOUT_S = 5.0  # somebody is waiting for the answer


@dataclass(frozen=True)
class Names:
    """Whole paths of what one use case has in Pub/Sub; `reader` of a topic is its subscription."""

    project: str
    use_case: str

    @property
    def events(self) -> str:
        return topic_path(self.project, f"{self.use_case}-events")

    @property
    def alerts(self) -> str:
        return topic_path(self.project, f"{self.use_case}-alerts")

    @property
    def dead_letters(self) -> str:
        return topic_path(self.project, f"{self.use_case}-dead-letters")

    @property
    def topics(self) -> tuple[str, str, str]:
        return self.events, self.alerts, self.dead_letters

    def reader(self, topic: str) -> str:
        return subscription_path(self.project, f"{short(topic)}-riskstream")


def topic_path(project: str, topic: str) -> str:
    """projects/PROJECT/topics/TOPIC; a whole path stays as it is."""
    return topic if "/" in topic else f"projects/{project}/topics/{topic}"


def subscription_path(project: str, subscription: str) -> str:
    return subscription if "/" in subscription else f"projects/{project}/subscriptions/{subscription}"


def short(path: str) -> str:
    return path.rpartition("/")[2]


def create(names: Names, ordered: bool = False) -> list[Provisioned]:
    """Make what is missing; `ordered`: the subscription of events keeps the order of each ordering key.

    Raises PubSubUnavailable, PubSubRefused, also for a subscription that is there and keeps no order.
    """
    with publisher_client() as publisher, subscriber_client() as subscriber:
        topics = [_create_topic(publisher, topic) for topic in names.topics]
        readers = [
            _create_reader(subscriber, names.reader(topic), topic, ordered and topic == names.events)
            for topic in names.topics
        ]
    return topics + readers


def check_keeps_order(project: str, topic: str) -> None:
    """Check that the topic's subscription keeps order, as far as that can be seen. Raises PubSubRefused."""
    path = subscription_path(project, f"{short(topic)}-riskstream")
    with subscriber_client() as subscriber, explained(path):
        try:
            subscription = subscriber.get_subscription(subscription=path, retry=None, timeout=CALL_TIMEOUT_S)
        except (NotFound, PermissionDenied):  # a publisher need not see who reads
            return
    _check_order(subscription)


def publisher_client() -> PublisherClient:
    """Open the client for topics; messages go through `pipeline.pubsub.client`. Raises PubSubRefused."""
    return PublisherClient(transport=transport(PublisherClient))


def subscriber_client() -> SubscriberClient:
    """Open the client for subscriptions. Raises PubSubRefused."""
    return SubscriberClient(transport=transport(SubscriberClient))


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Turn errors of the clients into PubSubUnavailable or PubSubRefused."""
    try:
        yield
    except RetryError as error:
        raise PubSubUnavailable(f"{path}: {error}") from error
    except GoogleAPICallError as error:
        kind = PubSubUnavailable if is_transient(error) else PubSubRefused
        raise kind(f"{path}: {error.message}") from error


def _create_topic(publisher: PublisherClient, topic: str) -> Provisioned:
    with explained(topic):
        try:
            publisher.create_topic(name=topic, retry=None, timeout=CALL_TIMEOUT_S)
        except AlreadyExists:
            return Provisioned("topic", short(topic), "kept")
    return Provisioned("topic", short(topic), "created")


def _create_reader(subscriber: SubscriberClient, path: str, topic: str, ordered: bool) -> Provisioned:
    wanted = Subscription(
        name=path,
        topic=topic,
        ack_deadline_seconds=ACK_DEADLINE_S,
        message_retention_duration=RETENTION,
        expiration_policy=ExpirationPolicy(),  # never, however long nobody reads
        enable_message_ordering=ordered,
    )
    with explained(path):
        try:
            subscriber.create_subscription(request=wanted, retry=None, timeout=CALL_TIMEOUT_S)
        except AlreadyExists:
            subscription = subscriber.get_subscription(subscription=path, retry=None, timeout=CALL_TIMEOUT_S)
            if subscription.topic != topic:
                raise PubSubRefused(
                    f"{path} is there, but reads {subscription.topic}, expected {topic}: delete or rename it"
                ) from None
            if ordered:
                _check_order(subscription)
            return Provisioned("subscription", short(path), "kept")
    return Provisioned("subscription", short(path), "created")


def _check_order(subscription: Subscription) -> None:
    """Check that a subscription keeps order. Raises PubSubRefused."""
    if not subscription.enable_message_ordering:
        raise PubSubRefused(
            f"{subscription.name} keeps no order, and that cannot be changed: let the job read it empty, delete it "
            "and create it again with `riskstream topics --ordered`"
        )
