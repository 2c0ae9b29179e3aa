"""Records between batches: the port `RecordStore`, and the store in memory.

A record's version is its seq, the uint64 (little endian) at bytes 12 to 20; a key without a record has seq 0.
A record is written only over the seq that was read, so of several writers exactly one wins and the others
read again.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from features.record import SEQ, seq_bytes
from pipeline.runtime.errors import StoreUnavailable

Expiry = Sequence[int] | None
NO_SEQ = bytes(8)  # the version of a record that is not there


class StoreDamaged(StoreUnavailable):
    """The store answers, but lost something that was written to it. Once it is repaired, work goes on by itself."""


class RecordStore(Protocol):
    """Reads many records, writes many records; implemented by MemoryStore, RedisStore and, to try only, DryStore."""

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Read the records of `keys`, None where there is none. Raises StoreUnavailable."""

    def commit(
        self, keys: Sequence[bytes], before: Sequence[int], blobs: Sequence[bytes], expiry_ms: Expiry = None
    ) -> list[bool]:
        """Write blobs[i] over keys[i] if its seq is still before[i] (0: no record); says which were written.

        The store may drop keys[i] once it has not been written for expiry_ms[i] (0, or no `expiry_ms`: never).
        `keys` are distinct. Raises StoreUnavailable; then nobody knows which records were written. Read again
        and do the work again: events whose record had been written answer as duplicates.
        """

    def holds_other(self, keys: Sequence[bytes]) -> list[bool]:
        """Tell which keys hold a value of another type, which `read` takes for no record. Raises StoreUnavailable."""


@dataclass(frozen=True)
class MemoryStore:
    """Records in a dictionary of this process, for batch scoring. They live as long as the store does."""

    records: dict[bytes, bytes] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        with self.lock:
            return [self.records.get(key) for key in keys]

    def commit(
        self, keys: Sequence[bytes], before: Sequence[int], blobs: Sequence[bytes], expiry_ms: Expiry = None
    ) -> list[bool]:
        rows = list(zip(keys, before, blobs, strict=True))
        with self.lock:
            return [self._write(*row) for row in rows]

    def holds_other(self, keys: Sequence[bytes]) -> list[bool]:
        return [False] * len(keys)

    def _write(self, key: bytes, before: int, blob: bytes) -> bool:
        stored = self.records.get(key)
        seq = NO_SEQ if stored is None else stored[SEQ]
        if seq != seq_bytes(before):
            return False
        self.records[key] = blob
        return True


@dataclass(frozen=True)
class DryStore:
    """Reads from a store and keeps nothing: what would be written counts as written."""

    below: RecordStore

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return self.below.read(keys)

    def commit(
        self, keys: Sequence[bytes], before: Sequence[int], blobs: Sequence[bytes], expiry_ms: Expiry = None
    ) -> list[bool]:
        """A record that cannot be written as it is of another type counts as lost."""
        new = [i for i, seq in enumerate(before) if seq == 0]
        lost = dict(zip(new, self.below.holds_other([keys[i] for i in new]) if new else [], strict=True))
        return [not lost.get(i, False) for i in range(len(keys))]

    def holds_other(self, keys: Sequence[bytes]) -> list[bool]:
        return self.below.holds_other(keys)


def record_keys(prefix: str, use_case: str, fingerprint: str, entity: str, ids: Sequence[str]) -> list[bytes]:
    """Return the keys of an entity's records; a record of other features never answers for these."""
    stem = f"{prefix}:{use_case}:{fingerprint}:{entity}:"
    return [f"{stem}{id}".encode() for id in ids]
