"""Messages pulled ahead from one subscription, in a thread, in the order in which Pub/Sub gives them."""

import threading
from collections import deque
from contextlib import suppress
from typing import Any

from pipeline.pubsub.client import Received, Subscription
from pipeline.runtime.errors import PubSubRefused, PubSubUnavailable
from pipeline.runtime.process_metrics import attempt_for, waiting_out
from pipeline.runtime.retry import retrying


class Puller:
    """Pulls ahead in a thread, at most two batches. One a process: order stays as Pub/Sub has it."""

    def __init__(self, subscription: Subscription, batch: int) -> None:
        self._subscription = subscription
        self._batch = batch
        self._waiting: deque[Received] = deque()
        self._changed = threading.Condition()
        self._pull: Any = None
        self._is_closed = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="pull", daemon=True)
        self._thread.start()

    def take(self, timeout_s: float) -> list[Received]:
        """Take the waiting messages, up to one batch; none if none come in time. Raises PubSubRefused."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._failure, timeout_s)
            if self._failure:
                raise self._failure
            taken = [self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))]
            self._changed.notify_all()
            return taken

    def acknowledge(self, ack_ids: list[str]) -> None:
        """Acknowledge messages; return early once the process stops: they come again then."""
        waiting_out(
            "pubsub", lambda: self._subscription.acknowledge(ack_ids), PubSubUnavailable, "acknowledge"
        )

    def close(self) -> None:
        """End the pull and hand back the messages that were not taken."""
        with self._changed:
            self._is_closed = True
            if self._pull:
                self._pull.cancel()
            self._changed.notify_all()
        self._thread.join()
        with suppress(PubSubUnavailable, PubSubRefused):  # they come back by themselves after their deadline
            self._subscription.hand_back([one.ack_id for one in self._waiting])
        self._subscription.close()

    def _run(self) -> None:
        try:
            while self._has_room():
                attempt = attempt_for("pubsub", self._pull_once, PubSubUnavailable)
                received = retrying(attempt, PubSubUnavailable, "pull from Pub/Sub", lambda: self._is_closed)
                with self._changed:
                    self._waiting.extend(received)
                    self._changed.notify_all()
        except (PubSubRefused, PubSubUnavailable) as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _has_room(self) -> bool:
        """Wait for room; return False once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or len(self._waiting) < self._batch)
            return not self._is_closed

    def _pull_once(self) -> list[Received]:
        with self._changed:
            if self._is_closed:
                return []
            self._pull = self._subscription.pulling()
        return self._subscription.received(self._pull)
