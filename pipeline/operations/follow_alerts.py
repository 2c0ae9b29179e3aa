"""Alerts as they come, each once: out of a subscription of one's own that ends with the reading, or a given one.

An alert is acknowledged when the reader asks for the next one, that is after it was shown.
"""

import logging
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, nullcontext
from datetime import timedelta

import msgspec
from google.pubsub_v1 import SubscriberClient
from google.pubsub_v1.types import ExpirationPolicy
from google.pubsub_v1.types import Subscription as Settings

from pipeline.outputs.publications import Alert
from pipeline.pubsub.client import Received, Subscription
from pipeline.pubsub.topics import (
    CALL_TIMEOUT_S,
    explained,
    short,
    subscriber_client,
    subscription_path,
    topic_path,
)
from pipeline.runtime.errors import PubSubRefused, PubSubUnavailable
from pipeline.runtime.retry import retrying

logger = logging.getLogger(__name__)

REMEMBERED_IDS = 100_000  # some 20 MB; a repetition comes within minutes
POLL_S = 0.25  # how long a limit of time or an interrupt may go unnoticed
OWN_ACK_DEADLINE_S = 10  # the least there is: what a reader who was killed had seen does not matter
OWN_RETENTION = timedelta(minutes=10)  # the least there is
OWN_EXPIRATION = timedelta(days=1)  # the least there is, for readers that could not delete theirs


class Followed(msgspec.Struct, frozen=True):
    """An alert with its own bytes, one JSON object, and its stable id."""

    id: str
    alert: Alert
    body: bytes


@contextmanager
def following(
    project: str,
    topic: str,
    *,
    subscription: str | None = None,
    limit: int | None = None,
    seconds: float | None = None,
) -> Iterator[Iterator[Followed]]:
    """Alerts from now on, each once, until `limit` alerts or `seconds` are over; without both for ever.

    Without `subscription` nobody else misses what is read here. Names may be short or whole paths. While
    Pub/Sub is away it waits. Raises PubSubUnavailable at the start, PubSubRefused.
    """
    own = _own_subscription(project, topic_path(project, topic))
    given = nullcontext(subscription_path(project, subscription or ""))
    with given if subscription else own as path, closing(Subscription(path)) as source:
        source.check()
        until_s = time.monotonic() + (float("inf") if seconds is None else seconds)
        with closing(_each_once(source, limit, lambda: time.monotonic() >= until_s)) as alerts:
            yield alerts


@contextmanager
def _own_subscription(project: str, topic: str) -> Iterator[str]:
    path = subscription_path(project, f"{short(topic)}-follow-{uuid.uuid4().hex[:8]}")
    wanted = Settings(
        name=path,
        topic=topic,
        ack_deadline_seconds=OWN_ACK_DEADLINE_S,
        message_retention_duration=OWN_RETENTION,
        expiration_policy=ExpirationPolicy(ttl=OWN_EXPIRATION),
    )
    with subscriber_client() as client:
        with explained(path):
            client.create_subscription(request=wanted, retry=None, timeout=CALL_TIMEOUT_S)
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


def _each_once(
    source: Subscription, limit: int | None, is_over: Callable[[], bool]
) -> Generator[Followed, None, None]:
    recent, left = Recent(REMEMBERED_IDS), float("inf") if limit is None else limit
    while left > 0 and not is_over():
        received = retrying(lambda: _pulled(source, is_over), PubSubUnavailable, "read alerts", is_over)
        seen = 0
        try:
            for one in received:
                seen += 1
                alert = _followed(one)
                if alert is not None and recent.is_new(alert.id):
                    left -= 1
                    yield alert
                if left <= 0:
                    break
        finally:
            _settle(source, [one.ack_id for one in received], seen)


def _pulled(source: Subscription, is_over: Callable[[], bool]) -> list[Received]:
    """What one pull brings, or nothing when it is over."""
    pull, arrived = source.pulling(), threading.Event()
    pull.add_done_callback(lambda _: arrived.set())
    while not arrived.wait(POLL_S):
        if is_over():
            pull.cancel()
    return source.received(pull)


def _followed(one: Received) -> Followed | None:
    """The alert in a message; None, and a warning, if there is none in it."""
    message = one.message
    try:
        alert = msgspec.json.decode(message.data, type=Alert)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        logger.warning("message %s is no alert: %s", message.message_id, error)
        return None
    return Followed(message.attributes.get("id", message.message_id), alert, message.data)


def _settle(source: Subscription, ack_ids: list[str], seen: int) -> None:
    """Acknowledges what was seen and hands back the rest."""
    try:
        source.acknowledge(ack_ids[:seen])
        source.hand_back(ack_ids[seen:])
    except PubSubUnavailable as error:
        logger.warning("these alerts will come again: %s", error)


class Recent:
    """The ids seen last."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._ids: OrderedDict[str, None] = OrderedDict()

    def is_new(self, alert_id: str) -> bool:
        """Whether this id was not asked for before."""
        if alert_id in self._ids:
            return False
        self._ids[alert_id] = None
        if len(self._ids) > self._most:
            self._ids.popitem(last=False)
        return True
