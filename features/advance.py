"""A batch folded into the records of all its entities at once.

The rule: only what is new to the subject may be new to another entity. An event that the subject refuses or already
knows is counted nowhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from features.events import Batch
from features.kernel import Advanced, Disposition, advance
from features.kernel.plan import Arrivals, EntityPlan

Blobs = Sequence[bytes | None]  # packed records; None where there is none


def advance_all(batch: Batch, records: Mapping[str, Blobs]) -> dict[str, Advanced]:
    """Advance every entity's records (by entity, in the order of `arrivals.ids`) by the batch; the subject comes last.

    The subject is advanced first, because it decides what is new. Raises BadRecord.
    """
    use_case, arrivals, name = batch.use_case, batch.arrivals, batch.use_case.subject
    subject = advance(use_case.plans[name], records[name], arrivals[name])
    others = {
        entity: _advance_other(use_case.plans[entity], records[entity], arrivals[entity], subject)
        for entity in use_case.entities
        if entity != name
    }
    return others | {name: subject}


def _advance_other(plan: EntityPlan, records: Blobs, arrivals: Arrivals, subject: Advanced) -> Advanced:
    """Advance another entity by what the subject did not refuse and did not see before in the batch.

    An event that the subject has stored is looked up, for its vector; if this record has forgotten it, it is left out.
    """
    left_out = (subject.disposition == Disposition.TOO_LATE) | subject.is_repeated
    advanced = advance(plan, records, _without(arrivals, left_out))
    forgotten = subject.is_duplicate & advanced.is_added
    if forgotten.any():
        advanced = advance(plan, records, _without(arrivals, left_out | forgotten))
    return advanced


def _without(arrivals: Arrivals, rows: NDArray[np.bool_]) -> Arrivals:
    if not rows.any():
        return arrivals
    return replace(arrivals, record=np.where(rows, np.int32(-1), arrivals.record))
