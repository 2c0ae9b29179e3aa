"""Publishing in several lanes side by side: what is put into one lane goes out in the order in which it was put.

A lane has one request in flight, which takes along all that waits. While Pub/Sub is away a lane tries until it
works; what Pub/Sub had taken without its answer coming through is then published twice.
"""

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from pipeline.pubsub.client import PUBLISH_MESSAGES, Publication, Publisher
from pipeline.runtime.errors import PubSubUnavailable
from pipeline.runtime.retry import retrying

MOST_WAITING = 4 * PUBLISH_MESSAGES  # in a lane; more would only take memory
REQUEST_BYTES = 4 << 20  # of bodies, so that a group with its attributes is one request


class Lanes:
    """`lanes` ways to one topic, given by its whole path. A context manager that ends them."""

    def __init__(self, topic: str, lanes: int) -> None:
        """Open the publisher. Raises PubSubUnavailable, or PubSubRefused when there is no such topic."""
        self._publisher = Publisher()
        self._stopped = threading.Event()
        try:
            self._publisher.check(topic)
        except BaseException:
            self._publisher.close()
            raise
        self._lanes = [_Lane(self._publisher, topic, self._stopped) for _ in range(lanes)]
        self._pool = ThreadPoolExecutor(lanes, "publish")
        self._runs = [self._pool.submit(lane.run) for lane in self._lanes]

    def __len__(self) -> int:
        return len(self._lanes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End at once; messages that still wait are not published unless `finish` was called."""
        self._stopped.set()
        for lane in self._lanes:
            lane.wake()
        self._pool.shutdown()
        self._publisher.close()

    @property
    def published(self) -> int:
        """The number of messages that Pub/Sub has taken."""
        return sum(lane.published for lane in self._lanes)

    def put(self, lane: int, messages: Sequence[Publication]) -> None:
        """Queue a message; wait while its lane is full. Raises PubSubRefused if any lane was refused."""
        self._lanes[lane].put(messages)
        self._raise_failure()

    def finish(self) -> None:
        """Wait until everything is published. Raises PubSubRefused."""
        for lane in self._lanes:
            lane.drain()
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self._stopped.is_set():
            for run in self._runs:
                run.result()


class _Lane:
    def __init__(self, publisher: Publisher, topic: str, stopped: threading.Event) -> None:
        self.published = 0
        self._publisher, self._topic, self._stopped = publisher, topic, stopped
        self._waiting: deque[Publication] = deque()
        self._in_flight = False
        self._changed = threading.Condition()

    def put(self, messages: Sequence[Publication]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < MOST_WAITING or self._stopped.is_set())
            self._waiting.extend(messages)
            self._changed.notify_all()

    def drain(self) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: (not self._waiting and not self._in_flight) or self._stopped.is_set()
            )

    def wake(self) -> None:
        """Wake the thread, so that it checks whether it is to end."""
        with self._changed:
            self._changed.notify_all()

    def run(self) -> None:
        """Publish until all lanes are stopped; an error stops all of them."""
        try:
            while group := self._taken():
                self._publish(group)
                with self._changed:
                    self._in_flight = False
                    self.published += len(group)
                    self._changed.notify_all()
        finally:
            self._stopped.set()
            self.wake()

    def _taken(self) -> list[Publication]:
        """Take the messages of the next request; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopped.is_set())
            group: list[Publication] = []
            room_bytes = REQUEST_BYTES
            while self._waiting and len(group) < PUBLISH_MESSAGES and not self._stopped.is_set():
                room_bytes -= len(self._waiting[0].data)
                if group and room_bytes < 0:
                    break
                group.append(self._waiting.popleft())
            self._in_flight = bool(group)
            return group

    def _publish(self, group: list[Publication]) -> None:
        """Publish one request, and try until it works or all is to end."""
        retrying(
            lambda: self._publisher.publish(self._topic, group),
            PubSubUnavailable,
            f"publish to {self._topic}",
            self._stopped.is_set,
        )
