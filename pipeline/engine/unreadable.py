"""Records that cannot be read: which events of a batch they set aside, and why."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.policy import is_possible
from features.record import faults
from pipeline.engine.unit_of_work import UnitOfWork

OTHER_TYPE = "not a record: a value of another type"
IMPOSSIBLE_OUTCOME = "damaged record: an outcome that cannot be"


@dataclass(frozen=True)
class UnreadableRecord:
    """A value under an entity's key that is no record of the use case, and why."""

    entity: str
    id: str
    key: bytes
    why: str

    def __str__(self) -> str:
        return f"the record of {self.entity} {self.id} cannot be read: {self.why}"


def not_unpacked(work: UnitOfWork) -> dict[int, UnreadableRecord]:
    """Return the events (by row) with an entity whose record cannot be unpacked."""
    plans = work.batch.use_case.plans
    return _events_of(work, {entity: faults(plans[entity], blobs) for entity, blobs in work.records.items()})


def of_other_type(work: UnitOfWork, rows: NDArray[np.bool_]) -> dict[int, UnreadableRecord]:
    """Return those of the events `rows` [n] with an entity under whose key lies a value of another type."""
    absent = [
        (entity, r)
        for entity, arrivals in work.arrivals.items()
        for r in np.unique(arrivals.record[rows]).tolist()
        if r >= 0 and work.records[entity][r] is None
    ]
    whys: dict[str, dict[int, str]] = {entity: {} for entity in work.records}
    answers = work.store.holds_other([work.keys[entity][r] for entity, r in absent]) if absent else []
    for (entity, r), is_other in zip(absent, answers, strict=True):
        if is_other:
            whys[entity][r] = OTHER_TYPE
    return _events_of(work, whys)


def with_impossible_outcome(work: UnitOfWork) -> dict[int, UnreadableRecord]:
    """Return the duplicates whose stored outcome or score is impossible: their record is damaged."""
    name, subject = work.batch.use_case.subject, work.subject
    stored, arrivals = np.flatnonzero(subject.is_stored), work.arrivals[name]
    score = subject.stored_score[stored]
    is_sound = (np.isnan(score) | ((score >= 0) & (score <= 1))) & is_possible(subject.stored_outcome[stored])
    return {
        row: UnreadableRecord(name, arrivals.ids[r], work.keys[name][r], IMPOSSIBLE_OUTCOME)
        for row, r in ((row, int(arrivals.record[row])) for row in stored[~is_sound].tolist())
    }


def _events_of(work: UnitOfWork, whys: Mapping[str, Mapping[int, str]]) -> dict[int, UnreadableRecord]:
    """Return the events of some records (by entity and number), each with the first of its records."""
    events: dict[int, UnreadableRecord] = {}
    for entity, why in whys.items():
        arrivals = work.arrivals[entity]
        for row in np.flatnonzero(np.isin(arrivals.record, list(why))).tolist():
            r = int(arrivals.record[row])
            events.setdefault(row, UnreadableRecord(entity, arrivals.ids[r], work.keys[entity][r], why[r]))
    return events
