"""The records of one batch, out of the store and back into it.

The rule: a subject is written only if every other record that got one of its events was written. So whatever
a subject knows, the other entities have counted; a crash in between is made good by the event's redelivery.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from features.events import Batch
from features.kernel import Advanced, Disposition
from features.together import ADDED
from pipeline.store import RecordStore, expiries_ms, record_keys

Mask = NDArray[np.bool_]
Keys = Mapping[str, list[bytes]]  # by entity


def keys_of(prefix: str, batch: Batch) -> Keys:
    """The keys of all entities of the batch."""
    name, fingerprint = batch.use_case.name, batch.use_case.fingerprint
    return {e: record_keys(prefix, name, fingerprint, e, a.ids) for e, a in batch.arrivals.items()}


def read(store: RecordStore, keys: Keys) -> dict[str, list[bytes | None]]:
    """The records of all entities, in one round trip."""
    blobs = iter(store.read([key for some in keys.values() for key in some]))
    return {entity: [next(blobs) for _ in some] for entity, some in keys.items()}


def commit(store: RecordStore, batch: Batch, keys: Keys, advanced: Mapping[str, Advanced]) -> Mask:
    """Write the records, the subjects last. Returns [n] which events are settled, not to be done again."""
    name = batch.use_case.subject
    subject, record = advanced[name], batch.arrivals[name].record
    expiry_ms = expiries_ms(batch.use_case)
    changed = {entity: one.before != one.after for entity, one in advanced.items()}
    waiting = np.zeros(len(subject.before), np.bool_)
    others = {entity: mask for entity, mask in changed.items() if entity != name}
    for entity, lost in _write(store, keys, advanced, others, expiry_ms).items():
        added = np.flatnonzero(np.isin(advanced[entity].disposition, ADDED))
        is_lost = lost[batch.arrivals[entity].record[added]]
        waiting[record[added[is_lost]]] = True
    lost_subjects = _write(store, keys, advanced, {name: changed[name] & ~waiting}, expiry_ms)[name]
    settled: Mask = ~(lost_subjects | (changed[name] & waiting))[record]
    return settled


def _write(
    store: RecordStore,
    keys: Keys,
    advanced: Mapping[str, Advanced],
    wanted: Mapping[str, Mask],
    expiry_ms: Mapping[str, int],
) -> dict[str, Mask]:
    """Commit the wanted records of some entities in one round trip. Returns which lost, by entity."""
    lost = {entity: np.zeros(len(mask), np.bool_) for entity, mask in wanted.items()}
    chosen = [(entity, r) for entity, mask in wanted.items() for r in np.flatnonzero(mask).tolist()]
    if not chosen:
        return lost
    blobs = {entity: advanced[entity].blobs() for entity in wanted}
    before = {entity: advanced[entity].before.tolist() for entity in wanted}
    written = store.commit(
        [keys[entity][r] for entity, r in chosen],
        [before[entity][r] for entity, r in chosen],
        [blobs[entity][r] for entity, r in chosen],
        [expiry_ms[entity] for entity, _ in chosen],
    )
    for (entity, r), is_written in zip(chosen, written, strict=True):
        lost[entity][r] = not is_written
    return lost


def exact_rows(batch: Batch, advanced: Mapping[str, Advanced]) -> Mask:
    """[n] The vector is whole: a duplicate's only if every entity of the event still knows the event."""
    subject = advanced[batch.use_case.subject]
    exact = np.ones(len(batch), np.bool_)
    for entity, one in advanced.items():
        is_known = one.disposition == Disposition.DUPLICATE
        is_forgotten = (subject.disposition == Disposition.DUPLICATE) & ~is_known
        exact &= one.exact & ~(is_forgotten & (batch.arrivals[entity].record >= 0))
    return exact
