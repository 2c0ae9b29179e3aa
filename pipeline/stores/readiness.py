"""Readiness of a store: which features of a use case have records, and how far a backfill has come.

    PREFIX:USE_CASE                 a hash: fingerprint -> Marker: this store may be relied on, and why
    PREFIX:USE_CASE:FINGERPRINT     Checkpoint: the backfill that has begun and not ended

They lie beside the records, so that whoever empties the store, empties these too.
"""

from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from pipeline.runtime.errors import ColdStore
from pipeline.stores.integrity import Integrity
from pipeline.stores.redis_store import RedisStore

COLD = "cold"


class Marker(Struct, frozen=True):
    """The reason why a store is not cold. `how` is "backfill", "repair", or "cold" for a start with nothing.

    The fields after `at` describe the backfill, so that its history is recognized when it is given again.
    """

    how: str
    at: str  # RFC 3339, UTC
    events: int = 0  # applied
    digest: str = ""  # of the history; empty: not noted by the version that ran it
    model: str = ""  # that assessed it
    earlier: int = 0  # backfills of other histories before this one


class Checkpoint(Struct, frozen=True):
    """The first `done` events of the history with this digest, in its order, are in the records."""

    digest: str
    done: int
    applied: int = 0
    duplicates: int = 0
    too_late: int = 0
    recommended_us: tuple[int, ...] = ()  # what the policy's breaker counts: the latest recommendations


class Readiness:
    """Markers and checkpoints of one use case. Every method raises StoreUnavailable."""

    def __init__(self, store: RedisStore, prefix: str, use_case: str) -> None:
        self._store, self._prefix, self._use_case = store, prefix, use_case
        self._stem = f"{prefix}:{use_case}"

    def stem_of(self, fingerprint: str) -> str:
        """Return the beginning of the keys of its records."""
        return f"{self._stem}:{fingerprint}:"

    def markers(self) -> dict[str, Marker]:
        """Return the markers by fingerprint."""
        fields = self._store.call("HGETALL", self._stem)
        pairs = fields.items() if isinstance(fields, dict) else zip(fields[::2], fields[1::2], strict=True)
        return {key.decode(): msgspec.json.decode(text, type=Marker) for key, text in pairs}

    def demand(self, fingerprint: str) -> None:
        """Demand records of these features: filled, or empty on purpose at first. Raises ColdStore."""
        markers = self.markers()
        if fingerprint in markers:
            return
        begun = self.checkpoint(fingerprint)
        if begun:
            raise ColdStore(
                f"{self._store.address}: found a backfill of {fingerprint} that has done {begun.done:,} events and "
                "has not ended, expected one that has; wait for it, or run the same `riskstream backfill` again"
            )
        others = ", ".join(f"{name} ({marker.how}, {marker.at})" for name, marker in sorted(markers.items()))
        raise ColdStore(
            f"{self._store.address}: found no records of {self._stem} with fingerprint {fingerprint}"
            + (f", only those of {others}" if others else "")
            + "; every customer would be scored as a new one. Fill them with `riskstream backfill`, "
            "or start with nothing: --allow-empty-store"
        )

    def mark(
        self, fingerprint: str, how: str, now: datetime, events: int = 0, digest: str = "", model: str = ""
    ) -> None:
        """Mark the store as ready for these features; a backfill under way has ended.

        A second run of the same history adds nothing, so what the first one noted stays.
        """
        before = self.markers().get(fingerprint)
        if before and digest and before.digest == digest:
            return
        earlier = before.earlier + 1 if before and before.events and digest else 0
        at = now.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        marker = Marker(how, at, events, digest, model, earlier)
        self._store.call("HSET", self._stem, fingerprint, msgspec.json.encode(marker))

    def forget(self, fingerprint: str) -> None:
        """Remove all that says that there are records."""
        Integrity(self._store, self._prefix, self._use_case, fingerprint).forget()
        self._store.call("HDEL", self._stem, fingerprint)
        self._store.call("DEL", f"{self._stem}:{fingerprint}")

    def checkpoint(self, fingerprint: str) -> Checkpoint | None:
        text = self._store.call("GET", f"{self._stem}:{fingerprint}")
        return None if text is None else msgspec.json.decode(text, type=Checkpoint)

    def note(self, fingerprint: str, checkpoint: Checkpoint) -> None:
        self._store.call("SET", f"{self._stem}:{fingerprint}", msgspec.json.encode(checkpoint))

    def finish(self, fingerprint: str) -> None:
        self._store.call("DEL", f"{self._stem}:{fingerprint}")
