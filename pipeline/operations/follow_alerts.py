"""Alerts as they come, each once: from a temporary subscription or a given one.

An alert is acknowledged when the reader asks for the next one, that is after it was shown.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, nullcontext
from datetime import timedelta

import msgspec

from pipeline.outputs.publications import Alert
from pipeline.pubsub.client import Received, Subscription
from pipeline.pubsub.reading import pull_until, temporary_subscription
from pipeline.pubsub.topics import subscription_path, topic_path
from pipeline.runtime.errors import PubSubUnavailable
from pipeline.runtime.retry import retrying

logger = logging.getLogger(__name__)

REMEMBERED_IDS = 100_000  # some 20 MB; a repetition comes within minutes
POLL_S = 0.25  # how long a limit of time or an interrupt may go unnoticed
ACK_DEADLINE_S = 10  # the least there is: what a reader who was killed had seen does not matter
RETENTION = timedelta(minutes=10)  # the least there is


class Followed(msgspec.Struct, frozen=True):
    """An alert with its bytes, one JSON object, and its stable id."""

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
    """Follow the alerts from now on, each once, until `limit` alerts or `seconds` are over; without both for ever.

    Without `subscription` nobody else misses what is read here. Names may be short or whole paths. While
    Pub/Sub is away it waits. Raises PubSubUnavailable at the start, PubSubRefused.
    """
    own = temporary_subscription(project, topic_path(project, topic), "follow", ACK_DEADLINE_S, RETENTION)
    given = nullcontext(subscription_path(project, subscription or ""))
    with given if subscription else own as path, closing(Subscription(path)) as source:
        source.check()
        until_s = time.monotonic() + (float("inf") if seconds is None else seconds)
        with closing(_each_once(source, limit, lambda: time.monotonic() >= until_s)) as alerts:
            yield alerts


def _each_once(
    source: Subscription, limit: int | None, is_over: Callable[[], bool]
) -> Generator[Followed, None, None]:
    recent, left = Recent(REMEMBERED_IDS), float("inf") if limit is None else limit
    while left > 0 and not is_over():
        received = retrying(
            lambda: pull_until(source, is_over, POLL_S), PubSubUnavailable, "read alerts", is_over
        )
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


def _followed(one: Received) -> Followed | None:
    """Decode the alert of a message. A message that is none is logged; then the result is None."""
    message = one.message
    try:
        alert = msgspec.json.decode(message.data, type=Alert)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        logger.warning("message %s is no alert: %s", message.message_id, error)
        return None
    return Followed(message.attributes.get("id", message.message_id), alert, message.data)


def _settle(source: Subscription, ack_ids: list[str], seen: int) -> None:
    """Acknowledge the alerts that were seen and hand back the others."""
    try:
        source.acknowledge(ack_ids[:seen])
        source.hand_back(ack_ids[seen:])
    except PubSubUnavailable as error:
        logger.warning("these alerts will come again: %s", error)


class Recent:
    """The ids seen last, at most `most` of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._ids: OrderedDict[str, None] = OrderedDict()

    def is_new(self, alert_id: str) -> bool:
        """Return True for an id that is asked for the first time."""
        if alert_id in self._ids:
            return False
        self._ids[alert_id] = None
        if len(self._ids) > self._most:
            self._ids.popitem(last=False)
        return True
