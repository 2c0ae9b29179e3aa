"""Leases on pulled messages: when a lease runs out, Pub/Sub delivers its messages again.

A lease is extended at half of its time, by as long as its messages have been out so far, but by no less than the
subscription's deadline and no more than ten minutes. So extensions stay rare however long an outage lasts, and a
crash at most doubles the time until the messages come again.
"""

import heapq
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TypeVar

from pipeline.pubsub.client import Subscription
from pipeline.runtime.errors import PubSubRefused, PubSubUnavailable
from pipeline.runtime.process_metrics import attempt_for
from pipeline.runtime.retry import retrying

SHORTEST_S = 10  # Pub/Sub has no shorter deadline; it is assumed until the subscription's own is known
LONGEST_S = 600  # Pub/Sub allows no longer extension
LOOK_S = 0.5  # between two looks at what is due; a tenth of the shortest time until then

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")


@dataclass(slots=True, eq=False)
class AckLease:
    """The messages of one pull. `ack_ids` is empty once they are acknowledged or handed back."""

    ack_ids: Sequence[str]
    began_s: float = field(default_factory=time.monotonic)


class AckLeases:
    """The leases that a process keeps, and the thread that extends them.

    `failure` is set when Pub/Sub refuses an extension for good.
    """

    def __init__(self, subscription: Subscription) -> None:
        self.failure: PubSubRefused | None = None
        self._subscription = subscription
        self._deadline_s = SHORTEST_S
        self._due: list[tuple[float, int, AckLease]] = []  # a heap by the time of the next extension
        self._numbers = count()  # leases of one moment are not compared
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="extend", daemon=True)
        self._thread.start()

    def keep(self, lease: AckLease) -> None:
        """Extend the lease from now on, until its `ack_ids` are empty."""
        self._push(lease, self._deadline_s)

    def open_ids(self) -> list[str]:
        """Return the ack ids of all leases that are kept."""
        with self._lock:
            return ids_of(lease for _, _, lease in self._due)

    def close(self) -> None:
        """Extend nothing any more."""
        self._ended.set()
        self._thread.join()

    def _push(self, lease: AckLease, seconds: float) -> None:
        with self._lock:
            heapq.heappush(self._due, (time.monotonic() + seconds / 2, next(self._numbers), lease))

    def _run(self) -> None:
        try:
            with suppress(PubSubUnavailable):  # it is to end
                self._deadline_s = self._ask(self._subscription.ack_deadline_s, "read the ack deadline")
        except PubSubRefused as error:
            logger.warning("takes the ack deadline for %d s, the shortest: %s", SHORTEST_S, error)
        while not self._ended.wait(LOOK_S):
            try:
                self._extend(self._take_due())
            except PubSubRefused as error:
                self.failure = error
                return

    def _take_due(self) -> list[AckLease]:
        now_s, due = time.monotonic(), []
        with self._lock:
            while self._due and self._due[0][0] <= now_s:
                due.append(heapq.heappop(self._due)[2])
        return [lease for lease in due if lease.ack_ids]

    def _extend(self, leases: Iterable[AckLease]) -> None:
        """Extend leases, those of about one age together, however long Pub/Sub is away."""
        now_s = time.monotonic()
        by_seconds: defaultdict[int, list[AckLease]] = defaultdict(list)
        for lease in leases:
            seconds = round((now_s - lease.began_s) / SHORTEST_S) * SHORTEST_S
            by_seconds[min(LONGEST_S, max(self._deadline_s, seconds))].append(lease)
        for seconds, group in by_seconds.items():
            with suppress(PubSubUnavailable):  # it is to end: what is not delivered is handed back
                self._ask(partial(self._subscription.extend, ids_of(group), seconds), "extend ack deadlines")
            for lease in group:
                self._push(lease, seconds)

    def _ask(self, action: Callable[[], Answer], describe: str) -> Answer:
        attempt = attempt_for("pubsub", action, PubSubUnavailable)
        return retrying(attempt, PubSubUnavailable, describe, self._ended.is_set)


def ids_of(leases: Iterable[AckLease]) -> list[str]:
    """Return the ack ids of several leases."""
    return [ack_id for lease in leases for ack_id in lease.ack_ids]
