"""The unit of work of one batch: its records out of the store, advanced, and back by compare-and-set.

The rule: a subject is written only if every other record that got one of its events was written. So whatever a
subject knows, the other entities have counted; a crash in between is made good by the event's redelivery.

Where workers share records, owners (pipeline.owners) fold the events of other entities and write them; this unit then
reads and writes the subjects, and what no owner has answered.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Self

import numpy as np
from numpy.typing import NDArray

from features.advance import advance_other, advance_subject, is_left_out, only, without
from features.events import Batch
from features.kernel import Advanced
from features.kernel.plan import Arrivals
from features.vector import vectors
from pipeline.owners.answers import OwnerAnswers
from pipeline.owners.asking import RecordOwners
from pipeline.stores.advanced_records import write_advanced
from pipeline.stores.store import RecordStore, record_keys

Mask = NDArray[np.bool_]


@dataclass
class UnitOfWork:
    """The records of a batch as they were read, and as the batch advances them. Mappings are by entity."""

    store: RecordStore
    prefix: str
    batch: Batch
    owners: RecordOwners | None = None  # None: this worker shares the records with nobody
    answers: dict[str, OwnerAnswers] = field(default_factory=dict)  # of owners
    arrivals: dict[str, Arrivals] = field(default_factory=dict)  # at the records of this unit
    keys: dict[str, list[bytes]] = field(default_factory=dict)
    records: dict[str, list[bytes | None]] = field(
        default_factory=dict
    )  # packed, as read; None: there is none
    advanced: dict[str, Advanced] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        store: RecordStore,
        prefix: str,
        batch: Batch,
        owners: RecordOwners | None = None,
        answers: Mapping[str, OwnerAnswers] | None = None,
    ) -> Self:
        """Read the records of all entities of the batch in one round trip; of the subject only if there are owners.

        `answers` are those that owners have given to these events before. Raises StoreUnavailable.
        """
        others = [entity for entity in batch.arrivals if entity != batch.use_case.subject]
        shared = owners if owners and others and (owners.is_shared or answers) else None
        work = cls(store, prefix, batch, shared)
        if shared:
            plans, n = batch.use_case.plans, len(batch)
            work.answers = {e: OwnerAnswers.none(plans[e], n) for e in others} | dict(answers or {})
            work._read({batch.use_case.subject: batch.arrivals[batch.use_case.subject]})
        else:
            work._read(batch.arrivals)
        return work

    def _read(self, arrivals: Mapping[str, Arrivals]) -> None:
        """Read the records that events arrive at, in one round trip."""
        name, fingerprint = self.batch.use_case.name, self.batch.use_case.fingerprint
        keys = {e: record_keys(self.prefix, name, fingerprint, e, a.ids) for e, a in arrivals.items()}
        blobs = iter(self.store.read([key for some in keys.values() for key in some]))
        self.arrivals.update(arrivals)
        self.keys.update(keys)
        self.records.update({entity: list(islice(blobs, len(some))) for entity, some in keys.items()})

    def advance_subject(self) -> Advanced:
        """Fold the batch into the subjects' records, which say what is new. Raises BadRecord."""
        subject = advance_subject(self.batch, self.records[self.batch.use_case.subject])
        self.advanced[self.batch.use_case.subject] = subject
        return subject

    def ask_owners(self) -> None:
        """Have owners fold the events of other entities; read the records of those that none has answered.

        Raises StoreUnavailable.
        """
        assert self.owners is not None
        wanted = self._unanswered()
        if any(rows.any() for rows in wanted.values()):
            self.owners.ask(self.batch, wanted, self.subject.is_duplicate, self.answers)
            if self.owners.reads_subjects_late:
                self._read_subjects_again()
            wanted = self._unanswered()
        alone = {e: only(self.batch.arrivals[e], rows) for e, rows in wanted.items() if rows.any()}
        if alone:
            self._read(alone)

    def _unanswered(self) -> dict[str, Mask]:
        """Return by entity the events [n] that count there and have no answer of an owner."""
        left_out = is_left_out(self.subject)
        return {
            entity: (self.batch.arrivals[entity].record >= 0) & ~left_out & ~answers.is_answered
            for entity, answers in self.answers.items()
        }

    def _read_subjects_again(self) -> None:
        """Read and advance the subjects as they are by now; what owners have counted stays counted."""
        name, rows = self.batch.use_case.subject, np.arange(len(self.batch))
        self._read({name: self.arrivals[name]})
        subject = self.advance_subject()
        self.answers = {e: each.again(rows, subject.is_duplicate) for e, each in self.answers.items()}

    def advance_others(self) -> None:
        """Fold the batch into the records of other entities that were read. Raises BadRecord."""
        plans, name = self.batch.use_case.plans, self.batch.use_case.subject
        left_out = is_left_out(self.subject)
        self.answers = {entity: each.without(left_out) for entity, each in self.answers.items()}
        for entity, arrivals in self.arrivals.items():
            if entity != name:
                rows = arrivals if self.owners else without(arrivals, left_out)
                self.advanced[entity] = advance_other(
                    plans[entity], self.records[entity], rows, self.subject.is_duplicate
                )

    @property
    def subject(self) -> Advanced:
        """The subject's records, advanced."""
        return self.advanced[self.batch.use_case.subject]

    @property
    def others(self) -> dict[str, Advanced | OwnerAnswers]:
        """The other entities' part: what their records say of the events, whoever has folded them."""
        name = self.batch.use_case.subject
        folded = {entity: one for entity, one in self.advanced.items() if entity != name}
        return folded | {
            entity: answers.over(folded[entity]) if entity in folded else answers
            for entity, answers in self.answers.items()
        }

    def vectors(self) -> NDArray[np.float32]:
        """Return the vectors, float32 [n, F], of the advanced events."""
        raw = {entity: one.raw for entity, one in self.others.items()}
        return vectors(self.batch, raw | {self.batch.use_case.subject: self.subject.raw})

    def exact(self) -> Mask:
        """Return [n], false for duplicates whose vector is lost: an entity of theirs has forgotten the event."""
        exact = self.subject.exact.copy()
        for entity, one in self.others.items():
            is_forgotten = self.subject.is_duplicate & ~one.is_duplicate
            exact &= one.exact & ~(is_forgotten & (self.batch.arrivals[entity].record >= 0))
        return exact

    def other_seqs(self) -> dict[str, NDArray[np.int64]]:
        """Return the events' numbers [n] in the records of the entities beside the subject."""
        return {entity: one.seq for entity, one in self.others.items()}

    def commit(self) -> Mask:
        """Write the changed records by compare-and-set, the subjects last; return [n] which events are settled.

        Events that are not lost a race: their records must be read again. Raises StoreUnavailable.
        """
        name, record = self.batch.use_case.subject, self.arrivals[self.batch.use_case.subject].record
        changed = {entity: one.before != one.after for entity, one in self.advanced.items()}
        waiting = np.zeros(len(self.subject.before), np.bool_)
        others = {entity: mask for entity, mask in changed.items() if entity != name}
        for entity, lost in self._write(others).items():
            added = np.flatnonzero(self.advanced[entity].is_added)
            is_lost = lost[self.arrivals[entity].record[added]]
            waiting[record[added[is_lost]]] = True
        lost_subjects = self._write({name: changed[name] & ~waiting})[name]
        settled: Mask = ~(lost_subjects | (changed[name] & waiting))[record]
        return settled

    def _write(self, wanted: Mapping[str, Mask]) -> dict[str, Mask]:
        """Commit the wanted records in one round trip; return which of them lost a race."""
        return write_advanced(self.store, self.batch.use_case, self.keys, self.advanced, wanted)
