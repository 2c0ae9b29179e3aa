"""Recent writes of this process, and the check that a store still holds them.

A server that loses writes loses the last ones: what it has is what it had at an earlier moment. So if the latest
records are there, all before them are.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import compress

from features import record
from features.usecase import UseCase
from features.usecase.expiry import EXPIRY_SLACK
from pipeline.stores.redis_store import RedisStore

MOST_RECORDS = 16_000  # some 20 MB; at least the latest batch, and a second of most streams
MOST_AGE_S = EXPIRY_SLACK.total_seconds()  # no record expires sooner after it was written
Written = tuple[
    float, Sequence[bytes], Sequence[bytes], Sequence[bool]
]  # when, keys, records, which were written


class Latest:
    """Safe for threads. Noting a batch takes the same time however many records it has."""

    def __init__(self, use_case: UseCase, prefix: str) -> None:
        stem = f"{prefix}:{use_case.name}:{use_case.fingerprint}"
        self._plans = {f"{stem}:{entity}:".encode(): plan for entity, plan in use_case.plans.items()}
        self._batches: deque[Written] = deque()
        self._size, self._lock = 0, threading.Lock()

    def note(self, keys: Sequence[bytes], blobs: Sequence[bytes], written: Sequence[bool]) -> None:
        """Note the records that were `written`."""
        with self._lock:
            self._batches.append((time.monotonic(), keys, blobs, written))
            self._size += len(keys)
            while self._size > MOST_RECORDS and len(self._batches) > 1:
                self._drop_oldest()

    def clear(self) -> None:
        """Forget them: the store has begun a new life."""
        with self._lock:
            self._batches.clear()
            self._size = 0

    def records(self) -> dict[bytes, bytes]:
        """Return the records by key, as written last."""
        return {
            key: blob
            for _, keys, blobs, written in self._recent()
            for key, blob in compress(zip(keys, blobs, strict=True), written)
        }

    def sample(self, most: int) -> dict[bytes, bytes]:
        """Some of them, at random: of small batches any, of large ones a few of each."""
        batches = self._recent()
        chosen: dict[bytes, bytes] = {}
        for _, keys, blobs, written in random.sample(batches, min(most, len(batches))):
            n = min(len(keys), -(-most // len(batches)))
            chosen.update((keys[i], blobs[i]) for i in random.sample(range(len(keys)), n) if written[i])
        return chosen

    def _recent(self) -> list[Written]:
        """Yield the batches whose records cannot have expired yet."""
        oldest_s = time.monotonic() - MOST_AGE_S
        with self._lock:
            while self._batches and self._batches[0][0] < oldest_s:
                self._drop_oldest()
            return list(self._batches)

    def _drop_oldest(self) -> None:
        self._size -= len(self._batches.popleft()[1])

    def behind(self, store: RedisStore, records: Mapping[bytes, bytes]) -> list[bytes]:
        """Return the keys whose record in the store is missing or older than in `records`. Raises StoreUnavailable."""
        keys = list(records)
        lower = [
            key for key, seq in zip(keys, store.seqs(keys), strict=True) if seq < record.seq_of(records[key])
        ]
        return [key for key in lower if not self._lives_again(key, records[key], store)]

    def _lives_again(self, key: bytes, blob: bytes, store: RedisStore) -> bool:
        """Tell whether the record is no older although its seq is lower: forgotten and begun anew, or unreadable.

        An unreadable record is no loss of the store's; its customer's events are set aside when they come.
        """
        (stored,) = store.read([key])
        if stored is None:
            return False
        plan = next(plan for stem, plan in self._plans.items() if key.startswith(stem))
        try:
            return _newest_us(record.loads(plan, stored)) > _newest_us(record.loads(plan, blob))
        except record.BadRecord:
            return True


def _newest_us(newest: record.Record) -> int:
    """Return the latest event time in the record, in microseconds."""
    return max((each.time_us for each in newest.ring), default=newest.floor_us or 0)
