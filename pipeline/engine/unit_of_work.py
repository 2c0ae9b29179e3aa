"""The unit of work of one batch: its records out of the store, advanced, and back by compare-and-set.

The rule: a subject is written only if every other record that got one of its events was written. So whatever a
subject knows, the other entities have counted; a crash in between is made good by the event's redelivery.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Self

import numpy as np
from numpy.typing import NDArray

from features.advance import advance_all
from features.events import Batch
from features.kernel import Advanced
from features.usecase.expiry import expiries_ms
from features.vector import vectors
from pipeline.stores.store import RecordStore, record_keys

Mask = NDArray[np.bool_]


@dataclass
class UnitOfWork:
    """The records of a batch as they were read, and as the batch advances them. Mappings are by entity."""

    store: RecordStore
    batch: Batch
    keys: Mapping[str, list[bytes]]
    records: Mapping[str, list[bytes | None]]  # packed, as read; None: there is none
    advanced: Mapping[str, Advanced] = field(default_factory=dict)  # the subject last

    @classmethod
    def read(cls, store: RecordStore, prefix: str, batch: Batch) -> Self:
        """Read the records of all entities of the batch in one round trip. Raises StoreUnavailable."""
        name, fingerprint = batch.use_case.name, batch.use_case.fingerprint
        keys = {e: record_keys(prefix, name, fingerprint, e, a.ids) for e, a in batch.arrivals.items()}
        blobs = iter(store.read([key for some in keys.values() for key in some]))
        return cls(
            store, batch, keys, {entity: list(islice(blobs, len(some))) for entity, some in keys.items()}
        )

    def advance(self) -> Advanced:
        """Fold the batch into the records and return the subject's part. Raises BadRecord."""
        self.advanced = advance_all(self.batch, self.records)
        return self.subject

    @property
    def subject(self) -> Advanced:
        """The subject's records, advanced."""
        return self.advanced[self.batch.use_case.subject]

    def vectors(self) -> NDArray[np.float32]:
        """Return the vectors, float32 [n, F], of the advanced events."""
        return vectors(self.batch, {entity: one.raw for entity, one in self.advanced.items()})

    def exact(self) -> Mask:
        """Return [n], false for duplicates whose vector is lost: an entity of theirs has forgotten the event."""
        exact = np.ones(len(self.batch), np.bool_)
        for entity, one in self.advanced.items():
            is_forgotten = self.subject.is_duplicate & ~one.is_duplicate
            exact &= one.exact & ~(is_forgotten & (self.batch.arrivals[entity].record >= 0))
        return exact

    def other_seqs(self) -> dict[str, NDArray[np.int64]]:
        """Return the events' numbers [n] in the records of the entities beside the subject."""
        return {entity: one.seq for entity, one in self.advanced.items() if one is not self.subject}

    def commit(self) -> Mask:
        """Write the changed records by compare-and-set, the subjects last; return [n] which events are settled.

        Events that are not lost a race: their records must be read again. Raises StoreUnavailable.
        """
        name, record = self.batch.use_case.subject, self.batch.arrivals[self.batch.use_case.subject].record
        changed = {entity: one.before != one.after for entity, one in self.advanced.items()}
        waiting = np.zeros(len(self.subject.before), np.bool_)
        others = {entity: mask for entity, mask in changed.items() if entity != name}
        for entity, lost in self._write(others).items():
            added = np.flatnonzero(self.advanced[entity].is_added)
            is_lost = lost[self.batch.arrivals[entity].record[added]]
            waiting[record[added[is_lost]]] = True
        lost_subjects = self._write({name: changed[name] & ~waiting})[name]
        settled: Mask = ~(lost_subjects | (changed[name] & waiting))[record]
        return settled

    def _write(self, wanted: Mapping[str, Mask]) -> dict[str, Mask]:
        """Commit the wanted records in one round trip; return which of them lost a race."""
        lost = {entity: np.zeros(len(mask), np.bool_) for entity, mask in wanted.items()}
        rows = {entity: np.flatnonzero(mask) for entity, mask in wanted.items() if mask.any()}
        if not rows:
            return lost
        expiry_ms = expiries_ms(self.batch.use_case)
        keys: list[bytes] = []
        before: list[int] = []
        blobs: list[bytes] = []
        for entity, chosen in rows.items():
            keys += map(self.keys[entity].__getitem__, chosen.tolist())
            before += self.advanced[entity].before[chosen].tolist()
            blobs += self.advanced[entity].blobs(chosen)
        expiries = [ms for entity, chosen in rows.items() for ms in [expiry_ms[entity]] * len(chosen)]
        is_lost = ~np.array(self.store.commit(keys, before, blobs, expiries), np.bool_)
        for entity, chosen in rows.items():
            lost[entity][chosen], is_lost = is_lost[: len(chosen)], is_lost[len(chosen) :]
        return lost
