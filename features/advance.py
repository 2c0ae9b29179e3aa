"""A batch folded into the records of all its entities at once.

The rule: only what is new to the subject may be new to another entity. So an event that the subject refuses or
repeats is counted nowhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from features.events import Batch
from features.kernel import Advanced, Disposition, advance
from features.kernel.plan import Arrivals, EntityPlan

ADDED = (Disposition.APPLIED, Disposition.FOLDED)  # the event changed the record

Records = Sequence[bytes | None]


def advance_all(batch: Batch, records: Mapping[str, Records]) -> dict[str, Advanced]:
    """Every entity's records (by entity, in the order of `arrivals.ids`) advanced by the batch; subject last.

    The subject goes first, because it says what is new.
    """
    use_case, arrivals, name = batch.use_case, batch.arrivals, batch.use_case.subject
    subject = advance(use_case.plans[name], records[name], arrivals[name])
    others = {
        entity: _advance_other(use_case.plans[entity], records[entity], arrivals[entity], subject)
        for entity in use_case.entities
        if entity != name
    }
    return others | {name: subject}


def _advance_other(plan: EntityPlan, records: Records, arrivals: Arrivals, subject: Advanced) -> Advanced:
    """Left out are what the subject refused and repetitions within the batch.

    An event that the subject knew is asked for; if this record has forgotten it, then it is left out as well.
    """
    left_out = (subject.disposition == Disposition.TOO_LATE) | (subject.original >= 0)
    advanced = advance(plan, records, _without(arrivals, left_out))
    forgotten = (subject.disposition == Disposition.DUPLICATE) & np.isin(advanced.disposition, ADDED)
    if forgotten.any():
        advanced = advance(plan, records, _without(arrivals, left_out | forgotten))
    return advanced


def _without(arrivals: Arrivals, rows: NDArray[np.bool_]) -> Arrivals:
    if not rows.any():
        return arrivals
    return replace(arrivals, record=np.where(rows, np.int32(-1), arrivals.record))
