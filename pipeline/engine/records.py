"""The records of one batch, out of the store and back into it.

The rule: a subject is written only if every other record that got one of its events was written. So whatever
a subject knows, the other entities have counted; a crash in between is made good by the event's redelivery.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.policy import is_possible
from features.events import Batch
from features.kernel import Advanced, Disposition
from features.record import faults
from features.usecase.expiry import expiries_ms
from pipeline.stores.store import RecordStore, record_keys

Mask = NDArray[np.bool_]
OTHER_TYPE = "not a record: a value of another type"
Keys = Mapping[str, list[bytes]]  # by entity


def keys_of(prefix: str, batch: Batch) -> Keys:
    """The keys of all entities of the batch."""
    name, fingerprint = batch.use_case.name, batch.use_case.fingerprint
    return {e: record_keys(prefix, name, fingerprint, e, a.ids) for e, a in batch.arrivals.items()}


def read(store: RecordStore, keys: Keys) -> dict[str, list[bytes | None]]:
    """The records of all entities, in one round trip."""
    blobs = iter(store.read([key for some in keys.values() for key in some]))
    return {entity: [next(blobs) for _ in some] for entity, some in keys.items()}


@dataclass(frozen=True)
class Unreadable:
    """What lies under an entity's key and is no record of this use case."""

    entity: str
    id: str
    key: bytes
    why: str

    def __str__(self) -> str:
        return f"the record of {self.entity} {self.id} cannot be read: {self.why}"


def unreadable(batch: Batch, keys: Keys, found: Mapping[str, list[bytes | None]]) -> dict[int, Unreadable]:
    """Which events of the batch have an entity whose record cannot be unpacked."""
    return _events_of(batch, keys, {e: faults(batch.use_case.plans[e], blobs) for e, blobs in found.items()})


def of_other_type(
    store: RecordStore, batch: Batch, keys: Keys, found: Mapping[str, list[bytes | None]], rows: Mask
) -> dict[int, Unreadable]:
    """Which of the events `rows` [n] have an entity under whose key lies a value of another type."""
    absent = [
        (entity, r)
        for entity, arrivals in batch.arrivals.items()
        for r in np.unique(arrivals.record[rows]).tolist()
        if r >= 0 and found[entity][r] is None
    ]
    whys: dict[str, dict[int, str]] = {entity: {} for entity in found}
    answers = store.holds_other([keys[entity][r] for entity, r in absent]) if absent else []
    for (entity, r), is_other in zip(absent, answers, strict=True):
        if is_other:
            whys[entity][r] = OTHER_TYPE
    return _events_of(batch, keys, whys)


def note_unsound(unreadable: dict[int, Unreadable], batch: Batch, keys: Keys, subject: Advanced) -> None:
    """Adds the duplicates whose stored outcome or score cannot be: their record is damaged."""
    known = np.flatnonzero((subject.disposition == Disposition.DUPLICATE) & (subject.original < 0))
    score, outcome = subject.stored_score[known], subject.stored_outcome[known]
    is_sound = (np.isnan(score) | ((score >= 0) & (score <= 1))) & is_possible(outcome)
    arrivals, name = batch.arrivals[batch.use_case.subject], batch.use_case.subject
    for row in known[~is_sound].tolist():
        r = int(arrivals.record[row])
        unreadable[row] = Unreadable(
            name, arrivals.ids[r], keys[name][r], "damaged record: an outcome that cannot be"
        )


def _events_of(batch: Batch, keys: Keys, whys: Mapping[str, Mapping[int, str]]) -> dict[int, Unreadable]:
    """The events of some records (by entity and place), each with the first of them."""
    events: dict[int, Unreadable] = {}
    for entity, why in whys.items():
        arrivals = batch.arrivals[entity]
        for row in np.flatnonzero(np.isin(arrivals.record, list(why))).tolist():
            r = int(arrivals.record[row])
            events.setdefault(row, Unreadable(entity, arrivals.ids[r], keys[entity][r], why[r]))
    return events


def commit(store: RecordStore, batch: Batch, keys: Keys, advanced: Mapping[str, Advanced]) -> Mask:
    """Write the records, the subjects last. Returns [n] which events are settled, not to be done again."""
    name = batch.use_case.subject
    subject, record = advanced[name], batch.arrivals[name].record
    expiry_ms = expiries_ms(batch.use_case)
    changed = {entity: one.before != one.after for entity, one in advanced.items()}
    waiting = np.zeros(len(subject.before), np.bool_)
    others = {entity: mask for entity, mask in changed.items() if entity != name}
    for entity, lost in _write(store, keys, advanced, others, expiry_ms).items():
        added = np.flatnonzero(advanced[entity].is_added)
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
