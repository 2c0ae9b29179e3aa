"""A store that is used only while it is what was written to it (pipeline.stores.guard)."""

from collections.abc import Sequence

from pipeline.stores.guard import Guard
from pipeline.stores.redis_memory import RedisMemory
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.store import Expiry


class GuardedStore:
    """Records in Redis. Every method raises StoreUnavailable; StoreDamaged until a damaged store is repaired."""

    def __init__(self, store: RedisStore, guard: Guard) -> None:
        self._store, self._guard = store, guard
        store.admit_only(guard.admit)

    @property
    def address(self) -> str:
        return self._store.address

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Read the records, None where there is none, and in the same round trip the signs that the store is whole."""
        self._guard.demand()
        signs, expected = self._guard.signs
        found = self._store.read([*keys, *signs])
        if found[len(keys) :] != expected:
            raise self._guard.startled(found[len(keys) :])
        del found[len(keys) :]
        return found

    def commit(
        self, keys: Sequence[bytes], before: Sequence[int], blobs: Sequence[bytes], expiry_ms: Expiry = None
    ) -> list[bool]:
        """Write blobs[i] if keys[i] still has seq before[i]; return which were written. One round trip."""
        with self._guard.writing():
            written = self._store.commit(keys, before, blobs, expiry_ms)
            self._guard.latest.note(keys, blobs, written)
        return written

    def holds_other(self, keys: Sequence[bytes]) -> list[bool]:
        """Tell which keys hold a value of another type."""
        return self._store.holds_other(keys)

    def memory(self) -> RedisMemory:
        """Return the memory of all primaries."""
        return self._guard.memory()

    def close(self) -> None:
        """Sign off and close the connections."""
        self._guard.close()
        self._store.close()
