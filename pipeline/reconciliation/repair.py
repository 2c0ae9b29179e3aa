"""Rebuilding, from the log and bit for bit, of records that the store has lost or that are older than the log.

Every record is recomputed as `reconcile` does it; only those that are not right are written, each over the very bytes
that were read. The log is read before the records: what is written meanwhile is ahead of it, never behind.
Memory: the log's, and one piece that is recomputed.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from features.record import BadRecord, loads
from features.usecase import UseCase
from features.usecase.expiry import expiries_ms
from pipeline.batch.backfill_basis import NOTHING, Basis
from pipeline.bigquery.assessment_log import Log
from pipeline.files.history import Progress, quiet
from pipeline.reconciliation.compare import EXAMPLES, wrong_rows
from pipeline.reconciliation.damage import RIGHT, ImpliedRecord, RecordState, judge
from pipeline.reconciliation.recompute import (
    Engines,
    Recomputed,
    RecomputedEntity,
    recompute,
    recompute_entity,
)
from pipeline.stores.overwrite import replace
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.store import record_keys

GROUP = 1_000  # records read in one round trip


@dataclass(frozen=True)
class EntityReport:
    """Counts of the records of one entity, by state and by what was done."""

    findings: Mapping[str, int] = field(default_factory=Counter)
    examples: Mapping[str, Sequence[str]] = field(default_factory=dict)  # ids, by finding
    rebuilt: int = 0
    changed: int = 0  # written by somebody else in between, so not rebuilt
    inexact: int = 0  # not right, and not all of their events are in the log, so not rebuilt
    unlogged: int = 0  # records of which the log knows nothing: left alone

    @property
    def wrong(self) -> int:
        return sum(n for finding, n in self.findings.items() if finding not in RIGHT)


@dataclass
class Repair:
    """A walk through all records. With `write` those that are wrong are rebuilt.

    `best_effort` also rebuilds records whose events are not all in the log, from those that are.
    """

    use_case: UseCase
    log: Log  # in the order of customer and number, each assessment once
    store: RedisStore
    prefix: str
    basis: Basis = NOTHING
    now_us: int = 0
    write: bool = False
    best_effort: bool = False
    progress: Progress = quiet
    before_writing: Callable[[], None] = lambda: None  # raises when nothing may be written any more
    findings: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))  # by entity
    examples: dict[str, dict[str, list[str]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    counts: dict[str, Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )  # rebuilt, changed ...

    def run(self, engines: Engines) -> dict[str, EntityReport]:
        """Compare every record, rebuild what is wrong and return the counts by entity.

        Raises StoreUnavailable, BundleMismatch; BadEvent for a logged body.
        """
        subject, done = self.use_case.subject, 0
        others = {
            entity: recompute_entity(self.use_case, entity, self.log, self.basis)
            for entity in self.use_case.entities
            if entity != subject
        }
        for entity, other in others.items():
            self.mend(entity, self.implied_of_other(entity, other))
        for piece in recompute(self.use_case, engines, self.log, others, self.basis):
            self.mend(subject, self.implied_of_subject(piece))
            done += len(piece.seq)
            self.progress("recomputing", done, len(self.log))
        logged, before = set(self.log.texts("customer")), self.basis.of(subject)
        self.mend(subject, {id: ImpliedRecord(blob) for id, blob in before.items() if id not in logged})
        known = {entity: other.records.keys() for entity, other in others.items()}
        for entity, ids in (known | {subject: logged | before.keys()}).items():
            self.look_at_unlogged(entity, ids)
        return {entity: self.tally(entity) for entity in self.use_case.entities}

    def implied_of_subject(self, piece: Recomputed) -> dict[str, ImpliedRecord]:
        log = self.log.take(slice(piece.first, piece.first + len(piece.seq)))
        wrong = wrong_rows(piece, log, len(self.use_case.features))
        is_wrong = np.logical_or.reduce(list(wrong.values()))
        ids, made_us = log.texts("customer"), log.times_us("assessed_at")
        return implied(piece.records, ids, log.seq, piece.seq, made_us, is_wrong)

    def implied_of_other(self, entity: str, other: RecomputedEntity) -> dict[str, ImpliedRecord]:
        logged, ids = self.log.other_seqs(entity), self.log.other_ids(entity)
        made_us = self.log.times_us("assessed_at")
        return implied(other.records, ids, logged, other.seq, made_us, logged != other.seq)

    def mend(self, entity: str, records: Mapping[str, ImpliedRecord]) -> None:
        ids = list(records)
        for some in (ids[at : at + GROUP] for at in range(0, len(ids), GROUP)):
            self.mend_group(entity, {id: records[id] for id in some})

    def mend_group(self, entity: str, records: Mapping[str, ImpliedRecord]) -> None:
        keys, plan, states = (
            self.keys(entity, list(records)),
            self.use_case.plans[entity],
            self.findings[entity],
        )
        expiry_us = 1_000 * expiries_ms(self.use_case)[entity]
        stored = self.read(keys)
        wrong: list[tuple[bytes, bytes | None, bytes]] = []
        for (id, each), key, blob in zip(records.items(), keys, stored, strict=True):
            state = judge(plan, blob, each, self.now_us, expiry_us)
            states[state] += 1
            if state in RIGHT:
                continue
            self.note(entity, state, id)
            if each.exact or self.best_effort:
                wrong.append((key, blob, each.blob))
            else:
                self.counts[entity]["inexact"] += 1
        if wrong and self.write:
            self.rebuild(entity, wrong)

    def rebuild(self, entity: str, wrong: Sequence[tuple[bytes, bytes | None, bytes | None]]) -> None:
        self.before_writing()
        keys, seen, blobs = (list(column) for column in zip(*wrong, strict=True))
        written = replace(self.store, keys, seen, blobs, expiries_ms(self.use_case)[entity])
        self.counts[entity]["rebuilt"] += sum(written)
        self.counts[entity]["changed"] += len(written) - sum(written)

    def look_at_unlogged(self, entity: str, known: Container[str]) -> None:
        """Count the records of ids that the log does not know. They are left alone, unless nobody can read them."""
        stem = self.keys(entity, [""])[0]
        waiting: list[bytes] = []
        for key in self.store.scan(stem):
            if key[len(stem) :].decode(errors="replace") not in known:
                waiting.append(key)
            if len(waiting) == GROUP:
                self.look_at(entity, stem, waiting)
                waiting = []
        self.look_at(entity, stem, waiting)

    def look_at(self, entity: str, stem: bytes, keys: list[bytes]) -> None:
        unreadable: list[tuple[bytes, bytes | None, bytes | None]] = []
        for key, blob in zip(keys, self.read(keys), strict=True):
            try:
                if blob is not None:
                    loads(self.use_case.plans[entity], blob)
                    self.counts[entity]["unlogged"] += 1
            except BadRecord:
                self.findings[entity][RecordState.UNREADABLE] += 1
                self.note(entity, RecordState.UNREADABLE, key[len(stem) :].decode(errors="replace"))
                unreadable.append((key, blob, None))
        if unreadable and self.write:
            self.rebuild(entity, unreadable)

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Read the values under these keys; empty for one of another type, which is no record."""
        stored = self.store.read(keys)
        absent = [i for i, blob in enumerate(stored) if blob is None]
        for i, is_other in zip(absent, self.store.holds_other([keys[i] for i in absent]), strict=True):
            if is_other:
                stored[i] = b""
        return stored

    def keys(self, entity: str, ids: Sequence[str]) -> list[bytes]:
        return record_keys(self.prefix, self.use_case.name, self.use_case.fingerprint, entity, ids)

    def note(self, entity: str, state: RecordState, id: str) -> None:
        examples = self.examples[entity][state]
        if len(examples) < EXAMPLES:
            examples.append(id)

    def tally(self, entity: str) -> EntityReport:
        return EntityReport(dict(self.findings[entity]), dict(self.examples[entity]), **self.counts[entity])


def implied(
    records: Mapping[str, bytes],
    ids: Sequence[str],
    logged: NDArray[np.int64],
    recomputed: NDArray[np.int64],
    made_us: NDArray[np.int64],
    is_wrong: NDArray[np.bool_],
) -> dict[str, ImpliedRecord]:
    """Return the record that the log implies for each id; row i of the log belongs to the record `ids[i]`."""
    wrong = {ids[row] for row in np.flatnonzero(is_wrong).tolist()}
    numbers: dict[str, dict[int, int]] = {id: {} for id in wrong}
    for row in [row for row, id in enumerate(ids) if id in wrong] if wrong else []:
        numbers[ids[row]][int(recomputed[row])] = int(logged[row])
    written_us = latest(ids, made_us)
    return {
        id: ImpliedRecord(blob, id not in wrong, numbers.get(id, {}), written_us.get(id))
        for id, blob in records.items()
    }


def latest(ids: Sequence[str], times_us: NDArray[np.int64]) -> dict[str, int]:
    """Return the latest time of each id."""
    order = np.argsort(times_us, kind="stable").tolist()
    return dict(zip([ids[row] for row in order], times_us[order].tolist(), strict=True))
