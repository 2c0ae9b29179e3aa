"""The broker at work: one lock, one clock, and the threads that wait.

Every access to the broker goes through `SharedBroker.open`, which holds the lock and, on leaving, wakes whoever waits
for what has become deliverable. One thread hands back expired deliveries; it sleeps until the next deadline.
"""

import contextlib
import math
import threading
import time
from collections.abc import Iterator

from .state import Broker


class SharedBroker:
    """A broker shared by the threads of a server; `close` ends all waiting."""

    def __init__(self) -> None:
        self.is_closing = False
        self._lock = threading.Lock()
        self._changed: dict[str, threading.Condition] = {}  # by subscription name
        self._timer = threading.Condition(self._lock)
        self._timer_until_s = math.inf
        # Microseconds of the start: ids stay unique over restarts, at any rate below a million ids a second.
        self._broker = Broker(first_id=time.time_ns() // 1_000)
        # Wall-clock time that never goes back, so that one time serves publish times and deadlines.
        self._offset_s = time.time() - time.monotonic()
        self._expirer = threading.Thread(target=self._expire_forever, name="pubsub-expiry", daemon=True)
        self._expirer.start()

    def now_s(self) -> float:
        """Return the time in seconds since 1970; it never goes back."""
        return self._offset_s + time.monotonic()

    @contextlib.contextmanager
    def open(self) -> Iterator[Broker]:
        """Yield the broker, locked; changes of the block are announced at its end."""
        with self._lock:
            try:
                yield self._broker
            finally:
                self._announce()

    @property
    def unlocked(self) -> Broker:
        """Return the broker for its lock-free methods (`prepare`)."""
        return self._broker

    def wait(self, subscription: str, timeout_s: float | None = None) -> None:
        """Let others in until the subscription changes or the time is over; call it inside `open`."""
        self._announce()
        self._changed.setdefault(subscription, threading.Condition(self._lock)).wait(timeout_s)

    def wake(self, subscription: str) -> None:
        """Make all that wait for a subscription look again; call it outside `open`."""
        with self._lock:
            self._notify(subscription)

    def close(self) -> None:
        """End all waiting, and the thread."""
        with self._lock:
            self.is_closing = True
            self._timer.notify()
            for name in self._changed:
                self._notify(name)
        self._expirer.join()

    def _announce(self) -> None:
        for name in self._broker.take_ready():
            self._notify(name)
        if self._broker.next_due_s() < self._timer_until_s:
            self._timer.notify()

    def _notify(self, subscription: str) -> None:
        if changed := self._changed.get(subscription):
            changed.notify_all()

    def _expire_forever(self) -> None:
        with self._lock:
            while not self.is_closing:
                self._broker.expire(self.now_s())
                self._timer_until_s = self._broker.next_due_s()
                self._announce()
                self._timer.wait(_bounded(self._timer_until_s - self.now_s()))


def _bounded(seconds: float) -> float | None:
    """Return a time to wait for a lock: never negative, None instead of infinity."""
    return None if seconds == math.inf else max(0.0, seconds)
