"""Messages that wait to be delivered by one subscription, and their order.

Messages without an ordering key go out first in, first out. A key's messages go out in publish order:
no more of them until all that are out are acknowledged, and when one comes back, all later ones of its key
come back too, acknowledged or not, as the real service does. Messages that came back and new ones take
turns at the head of a delivery, so that a message nobody can process does not starve the rest.
"""

import heapq
import itertools
import math
from collections import deque
from collections.abc import Iterable
from typing import Any

from .leases import Lease, StoredMessage
from .wire import FRAME_OVERHEAD_BYTES

Waiting = (
    StoredMessage | Lease
)  # a message that was never out is kept without a lease: a backlog may hold millions


class OrderingKeyQueue:
    """One ordering key: messages that wait and messages that are out, both in publish order."""

    __slots__ = ("is_queued", "not_before_s", "out", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Waiting] = deque()
        self.out: dict[str, Lease] = {}
        self.not_before_s = -math.inf
        self.is_queued = False


class DeliveryQueue:
    """Waiting messages; `is_ordered` says whether ordering keys count."""

    def __init__(self, is_ordered: bool) -> None:
        self._is_ordered = is_ordered
        self._fresh: deque[StoredMessage] = deque()
        self._again: deque[Lease] = deque()
        self._keys: dict[str, OrderingKeyQueue] = {}
        self._ready: deque[str] = deque()  # keys with something waiting and nothing out
        self._delayed: list[tuple[float, int, Lease]] = []  # a heap: (not before, tie-breaker, lease)
        self._counter = itertools.count()
        self._is_again_first = False

    @property
    def has_deliverable(self) -> bool:
        """Return whether a message can go out now."""
        return bool(self._fresh or self._again or self._ready)

    def add(self, messages: Iterable[StoredMessage]) -> None:
        """Add published messages."""
        if not self._is_ordered:
            self._fresh.extend(messages)
            return
        for message in messages:
            if message.ordering_key:
                self._keys.setdefault(message.ordering_key, OrderingKeyQueue()).waiting.append(message)
                self._offer(message.ordering_key)
            else:
                self._fresh.append(message)

    def take(self, limit: int, room_bytes: int) -> list[Waiting]:
        """Take up to `limit` messages that fit into `room_bytes`; the first one may be larger."""
        taken: list[Waiting] = []
        self._is_again_first = not self._is_again_first
        queues = (self._again, self._fresh) if self._is_again_first else (self._fresh, self._again)
        room_bytes = _drain(queues[0], taken, limit, room_bytes)
        room_bytes = self._drain_keys(taken, limit, room_bytes)
        _drain(queues[1], taken, limit, room_bytes)
        return taken

    def sent(self, ack_id: str, lease: Lease) -> None:
        """Note that a message taken is now out under this ack id."""
        if key := self._key_of(lease):
            key.out[ack_id] = lease

    def acked(self, lease: Lease) -> int:
        """Settle a message that was out; return how many messages of its key that finishes (1 without a key)."""
        key = self._key_of(lease)
        if key is None:
            return 1
        lease.acked = True
        finished = 0
        while key.out and (first := next(iter(key.out.items())))[1].acked:
            del key.out[first[0]]
            finished += 1
        self._offer(lease.message.ordering_key)
        return finished

    def recall(self, ack_id: str, lease: Lease, not_before_s: float) -> list[tuple[str, Lease]]:
        """Make a message wait again that was out; return the later ones of its key that came back with it."""
        key = self._key_of(lease)
        if key is None:
            self._wait_again(lease, not_before_s)
            return []
        out = list(key.out.items())
        first = next(i for i, (out_id, _) in enumerate(out) if out_id == ack_id)
        for out_id, back in out[first:]:
            del key.out[out_id]
            back.acked = False
        key.waiting.extendleft(back for _, back in reversed(out[first:]))
        self._hold(key, lease, not_before_s)
        return out[first + 1 :]

    def wake(self, now_s: float) -> None:
        """End the delays that are over."""
        while self._delayed and self._delayed[0][0] <= now_s:
            lease = heapq.heappop(self._delayed)[2]
            if not self._has_key(lease):
                self._again.append(lease)
            elif key := self._keys.get(lease.message.ordering_key):
                key.not_before_s = -math.inf
                self._offer(lease.message.ordering_key)

    def next_due_s(self) -> float:
        """Return when the next delay ends; infinity if there is none."""
        return self._delayed[0][0] if self._delayed else math.inf

    def oldest_s(self) -> float:
        """Return when the oldest waiting message was published. Reads every key: for statistics only."""
        heads = [self._fresh[0].published_s] if self._fresh else []
        heads += [lease.message.published_s for lease in self._again]
        heads += [lease.message.published_s for _, _, lease in self._delayed]
        heads += [key.waiting[0].published_s for key in self._keys.values() if key.waiting]
        return min(heads, default=math.inf)

    def _has_key(self, lease: Lease) -> bool:
        return self._is_ordered and lease.message.ordering_key != ""

    def _key_of(self, lease: Lease) -> OrderingKeyQueue | None:
        return self._keys[lease.message.ordering_key] if self._has_key(lease) else None

    def _wait_again(self, lease: Lease, not_before_s: float) -> None:
        if not_before_s > -math.inf:
            heapq.heappush(self._delayed, (not_before_s, next(self._counter), lease))
        else:
            self._again.append(lease)

    def _hold(self, key: OrderingKeyQueue, lease: Lease, not_before_s: float) -> None:
        if not_before_s > -math.inf:
            key.not_before_s = not_before_s
            heapq.heappush(self._delayed, (not_before_s, next(self._counter), lease))
        self._offer(lease.message.ordering_key)

    def _offer(self, name: str) -> None:
        """Queue a key that can be delivered, forget one that has nothing left."""
        key = self._keys[name]
        if key.waiting and not key.out and not key.is_queued and key.not_before_s == -math.inf:
            key.is_queued = True
            self._ready.append(name)
        elif not key.waiting and not key.out:
            del self._keys[name]

    def _drain_keys(self, taken: list[Waiting], limit: int, room_bytes: int) -> int:
        while self._ready and len(taken) < limit and room_bytes >= 0:
            key = self._keys[self._ready[0]]
            before = len(taken)
            room_bytes = _drain(key.waiting, taken, limit, room_bytes)
            if len(taken) > before:
                self._ready.popleft()
                key.is_queued = False
        return room_bytes


def _drain(queue: deque[Any], taken: list[Waiting], limit: int, room_bytes: int) -> int:
    """Move what fits from the head of `queue`; return the bytes left, or -1 once a message did not fit."""
    while queue and len(taken) < limit:
        size = queue[0].size + FRAME_OVERHEAD_BYTES
        if size > room_bytes and taken:
            return -1
        room_bytes -= size
        taken.append(queue.popleft())
    return room_bytes
