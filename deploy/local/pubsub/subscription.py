"""One subscription: messages that wait or are out, acknowledgements, extensions and passed deadlines.

Pure logic: time is an argument (seconds, never going back), nothing here waits, locks or sends. A message
counts as unacknowledged from its publishing until it is acknowledged in order or forwarded to a dead-letter topic.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .backlog import DeliveryQueue
from .leases import FlowWindow, Lease, Leases, StoredMessage
from .resources import EXTENSION_S, MAX_PULL_MESSAGES, check_between, invalid

# The client under PUBSUB_EMULATOR_HOST has gRPC's default limit of 4 MiB a response; a larger single message
# is sent alone, and needs a client whose channel allows it.
MAX_RESPONSE_BYTES = 4_000_000

Delivery = tuple[str, int, bytes]  # ack id, delivery attempt (0 without a dead-letter policy), frame
Forward = Callable[[Any, Lease, float], bool]


class LocalSubscription:
    """A subscription; `settings` is its protobuf resource, `forward` sends a message to the dead-letter topic."""

    def __init__(self, settings: Any, ids: Iterator[int], forward: Forward) -> None:
        self.settings = settings
        self.unacked = 0
        self._ids = ids
        self._forward = forward
        self._backlog = DeliveryQueue(settings.enable_message_ordering)
        self._leases = Leases()

    @property
    def has_deliverable(self) -> bool:
        """Return whether a message can go out now."""
        return self._backlog.has_deliverable

    def add(self, messages: list[StoredMessage]) -> None:
        """Add published messages."""
        self._backlog.add(messages)
        self.unacked += len(messages)

    def deliver(
        self, limit: int, now_s: float, deadline_s: int = 0, window: FlowWindow | None = None
    ) -> list[Delivery]:
        """Lease up to `limit` messages, and charge the window; a `deadline_s` of 0 means that of the subscription."""
        room_bytes = MAX_RESPONSE_BYTES
        if window is not None:
            limit, room_bytes = min(limit, window.messages_left), min(room_bytes, window.bytes_left)
        until_s = now_s + (deadline_s or self.settings.ack_deadline_seconds)
        counts_attempts = self.settings.HasField("dead_letter_policy")
        deliveries = []
        for waiting in self._backlog.take(min(limit, MAX_PULL_MESSAGES), room_bytes):
            lease = waiting if isinstance(waiting, Lease) else Lease(waiting)
            lease.attempt += 1
            ack_id = f"{next(self._ids):016d}"
            self._send(ack_id, lease, until_s, window)
            deliveries.append((ack_id, lease.attempt if counts_attempts else 0, lease.message.frame))
        return deliveries

    def _send(self, ack_id: str, lease: Lease, until_s: float, window: FlowWindow | None) -> None:
        self._leases.grant(ack_id, lease, until_s)
        if lease.message.ordering_key:
            self._backlog.sent(ack_id, lease)
        if window is not None:
            lease.window = window
            window.charge(lease.size)

    def ack(self, ack_ids: Iterable[str]) -> None:
        """Settle messages; an ack id that is no longer out is ignored, as by the service."""
        for ack_id in ack_ids:
            lease = self._leases.end(ack_id)
            if lease is not None:
                self._settle(lease)
            else:
                _check_ack_id(ack_id)

    def extend(self, ack_id: str, seconds: int, now_s: float) -> None:
        """Move a deadline to `seconds` from now; 0 hands the message back for redelivery."""
        check_between("ack_deadline_seconds", seconds, EXTENSION_S)
        if seconds == 0:
            self._hand_back(ack_id, now_s)
        elif not self._leases.move(ack_id, now_s + seconds):
            _check_ack_id(ack_id)

    def expire(self, now_s: float) -> None:
        """Hand back messages that are past their deadline, and end delays that are over."""
        for ack_id in self._leases.due(now_s):
            self._hand_back(ack_id, now_s)
        self._backlog.wake(now_s)

    def next_due_s(self) -> float:
        """Return when `expire` has something to do next; infinity if nothing is out."""
        return min(self._leases.next_due_s(), self._backlog.next_due_s())

    def figures(self, now_s: float) -> dict[str, float]:
        """Return the figures that `stats` shows."""
        oldest_s = min(self._leases.oldest_s(), self._backlog.oldest_s())
        return {
            "num_undelivered_messages": self.unacked,
            "num_outstanding_messages": len(self._leases),
            "oldest_unacked_age_s": max(0.0, now_s - oldest_s) if oldest_s < math.inf else 0.0,
        }

    def _settle(self, lease: Lease) -> None:
        lease.leave_window()
        self.unacked -= self._backlog.acked(lease)

    def _hand_back(self, ack_id: str, now_s: float) -> None:
        lease = self._leases.end(ack_id)
        if lease is None:
            _check_ack_id(ack_id)
        elif self._is_exhausted(lease) and self._forward(self.settings, lease, now_s):
            self._settle(lease)
        else:
            lease.leave_window()
            for later_id, later in self._backlog.recall(ack_id, lease, self._retry_s(lease, now_s)):
                self._take_along(later_id, later)

    def _take_along(self, ack_id: str, lease: Lease) -> None:
        # It came back only because an earlier message of its key did, so the delivery is not held against it.
        self._leases.end(ack_id)
        lease.leave_window()
        lease.attempt -= 1

    def _is_exhausted(self, lease: Lease) -> bool:
        policy = self.settings.dead_letter_policy
        return bool(policy.dead_letter_topic) and lease.attempt >= policy.max_delivery_attempts

    def _retry_s(self, lease: Lease, now_s: float) -> float:
        """Return when a message that came back may go out again: at once, unless a retry policy says otherwise."""
        if not self.settings.HasField("retry_policy"):
            return -math.inf
        policy = self.settings.retry_policy
        shortest_s, longest_s = (
            d.seconds + d.nanos / 1e9 for d in (policy.minimum_backoff, policy.maximum_backoff)
        )
        return float(now_s + min(longest_s, shortest_s * 2.0 ** min(lease.attempt - 1, 32)))


def _check_ack_id(ack_id: str) -> None:
    if not ack_id.isdigit():
        raise invalid(f"You have passed an invalid ack ID to the service (ack_id={ack_id[:60]!r}).")
