"""The log run through the same kernel, scorer and policy again: the records and results that it implies.

It goes on from the records of a backfill (backfill_basis.py), or from nothing.

Each record is rebuilt from its own events in the order of its own numbers. That order is all a record depends
on; one order for all records at once need not exist, because concurrent workers may number two events of a
customer and a merchant differently. Memory: the log's, the other entities' columns, and one piece.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from export.policy import NO_BREAKER, Breaker, Transition, decide, terms, transition
from features.events import BadEvent, Batch, Event, decode_all, make_batch
from features.kernel import Advanced, Disposition, advance
from features.kernel.plan import EntityPlan
from features.record import Record, dumps
from features.usecase import UseCase
from features.vector import vectors
from pipeline.batch.backfill_basis import NOTHING, Basis
from pipeline.bigquery.assessment_log import Log
from pipeline.engine.engine import Engine

PIECE = 20_000  # events: some 100 MB while they are worked on
OPEN = Breaker((np.iinfo(np.int64).max,))  # holds every recommendation back

Engines = Callable[[str], Engine]  # by model version
Records = dict[str, bytes]  # by the entity's id; those of a basis and those that changed since


@dataclass(frozen=True)
class Recomputed:
    """Results recomputed for the log's rows `first` to `first + n`, and the records of their customers."""

    first: int
    vectors: NDArray[np.float32]  # [n, F]
    score: NDArray[np.float32]  # [n]
    outcome: NDArray[np.uint8]  # [n]
    seq: NDArray[np.int64]  # [n]
    records: Records


@dataclass(frozen=True)
class RecomputedEntity:
    """Features and records of another entity, recomputed over the whole log of n rows."""

    raw: NDArray[np.float64]  # [n, columns of the plan] NaN where the event has no such entity
    seq: NDArray[np.int64]  # [n] 0: it has none
    records: Records


def batch_of(use_case: UseCase, log: Log) -> Batch:
    """Decode the events of a log as they were assessed. Raises BadEvent for a body that is no event."""
    published_us, types = log.times_us("publish_time"), log.texts("event_type")
    bodies = [body.encode() for body in log.texts("body")]
    dated = np.datetime_as_string(log.times_us("event_time").astype("M8[us]"), timezone="UTC").tolist()
    events = decode_all(use_case.as_logged, types, bodies, published_us.tolist(), dated)
    bad = next((event for event in events if isinstance(event, BadEvent)), None)
    if bad is not None:
        raise bad
    return make_batch(use_case, list(zip(types, cast("list[Event]", events), strict=True)), published_us)


def recompute_entity(use_case: UseCase, entity: str, log: Log, basis: Basis = NOTHING) -> RecomputedEntity:
    """Recompute the records of an entity that is not the subject."""
    numbers, plan = log.other_seqs(entity), use_case.plans[entity]
    rows = np.flatnonzero(numbers)
    rows = rows[np.argsort(numbers[rows], kind="stable")]
    result = RecomputedEntity(
        np.full((len(log), plan.raw_columns), np.nan),
        np.zeros(len(log), np.int64),
        {**_numbered_from_1(plan, entity, log), **basis.of(entity)},
    )
    for some in (rows[at : at + PIECE] for at in range(0, len(rows), PIECE)):
        batch = batch_of(use_case, log.take(some))
        advanced = _advanced(batch, entity, result.records)
        result.raw[some], result.seq[some] = advanced.raw, advanced.seq
        result.records.update(_records(batch, entity, advanced))
    return result


def _numbered_from_1(plan: EntityPlan, entity: str, log: Log) -> Records:
    """Return empty records for those that an older program began, which numbered every record from 1."""
    if not plan.forget_us:
        return {}
    empty = dumps(plan, Record(0, 0, None, b"", False, (), (), (), ()))
    _, events = log.others(entity)
    return dict.fromkeys(events.field("id").filter(pc.equal(events.field("seq"), 1)).to_pylist(), empty)


def recompute(
    use_case: UseCase,
    engines: Engines,
    log: Log,
    others: Mapping[str, RecomputedEntity],
    basis: Basis = NOTHING,
) -> Iterator[Recomputed]:
    """Recompute the subjects' records and results, piece by piece, from a log in the order of customer and number."""
    before = basis.of(use_case.subject)
    for piece in pieces(log.codes("customer")):
        rows = log.take(piece)
        records = {id: before[id] for id in dict.fromkeys(rows.texts("customer")) if id in before}
        yield _recompute_piece(use_case, engines, rows, piece, others, records)


def pieces(customer: NDArray[np.int64]) -> Iterator[slice]:
    """Cut the rows into pieces of about PIECE; those of one customer stay together."""
    borders = np.append(np.flatnonzero(np.diff(customer)) + 1, len(customer))
    at = 0
    while at < len(customer):
        end = int(borders[min(int(np.searchsorted(borders, at + PIECE)), len(borders) - 1)])
        yield slice(at, end)
        at = end


def _recompute_piece(
    use_case: UseCase,
    engines: Engines,
    log: Log,
    piece: slice,
    others: Mapping[str, RecomputedEntity],
    records: Records,
) -> Recomputed:
    n = len(log)
    result = Recomputed(
        first=piece.start,
        vectors=np.full((n, len(use_case.features)), np.nan, np.float32),
        score=np.full(n, np.nan, np.float32),
        outcome=np.zeros(n, np.uint8),
        seq=np.zeros(n, np.int64),
        records=records,
    )
    is_limited = terms(use_case.policy, use_case.file).max_per_hour > 0
    for rows in steps(log, is_limited):
        step = log.take(rows)
        held = is_limited and transition(step.outcome)[0] != Transition.RECOMMENDED
        raw = {entity: other.raw[piece][rows] for entity, other in others.items()}
        _recompute_rows(
            engines(step.texts("model")[0]),
            OPEN if held else NO_BREAKER,
            batch_of(use_case, step),
            raw,
            rows,
            result,
        )
    return result


def steps(log: Log, is_limited: bool) -> Iterator[NDArray[np.intp]]:
    """Yield rows that one engine can go through at once; a customer's rows come in their order.

    The model is in the log. So is what the breaker did, which depends on everybody's recommendations and not
    on one customer's: where it is set, what was recommended and what was not are different steps.
    """
    kind = log.codes("model") * 2
    if is_limited:
        kind += transition(log.outcome) == Transition.RECOMMENDED
    is_first = np.diff(log.codes("customer"), prepend=-1) != 0
    switches = np.cumsum((np.diff(kind, prepend=-1) != 0) & ~is_first)
    turn = switches - np.maximum.accumulate(np.where(is_first, switches, 0))
    for one_turn, one_kind in sorted(set(zip(turn.tolist(), kind.tolist(), strict=True))):
        yield np.flatnonzero((turn == one_turn) & (kind == one_kind))


def _recompute_rows(
    engine: Engine,
    breaker: Breaker,
    batch: Batch,
    raw: Mapping[str, NDArray[np.float64]],
    rows: NDArray[np.intp],
    result: Recomputed,
) -> None:
    name = batch.use_case.subject
    subject = _advanced(batch, name, result.records)
    columns = vectors(batch, {**raw, name: subject.raw})
    applied = subject.disposition == Disposition.APPLIED
    known = subject.disposition == Disposition.DUPLICATE  # events that the basis has
    scored = batch.scored & applied
    score = np.full(len(batch), np.nan, np.float32)
    score[scored] = engine.scorer.score(columns[scored])
    outcome = decide(
        engine.policy, subject.status, batch.arrivals[name].record, score, batch.time_us,
        evidence=subject.events, applied=applied, overrides=batch.override, breaker=breaker,
    )  # fmt: skip
    subject.store_outcomes(score, outcome)
    score[known], outcome[known] = subject.stored_score[known], subject.stored_outcome[known]
    scored |= batch.scored & known
    result.vectors[rows[scored]] = columns[scored]
    result.score[rows], result.outcome[rows], result.seq[rows] = score, outcome, subject.seq
    result.records.update(_records(batch, name, subject))


def _advanced(batch: Batch, entity: str, records: Records) -> Advanced:
    arrivals = batch.arrivals[entity]
    return advance(batch.use_case.plans[entity], [records.get(id) for id in arrivals.ids], arrivals)


def _records(batch: Batch, entity: str, advanced: Advanced) -> Records:
    return dict(zip(batch.arrivals[entity].ids, advanced.blobs(), strict=True))
