"""The batches of a process that are not acknowledged yet, on the runner that keeps all steps in one process.

A batch gets a ticket, which travels with it. It is acknowledged once everything that follows from it is delivered,
by whoever delivers last, and waits for no other batch. A batch that fails, or that nobody delivers, is never
acknowledged; when the process ends it is handed back.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import NamedTuple

from features.errors import Unavailable
from pipeline.pubsub.client import Received
from pipeline.pubsub.leases import AckLease
from pipeline.pubsub.puller import Puller
from pipeline.runtime import liveness
from pipeline.runtime.errors import PubSubRefused, PubSubUnavailable
from pipeline.runtime.metrics import PULLING_PAUSED, UNACKNOWLEDGED, WAIT, key
from pipeline.runtime.process_metrics import progress, tally

ACK_PERIOD_S = 0.05  # what is delivered within this time is acknowledged together
DRAIN_S = 10.0  # the supervisor kills after 30 s; a frozen Pub/Sub takes as long again for each last call
RESUME_SHARE = 0.9  # of the bound: below it pulling goes on
PAUSE_S = 0.1  # how long an end of the pause may go unnoticed

logger = logging.getLogger(__name__)


class PulledBatch(NamedTuple):
    """Messages in arrival order, and the ticket of their batch; without messages there is none."""

    received: Sequence[Received]
    ticket: int | None
    pulled_s: float | None  # monotonic, of the first of them


NOTHING = PulledBatch((), None, None)


@dataclass(slots=True, eq=False)
class UnacknowledgedBatch:
    """A batch that is not acknowledged."""

    leases: Sequence[AckLease]
    messages: int
    left: int = 0  # deliveries that have not ended
    has_failed: bool = False
    delivered_s: float = 0.0  # monotonic, once all of it is
    then: Callable[[], None] | None = None


class Deliveries:
    """The unacknowledged batches of one process, and the thread that acknowledges. Safe for threads."""

    def __init__(
        self, puller: Puller, crowded: Callable[[float], str], most_messages: int, longest_s: float
    ) -> None:
        """Take batches from the puller, which extends its leases and is closed with this.

        Nothing more is taken while `crowded` says why rows have no room, at a share of its bounds, while
        `most_messages` are not acknowledged, or while one of them is not for `longest_s`.
        """
        self.failure: BaseException | None = None  # of a delivery, for good
        self.messages = 0  # not acknowledged
        self._puller, self._crowded = puller, crowded
        self._most_messages, self._longest_s = most_messages, longest_s
        self._batches: dict[int, UnacknowledgedBatch] = {}
        self._delivered: list[int] = []
        self._under_way = 0  # batches that are being delivered or acknowledged
        self._is_paused = self._is_closed = False
        self._numbers = count()
        self._changed = threading.Condition()
        self._count(0)
        liveness.register(self)
        progress.gauges[key(PULLING_PAUSED)] = 0
        self._thread = threading.Thread(target=self._acknowledge_all, name="acknowledge", daemon=True)
        self._thread.start()

    def take(self, timeout_s: float) -> PulledBatch:
        """Take the next batch; none if none comes in time or there is no room for more.

        Raises PubSubRefused, SinkRefused and whatever else ended a delivery for good.
        """
        if self.failure:
            raise self.failure
        if self._has_to_pause():
            time.sleep(min(timeout_s, PAUSE_S))
            return NOTHING
        received, leases = self._puller.take(timeout_s)
        if not received:
            return NOTHING
        with self._changed:
            ticket = next(self._numbers)
            self._batches[ticket] = UnacknowledgedBatch(leases, len(received))
            self._count(len(received))
        return PulledBatch(received, ticket, leases[0].began_s)

    def follow(
        self, ticket: int, deliveries: Sequence[Future[None]], then: Callable[[], None] | None = None
    ) -> None:
        """Acknowledge the batch once these have ended well, and call `then`. They are all that follows from it."""
        with self._changed:
            self._under_way += 1
            batch = self._batches[ticket]
            batch.left, batch.then = len(deliveries) + 1, then
        for delivery in deliveries:
            delivery.add_done_callback(partial(self._ended, ticket))
        self._end_one(ticket, None)

    def drain(self) -> None:
        """Wait for what is under way, for DRAIN_S at most. Raises what ended a delivery for good."""
        with self._changed:
            self._changed.wait_for(lambda: self.failure or not self._under_way, DRAIN_S)
        if self.failure:
            raise self.failure

    def at_hand(self) -> int:
        """Return the number of messages that were taken and are not acknowledged."""
        return self.messages

    def close(self) -> None:
        """Acknowledge what is delivered by now, and hand back the rest."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()
        if self.messages:
            logger.warning(
                "ends with %s messages not acknowledged, because %s; they are handed back and come again",
                f"{self.messages:,}",
                self.failure or "not all that follows from them could be delivered",
            )
        self._puller.close()

    def _has_to_pause(self) -> bool:
        """Return whether nothing may be taken, and log when that begins and ends."""
        why = self._why_to_pause(RESUME_SHARE if self._is_paused else 1.0)
        if bool(why) != self._is_paused:
            self._is_paused = bool(why)
            progress.gauges[key(PULLING_PAUSED)] = self._is_paused
            if why:
                logger.warning("pulls no more messages for now: %s; what is assessed is still delivered", why)
            else:
                logger.warning("pulls messages again")
        return self._is_paused

    def _why_to_pause(self, share: float) -> str:
        """Say which bound is reached, at this share of all bounds; "" if none is."""
        if self.messages >= share * self._most_messages:
            return f"{self.messages:,} messages are not acknowledged"
        with self._changed:
            oldest = next(iter(self._batches.values()), None)
        if oldest and time.monotonic() - oldest.leases[0].began_s >= share * self._longest_s:
            return f"the first of {self.messages:,} messages is not acknowledged for {share * self._longest_s:,.0f} s"
        return self._crowded(share)

    def _ended(self, ticket: int, delivery: Future[None]) -> None:
        cancelled = PubSubUnavailable("not delivered before the process ended")
        self._end_one(ticket, cancelled if delivery.cancelled() else delivery.exception())

    def _end_one(self, ticket: int, error: BaseException | None) -> None:
        """Count a delivery as ended. What is unavailable is waited for, unless the process is to stop."""
        with self._changed:
            batch = self._batches[ticket]
            batch.left -= 1
            if error:
                self._note(error)
                self._under_way -= not batch.has_failed
                batch.has_failed = True
            elif not batch.left and not batch.has_failed:
                batch.delivered_s = time.monotonic()
                self._delivered.append(ticket)
            self._changed.notify_all()

    def _note(self, error: BaseException) -> None:
        if not isinstance(error, Unavailable):
            self.failure = self.failure or error

    def _acknowledge_all(self) -> None:
        """Acknowledge what is delivered, many batches in one request, until closed."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._delivered or self._is_closed)
                tickets, self._delivered = self._delivered, []
            if not tickets:
                return
            self._acknowledge(tickets)
            if not self._is_closed:
                time.sleep(ACK_PERIOD_S)

    def _acknowledge(self, tickets: Sequence[int]) -> None:
        batches = [self._batches[ticket] for ticket in tickets]
        error: Exception | None = None
        try:
            self._puller.acknowledge(lease for batch in batches for lease in batch.leases)
        except (PubSubUnavailable, PubSubRefused) as raised:
            error = raised
        with self._changed:
            self._under_way -= len(batches)
            if error:
                self._note(error)
            else:
                self._count(-sum(self._batches.pop(ticket).messages for ticket in tickets))
            self._changed.notify_all()
        for batch in batches:
            if not error:
                tally(WAIT, time.monotonic() - batch.delivered_s, "acknowledge")
            if batch.then:
                batch.then()

    def _count(self, messages: int) -> None:
        self.messages += messages
        progress.gauges[key(UNACKNOWLEDGED)] = self.messages
