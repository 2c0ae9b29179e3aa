"""A batch folded into the records of all its entities at once.

The rule: only what is new to the subject may be new to another entity. An event that the subject refuses or already
knows is counted nowhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from features.events import Batch
from features.kernel import ONE_CORE, Advanced, Cores, Disposition, advance
from features.kernel.plan import Arrivals, EntityPlan

Blobs = Sequence[bytes | None]  # packed records; None where there is none
Mask = NDArray[np.bool_]


def advance_all(batch: Batch, records: Mapping[str, Blobs], cores: Cores = ONE_CORE) -> dict[str, Advanced]:
    """Advance every entity's records (by entity, in the order of `arrivals.ids`) by the batch; the subject comes last.

    The subject is advanced first, because it decides what is new; within an entity no record depends on another, so
    `cores` share them. Raises BadRecord.
    """
    use_case, arrivals, name = batch.use_case, batch.arrivals, batch.use_case.subject
    subject = advance_subject(batch, records[name], cores)
    left_out = is_left_out(subject)
    others = {
        entity: advance_other(
            use_case.plans[entity],
            records[entity],
            without(arrivals[entity], left_out),
            subject.is_duplicate,
            cores,
        )
        for entity in use_case.entities
        if entity != name
    }
    return others | {name: subject}


def advance_subject(batch: Batch, records: Blobs, cores: Cores = ONE_CORE) -> Advanced:
    """Advance the subjects' records by the batch. Raises BadRecord."""
    name = batch.use_case.subject
    return advance(batch.use_case.plans[name], records, batch.arrivals[name], cores)


def is_left_out(subject: Advanced) -> Mask:
    """Return [n], true for events that no other entity is asked about: refused, or seen before in the batch."""
    left_out: Mask = (subject.disposition == Disposition.TOO_LATE) | subject.is_repeated
    return left_out


def advance_other(
    plan: EntityPlan, records: Blobs, arrivals: Arrivals, known: Mask, cores: Cores = ONE_CORE
) -> Advanced:
    """Advance the records of an entity beside the subject. Raises BadRecord.

    An event that is `known` [n] to its subject is looked up, for its vector; if this record has forgotten it, it is
    left out.
    """
    advanced = advance(plan, records, arrivals, cores)
    forgotten = known & advanced.is_added
    if forgotten.any():
        advanced = advance(plan, records, without(arrivals, forgotten), cores)
    return advanced


def without(arrivals: Arrivals, rows: Mask) -> Arrivals:
    """Return the arrivals as if the events `rows` [n] had no such entity."""
    if not rows.any():
        return arrivals
    return replace(arrivals, record=np.where(rows, np.int32(-1), arrivals.record))


def only(arrivals: Arrivals, rows: Mask) -> Arrivals:
    """Return the arrivals as if only the events `rows` [n] had such an entity; its records are numbered anew."""
    chosen = rows & (arrivals.record >= 0)
    used, number = np.unique(arrivals.record[chosen], return_inverse=True)
    record = np.full(len(arrivals), -1, np.int32)
    record[chosen] = number
    return replace(arrivals, record=record, ids=tuple(arrivals.ids[r] for r in used.tolist()))
