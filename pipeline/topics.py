"""The topics and subscriptions of a use case: their names, and making them, which may be repeated.

A use case has three topics, events in, alerts and dead letters out, each with one subscription from the start.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from google.api_core.exceptions import AlreadyExists, GoogleAPICallError, RetryError
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.types import ExpirationPolicy, Subscription

from pipeline.pubsub import PASSING, PubSubRefused, PubSubUnavailable, transport

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


@dataclass(frozen=True)
class Outcome:
    """What `create` did with one topic or subscription: created or kept."""

    kind: str
    name: str
    action: str


def topic_path(project: str, topic: str) -> str:
    """projects/PROJECT/topics/TOPIC; a whole path stays as it is."""
    return topic if "/" in topic else f"projects/{project}/topics/{topic}"


def subscription_path(project: str, subscription: str) -> str:
    return subscription if "/" in subscription else f"projects/{project}/subscriptions/{subscription}"


def short(path: str) -> str:
    return path.rpartition("/")[2]


def create(names: Names) -> list[Outcome]:
    """Makes what is missing. Raises PubSubUnavailable, PubSubRefused."""
    with publisher_client() as publisher, subscriber_client() as subscriber:
        topics = [_create_topic(publisher, topic) for topic in names.topics]
        readers = [_create_reader(subscriber, names.reader(topic), topic) for topic in names.topics]
    return topics + readers


def publisher_client() -> PublisherClient:
    """The client for topics; messages go through `pipeline.pubsub`. Raises PubSubRefused."""
    return PublisherClient(transport=transport(PublisherClient))


def subscriber_client() -> SubscriberClient:
    """The client for subscriptions. Raises PubSubRefused."""
    return SubscriberClient(transport=transport(SubscriberClient))


@contextmanager
def explained(path: str) -> Iterator[None]:
    """What the clients raise, as PubSubUnavailable or PubSubRefused."""
    try:
        yield
    except RetryError as error:
        raise PubSubUnavailable(f"{path}: {error}") from error
    except GoogleAPICallError as error:
        kind = PubSubUnavailable if error.grpc_status_code in PASSING else PubSubRefused
        raise kind(f"{path}: {error.message}") from error


def _create_topic(publisher: PublisherClient, topic: str) -> Outcome:
    with explained(topic):
        try:
            publisher.create_topic(name=topic, retry=None, timeout=CALL_TIMEOUT_S)
        except AlreadyExists:
            return Outcome("topic", short(topic), "kept")
    return Outcome("topic", short(topic), "created")


def _create_reader(subscriber: SubscriberClient, path: str, topic: str) -> Outcome:
    wanted = Subscription(
        name=path,
        topic=topic,
        ack_deadline_seconds=ACK_DEADLINE_S,
        message_retention_duration=RETENTION,
        expiration_policy=ExpirationPolicy(),  # never, however long nobody reads
    )
    with explained(path):
        try:
            subscriber.create_subscription(request=wanted, retry=None, timeout=CALL_TIMEOUT_S)
        except AlreadyExists:
            _check_belongs(subscriber, path, topic)
            return Outcome("subscription", short(path), "kept")
    return Outcome("subscription", short(path), "created")


def _check_belongs(subscriber: SubscriberClient, path: str, topic: str) -> None:
    found = subscriber.get_subscription(subscription=path, retry=None, timeout=CALL_TIMEOUT_S).topic
    if found != topic:
        raise PubSubRefused(f"{path} is there, but reads {found}, expected {topic}: delete or rename it")
