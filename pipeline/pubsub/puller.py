"""Messages pulled ahead from one subscription, in a thread, in the order in which Pub/Sub gives them."""

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from pipeline.pubsub.client import Received, Subscription
from pipeline.pubsub.leases import AckLease, AckLeases, ids_of
from pipeline.runtime import liveness
from pipeline.runtime.errors import PubSubRefused, PubSubUnavailable
from pipeline.runtime.process_metrics import attempt_for, waiting_out
from pipeline.runtime.retry import retrying


class Taken(NamedTuple):
    """Messages in arrival order, with the leases that they are under."""

    received: Sequence[Received]
    leases: Sequence[AckLease]


class Pulled(NamedTuple):
    """The messages of one pull."""

    received: Sequence[Received]
    lease: AckLease


class Puller:
    """Pulls ahead in a thread, at most two batches. One a process: order stays as Pub/Sub has it.

    With `extends`, what is pulled is not delivered again until it is acknowledged or handed back. Without, it comes
    again after the subscription's deadline, which is for a source that may be given up at any time.
    """

    def __init__(self, subscription: Subscription, batch: int, extends: bool = False) -> None:
        self._subscription = subscription
        self._batch = batch
        self._leases = AckLeases(subscription) if extends else None
        self._waiting: deque[Pulled] = deque()
        self._ahead = 0  # messages that wait
        self._changed = threading.Condition()
        self._pull: Any = None
        self._is_closed = False
        liveness.register(self)
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="pull", daemon=True)
        self._thread.start()

    def take(self, timeout_s: float) -> Taken:
        """Take the waiting messages, up to one batch; none if none come in time. Raises PubSubRefused."""
        received: list[Received] = []
        leases: list[AckLease] = []
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self.failure, timeout_s)
            if self.failure:
                raise self.failure
            while self._waiting and len(received) + len(self._waiting[0].received) <= self._batch:
                pulled = self._waiting.popleft()
                received += pulled.received
                leases.append(pulled.lease)
            self._ahead -= len(received)
            self._changed.notify_all()
        return Taken(received, leases)

    @property
    def failure(self) -> Exception | None:
        """The error for which nothing more comes, if there is one."""
        return self._failure or (self._leases.failure if self._leases else None)

    def acknowledge(self, leases: Iterable[AckLease]) -> None:
        """Acknowledge messages. Raises PubSubUnavailable once the process stops: they come again then."""
        leases = list(leases)
        ack_ids = ids_of(leases)
        waiting_out(
            "pubsub", lambda: self._subscription.acknowledge(ack_ids), PubSubUnavailable, "acknowledge"
        )
        for lease in leases:
            lease.ack_ids = ()

    def at_hand(self) -> int:
        """Return the number of messages that nobody has taken yet."""
        return self._ahead

    def close(self) -> None:
        """End the pull and hand back the messages that were not taken, and those that are still under a kept lease."""
        with self._changed:
            self._is_closed = True
            if self._pull:
                self._pull.cancel()
            self._changed.notify_all()
        self._thread.join()
        ack_ids = ids_of(pulled.lease for pulled in self._waiting)
        if self._leases:
            self._leases.close()
            ack_ids = self._leases.open_ids()
        with suppress(PubSubUnavailable, PubSubRefused):  # they come back by themselves after their deadline
            self._subscription.hand_back(ack_ids)
        self._subscription.close()

    def _run(self) -> None:
        try:
            while self._has_room():
                attempt = attempt_for("pubsub", self._pull_once, PubSubUnavailable)
                received = retrying(attempt, PubSubUnavailable, "pull from Pub/Sub", lambda: self._is_closed)
                if received:
                    self._add(received)
        except (PubSubRefused, PubSubUnavailable) as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _add(self, received: Sequence[Received]) -> None:
        lease = AckLease([one.ack_id for one in received])
        if self._leases:
            self._leases.keep(lease)
        with self._changed:
            self._waiting.append(Pulled(received, lease))
            self._ahead += len(received)
            self._changed.notify_all()

    def _has_room(self) -> bool:
        """Wait for room; return False once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._ahead < self._batch)
            return not self._is_closed

    def _pull_once(self) -> list[Received]:
        with self._changed:
            if self._is_closed:
                return []
            self._pull = self._subscription.pulling(self._batch)
        return self._subscription.received(self._pull)
