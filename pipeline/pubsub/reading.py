"""Reading a topic for a while: a subscription that ends with its reader, and a pull that ends in time."""

import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from google.pubsub_v1 import SubscriberClient
from google.pubsub_v1.types import ExpirationPolicy
from google.pubsub_v1.types import Subscription as Declaration

from pipeline.pubsub.client import Received, Subscription
from pipeline.pubsub.topics import CALL_TIMEOUT_S, explained, short, subscriber_client, subscription_path
from pipeline.runtime.errors import PubSubRefused, PubSubUnavailable

EXPIRATION = timedelta(days=1)  # the least there is, for readers that could not delete theirs

logger = logging.getLogger(__name__)


@contextmanager
def temporary_subscription(
    project: str, topic: str, purpose: str, ack_deadline_s: int, retention: timedelta
) -> Iterator[str]:
    """Yield the path of a subscription to `topic`, a whole path, that exists for as long as the block lasts.

    It is called TOPIC-PURPOSE-RANDOM. Nobody else misses the messages that are read from it. Raises PubSubUnavailable
    and PubSubRefused if it cannot be made; one that cannot be deleted is logged and expires by itself.
    """
    path = subscription_path(project, f"{short(topic)}-{purpose}-{uuid.uuid4().hex[:8]}")
    declaration = Declaration(
        name=path,
        topic=topic,
        ack_deadline_seconds=ack_deadline_s,
        message_retention_duration=retention,
        expiration_policy=ExpirationPolicy(ttl=EXPIRATION),
    )
    with subscriber_client() as client:
        with explained(path):
            client.create_subscription(request=declaration, retry=None, timeout=CALL_TIMEOUT_S)
        try:
            yield path
        finally:
            _delete(client, path)


def _delete(client: SubscriberClient, path: str) -> None:
    try:
        with explained(path):
            client.delete_subscription(subscription=path, retry=None, timeout=CALL_TIMEOUT_S)
    except (PubSubUnavailable, PubSubRefused) as error:
        logger.warning("cannot delete %s, it will expire: %s", path, error)


def pull_until(source: Subscription, is_over: Callable[[], bool], poll_s: float) -> list[Received]:
    """Return what one pull brings, or nothing once it is over; that is asked every `poll_s`.

    Raises PubSubUnavailable, PubSubRefused.
    """
    pull, arrived = source.pulling(), threading.Event()
    pull.add_done_callback(lambda _: arrived.set())
    while not arrived.wait(poll_s):
        if is_over():
            pull.cancel()
    return source.received(pull)


def pull_within(source: Subscription, timeout_s: float) -> list[Received]:
    """Return what one pull brings within this time. Raises PubSubUnavailable, PubSubRefused."""
    return pull_until(source, lambda: True, timeout_s)
