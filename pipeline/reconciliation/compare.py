"""Comparison, bit for bit, of the log and the stored records with what the log implies; invariants and their report."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from features.record import seq_of
from features.usecase import UseCase
from features.usecase.expiry import expiries_ms
from pipeline.batch.backfill_basis import NOTHING, Basis
from pipeline.bigquery.assessment_log import Log
from pipeline.reconciliation.recompute import (
    Engines,
    Recomputed,
    RecomputedEntity,
    Records,
    recompute,
    recompute_entity,
)
from pipeline.stores.store import RecordStore, record_keys

EXAMPLES = 5  # shown of what is wrong


@dataclass(frozen=True)
class Invariant:
    """A property that must hold: `looked_at` cases, of which `wrong` are not as expected, some of them shown."""

    name: str
    looked_at: int
    wrong: int
    examples: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return self.wrong == 0


def report_lines(checks: Iterable[Invariant]) -> Iterator[str]:
    """Describe each invariant in a line, with examples of what is wrong."""
    for each in checks:
        count = f"{each.looked_at:,}" if each.holds else f"{each.wrong:,} of {each.looked_at:,}"
        yield f"{'ok' if each.holds else 'WRONG':<5}  {each.name} ({count})"
        yield from (f"         {example}" for example in each.examples)


def invariant(name: str, looked_at: int, wrong: Iterable[str]) -> Invariant:
    examples = iter(wrong)
    shown = tuple(islice(examples, EXAMPLES))
    return Invariant(name, looked_at, len(shown) + sum(1 for _ in examples), shown)


def invariant_of_rows(name: str, is_wrong: NDArray[np.bool_], describe: Callable[[int], str]) -> Invariant:
    rows = np.flatnonzero(is_wrong)
    return Invariant(name, len(is_wrong), len(rows), tuple(describe(int(row)) for row in rows[:EXAMPLES]))


def describe_row(log: Log, row: int) -> str:
    event = log.table.slice(row, 1).select(("customer", "seq", "event_type", "event_id")).to_pylist()[0]
    return f"customer {event['customer']}, number {event['seq']}, {event['event_type']} {event['event_id']}"


def bitwise_equal(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Compare bit for bit; NaN equals NaN, whatever its bits."""
    bits = [np.ascontiguousarray(side).view(np.int64) for side in (left, right)]
    is_equal: NDArray[np.bool_] = (bits[0] == bits[1]) | (np.isnan(left) & np.isnan(right))
    return is_equal


def wrong_rows(piece: Recomputed, log: Log, features: int) -> dict[str, NDArray[np.bool_]]:
    """Return, by kind of value, the rows of a piece of the log that differ from what was recomputed."""
    rows = np.flatnonzero(log.has_vector)
    vectors = np.zeros(len(log), np.bool_)
    logged = log.vectors(rows, features)
    vectors[rows] = ~bitwise_equal(logged, piece.vectors[rows].astype(np.float64)).all(axis=1)
    return {
        "vectors": vectors,
        "scores": ~bitwise_equal(log.score, piece.score.astype(np.float64)),
        "levels and transitions": log.outcome != piece.outcome,
        "numbers": log.seq != piece.seq,
    }


@dataclass
class LogComparison:
    """Comparison of the log and the stored records with what the log implies."""

    use_case: UseCase
    log: Log
    store: RecordStore
    prefix: str
    now_us: int
    basis: Basis = NOTHING
    records: int = 0
    looked_at: Counter[str] = field(default_factory=Counter)  # by check
    wrong: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    recent: dict[str, frozenset[str]] = field(default_factory=dict)  # by entity, once it is asked for

    def run(self, engines: Engines) -> None:
        others = {
            entity: recompute_entity(self.use_case, entity, self.log, self.basis)
            for entity in self.use_case.entities
            if entity != self.use_case.subject
        }
        for entity, other in others.items():
            self.compare_other(entity, other)
        for piece in recompute(self.use_case, engines, self.log, others, self.basis):
            self.compare(piece, self.log.take(slice(piece.first, piece.first + len(piece.seq))))
        logged, before = set(self.log.texts("customer")), self.basis.of(self.use_case.subject)
        self.compare_records(self.use_case.subject, {id: before[id] for id in before if id not in logged})

    def checks(self) -> list[Invariant]:
        return [
            Invariant(name, n, self.wrong[name], tuple(self.examples.get(name, ())))
            for name, n in self.looked_at.items()
        ]

    def compare(self, piece: Recomputed, log: Log) -> None:
        """Compare one piece of the log."""
        for name, is_wrong in wrong_rows(piece, log, len(self.use_case.features)).items():
            self.note(f"{name} are what the log implies", is_wrong, log)
        self.compare_records(self.use_case.subject, piece.records)

    def compare_other(self, entity: str, other: RecomputedEntity) -> None:
        is_wrong = self.log.other_seqs(entity) != other.seq
        self.note(f"numbers of {entity} are what the log implies", is_wrong, self.log)
        self.compare_records(entity, other.records)

    def note(self, name: str, is_wrong: NDArray[np.bool_], log: Log) -> None:
        """Count the rows of a log that are wrong."""
        self.looked_at[name] += len(is_wrong)
        for row in np.flatnonzero(is_wrong).tolist():
            self.note_wrong(name, partial(describe_row, log, row))

    def note_wrong(self, name: str, describe: Callable[[], str]) -> None:
        self.wrong[name] += 1
        if self.wrong[name] <= EXAMPLES:
            self.examples.setdefault(name, []).append(describe())

    def compare_records(self, entity: str, records: Records) -> None:
        name = f"records of {entity} equal a replay, byte by byte"
        self.looked_at[name] += len(records)
        self.records += len(records)
        use_case, ids = self.use_case, list(records)
        keys = record_keys(self.prefix, use_case.name, use_case.fingerprint, entity, ids)
        for id, stored in zip(ids, self.store.read(keys), strict=True):
            if stored != records[id] and not (stored is None and self.is_expired(entity, id)):
                self.note_wrong(name, partial(describe_record, entity, id, stored, records[id]))

    def is_expired(self, entity: str, id: str) -> bool:
        """Return True if the store may have dropped a record, because nothing has been written to it for so long."""
        if entity not in self.recent:
            self.recent[entity] = recently_written(self.use_case, entity, self.log, self.now_us)
        return expiries_ms(self.use_case)[entity] > 0 and id not in self.recent[entity]


def recently_written(use_case: UseCase, entity: str, log: Log, now_us: int) -> frozenset[str]:
    """Return the ids of an entity whose latest event was assessed within the time that the store keeps a record."""
    since_us = now_us - 1_000 * expiries_ms(use_case)[entity]
    if entity == use_case.subject:
        rows, ids = np.arange(len(log)), np.array(log.texts("customer"), object)
    else:
        rows, events = log.others(entity)
        ids = np.array(events.field("id").to_pylist(), object)
    return frozenset(ids[log.times_us("assessed_at")[rows] > since_us].tolist())


def describe_record(entity: str, id: str, stored: bytes | None, expected: bytes) -> str:
    return f"{entity} {id}: {difference(stored, expected)}"


def difference(stored: bytes | None, expected: bytes) -> str:
    """Describe how a stored record differs."""
    if stored is None:
        return "not in the store"
    if seq_of(stored) != seq_of(expected):
        numbers = [seq_of(record) for record in (stored, expected)]
        return f"found event number {numbers[0]} as the record's latest, expected {numbers[1]}"
    return f"found {len(stored)} bytes, expected {len(expected)}, of which some differ"
