"""Leases of deliveries: which messages are out, until when, and how much more a stream may be sent.

Leases are kept by ack id and by deadline tick, so that granting, ending and moving one is O(1) and
expiry touches only what is due, however large the backlog. Times are seconds; a deadline is rounded
up to the next tick, never down.
"""

import heapq
import math

import msgspec

TICK_S = 0.05  # expiry may be this much late; a bucket a tick keeps the heap of deadlines short
UNLIMITED = 1 << 62


class StoredMessage(msgspec.Struct, frozen=True, gc=False):
    """One published message, shared by all subscriptions; `frame` is ready to be sent (see wire.py)."""

    frame: bytes
    ordering_key: str
    published_s: float

    @property
    def size(self) -> int:
        return len(self.frame)


class FlowWindow:
    """Flow control of a stream: how much more it may be sent before the client acknowledges."""

    __slots__ = ("bytes_left", "messages_left")

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self.messages_left = max_messages if max_messages > 0 else UNLIMITED
        self.bytes_left = max_bytes if max_bytes > 0 else UNLIMITED

    @property
    def is_open(self) -> bool:
        """Return whether there is room for a message."""
        return self.messages_left > 0 and self.bytes_left > 0

    def charge(self, size: int) -> None:
        """Take the room of a message of `size` bytes."""
        self.messages_left -= 1
        self.bytes_left -= size

    def refund(self, size: int) -> None:
        """Give the room of a message back."""
        self.messages_left += 1
        self.bytes_left += size


class Lease(msgspec.Struct, gc=False):
    """One message's deliveries by one subscription; it lives on from one delivery to the next."""

    message: StoredMessage
    attempt: int = 0
    tick: int = 0
    window: FlowWindow | None = None
    acked: bool = False  # acknowledged, but an earlier message of its key is not

    @property
    def size(self) -> int:
        return len(self.message.frame)

    @property
    def published_s(self) -> float:
        return self.message.published_s

    def leave_window(self) -> None:
        """Give the room in the stream's window back."""
        if self.window is not None:
            self.window.refund(self.size)
            self.window = None


class Leases:
    """Deliveries that are out."""

    def __init__(self) -> None:
        self._by_id: dict[str, Lease] = {}
        self._by_tick: dict[int, dict[str, Lease]] = {}
        self._ticks: list[int] = []  # a heap with each key of _by_tick once

    def __len__(self) -> int:
        return len(self._by_id)

    def grant(self, ack_id: str, lease: Lease, until_s: float) -> None:
        """Lease a message until a deadline."""
        lease.tick = math.ceil(until_s / TICK_S)
        self._by_id[ack_id] = lease
        self._bucket(lease.tick)[ack_id] = lease

    def end(self, ack_id: str) -> Lease | None:
        """End a lease and return it; None if the message is no longer out."""
        lease = self._by_id.pop(ack_id, None)
        if lease is not None:
            self._leave_bucket(ack_id, lease.tick)
        return lease

    def move(self, ack_id: str, until_s: float) -> bool:
        """Give a lease another deadline; False if the message is no longer out."""
        lease = self._by_id.get(ack_id)
        if lease is None:
            return False
        self._leave_bucket(ack_id, lease.tick)
        self.grant(ack_id, lease, until_s)
        return True

    def due(self, now_s: float) -> list[str]:
        """Return ack ids whose deadline has passed, earliest delivery first within a tick; they stay until ended."""
        due: list[str] = []
        while self._ticks and self._ticks[0] * TICK_S <= now_s:
            due.extend(self._by_tick.pop(heapq.heappop(self._ticks)))
        return due

    def next_due_s(self) -> float:
        """Return the next deadline; infinity if nothing is out."""
        while self._ticks and not self._by_tick[self._ticks[0]]:
            del self._by_tick[heapq.heappop(self._ticks)]
        return self._ticks[0] * TICK_S if self._ticks else math.inf

    def oldest_s(self) -> float:
        """Return when the oldest message that is out was published. Reads every lease: for statistics only."""
        return min((lease.message.published_s for lease in self._by_id.values()), default=math.inf)

    def _bucket(self, tick: int) -> dict[str, Lease]:
        bucket = self._by_tick.get(tick)
        if bucket is None:
            bucket = self._by_tick[tick] = {}
            heapq.heappush(self._ticks, tick)
        return bucket

    def _leave_bucket(self, ack_id: str, tick: int) -> None:
        bucket = self._by_tick.get(tick)
        if bucket is not None:
            bucket.pop(ack_id, None)
            if not bucket:
                bucket.clear()  # an emptied dict keeps its table; at 600 s deadlines thousands of them would add up
