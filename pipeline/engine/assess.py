"""Events in, assessments out: one read, one commit; the same function for the job, REST and batch scoring.

The effect of an event is idempotent and its outcome is stored with the state it belongs to. So events may be
assessed again at any time, after a lost race or a crash: what a record has already got answers as a
duplicate, with the vector as of itself.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Self

import numpy as np
from numpy.typing import NDArray

from export import bundle as bundles
from export.bundle import Bundle
from export.manifest import Manifest
from export.onnx import Scorer
from export.policy import Breaker, Policy, Transition, decide, transition
from export.reasons import medians
from features.advance import advance_all
from features.events import Batch, make_batch
from features.kernel import Advanced, Disposition
from features.record import BadRecord
from features.usecase import UseCase
from features.vector import vectors
from pipeline.engine import records
from pipeline.engine.challenger import Challenger, Shadow, policy_of, scorer_of
from pipeline.engine.records import Unreadable
from pipeline.engine.stand_in import StandIn
from pipeline.stores.store import RecordStore

Mask = NDArray[np.bool_]


@dataclass
class Engine:
    """Everything that assessing needs beside the events. One model; another is another engine.

    `breaker` counts the recommendations that this engine committed.
    """

    use_case: UseCase
    scorer: Scorer
    manifest: Manifest
    policy: Policy
    typical: NDArray[np.float32]  # [F] medians of the training data, which reasons are told against
    store: RecordStore
    prefix: str = "riskstream"
    breaker: Breaker = field(default_factory=Breaker)
    challenger: Challenger | None = None
    stand_in: StandIn | None = None  # of customers in files that the model has learned from

    @classmethod
    def of(cls, use_case: UseCase, bundle: Bundle, store: RecordStore, prefix: str = "riskstream") -> Self:
        """The engine of a bundle. Raises BundleMismatch if it is of another use case or cannot score."""
        bundles.check(bundle, use_case)
        policy = policy_of(use_case, bundle)
        typical = medians(bundle.reference, use_case.features)
        scorer = scorer_of(bundle)
        return cls(use_case, scorer, bundle.manifest, policy, typical, store, prefix, Breaker.of(policy))

    @property
    def model_version(self) -> str:
        return self.manifest.id


@dataclass(frozen=True)
class Assessments:
    """What is said about the n events of a batch, in their order.

    Rows with disposition TOO_LATE are rejects: they were counted nowhere. So are those of `unreadable`, an entity of
    which has a record that cannot be read; their disposition is ABSENT. A row of `vectors` is NaN where the
    event is not scored or is refused, and for a duplicate whose vector cannot be made again (not `exact`).
    """

    batch: Batch
    vectors: NDArray[np.float32]  # [n, F]
    score: NDArray[np.float32]  # [n] NaN: not scored
    score_level: NDArray[np.uint8]  # [n] what the score reaches alone, by the model's thresholds
    outcome: NDArray[np.uint8]  # [n] bits as export.policy.rules: level before, level after, transition
    seq: NDArray[np.int64]  # [n] the event's number in the subject's record; 0: rejected
    other_seqs: Mapping[str, NDArray[np.int64]]  # by entity; 0: the event has none, or it is forgotten
    disposition: NDArray[np.uint8]  # [n] Disposition in the subject's record
    exact: Mask  # [n] the vector can be rebuilt from the log
    conflicts: int  # events assessed again because another worker had written first
    model_version: str
    fingerprint: str
    seconds: Mapping[str, float]  # spent in each stage
    unreadable: Mapping[int, Unreadable] = field(
        default_factory=dict
    )  # by event: the record that cannot be read
    shadow: Shadow | None = None  # what the challenger says, if there is one

    @property
    def accepted(self) -> Mask:
        """[n] The events that were counted, now or before."""
        return (self.disposition != Disposition.TOO_LATE) & (self.disposition != Disposition.ABSENT)


@dataclass(frozen=True)
class _Attempt:
    """The columns of Assessments, and which events are settled: their records are written or need not be."""

    vectors: NDArray[np.float32]
    score: NDArray[np.float32]
    outcome: NDArray[np.uint8]
    seq: NDArray[np.int64]
    other_seqs: dict[str, NDArray[np.int64]]
    disposition: NDArray[np.uint8]
    exact: Mask
    settled: Mask
    unreadable: dict[int, Unreadable]

    def copy_rows(self, to: NDArray[np.intp], source: Self, rows: NDArray[np.intp]) -> None:
        """What is said about `rows` of another attempt, said about `to` of this one."""
        for name in ("vectors", "score", "outcome", "seq", "disposition", "exact", "settled"):
            getattr(self, name)[to] = getattr(source, name)[rows]
        for entity, seqs in self.other_seqs.items():
            seqs[to] = source.other_seqs[entity][rows]
        again = {int(to[i]): source.unreadable[r] for i, r in enumerate(rows) if r in source.unreadable}
        self.unreadable.update(again)


class _Stopwatch(dict[str, float]):
    """Seconds by stage."""

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        began_s = perf_counter()
        yield
        self[stage] = self.get(stage, 0.0) + perf_counter() - began_s


def assess(engine: Engine, batch: Batch, strict: bool = False) -> Assessments:
    """Apply the events to their records, score and judge them. Returns when all of it is stored.

    Events with an entity whose record cannot be read are set aside, and all others go on; if `strict`, BadRecord is
    raised instead. Raises StoreUnavailable; then do
    the whole batch again once the store is back.
    """
    watch, conflicts = _Stopwatch(), 0
    whole = _attempt(engine, batch, watch)
    _refuse(whole.unreadable, strict)
    open_rows = np.flatnonzero(~whole.settled)
    while len(open_rows):  # whoever came first has settled: each time round, somebody gets on
        conflicts += 0 if whole.unreadable else len(open_rows)
        again = _attempt(engine, _part(batch, open_rows), watch)
        _refuse(again.unreadable, strict)
        whole.copy_rows(open_rows, again, np.arange(len(open_rows)))
        open_rows = open_rows[~again.settled]
    shadow = _in_shadow(engine, batch, whole, watch)
    return Assessments(
        batch=batch,
        **{name: column for name, column in vars(whole).items() if name != "settled"},
        score_level=engine.policy.reached(whole.score),
        conflicts=conflicts,
        model_version=engine.model_version,
        fingerprint=engine.use_case.fingerprint,
        seconds=watch,
        shadow=shadow,
    )


def _refuse(unreadable: Mapping[int, Unreadable], strict: bool) -> None:
    """Raises BadRecord, naming the key, for whoever must not go on without any event."""
    if strict and unreadable:
        record = next(iter(unreadable.values()))
        raise BadRecord(
            f"key {record.key.decode(errors='replace')}: {record}; run `riskstream repair`, or delete the key if it is "
            "nobody's record; then run this again, and it goes on here"
        )


def _in_shadow(engine: Engine, batch: Batch, whole: _Attempt, watch: _Stopwatch) -> Shadow | None:
    """The challenger on all that has a score and a vector: the first time, or again (the REST service was first).

    All is stored already: it can do no harm but take time.
    """
    challenger = engine.challenger  # read once: another thread may exchange it
    if challenger is None:
        return None
    with watch("shadow"):
        is_known = whole.exact | (whole.disposition == Disposition.APPLIED)
        wanted = is_known & ~np.isnan(whole.score)
        return challenger.asked(whole.vectors, wanted)


def _part(batch: Batch, rows: NDArray[np.intp]) -> Batch:
    events = [(batch.types[i], batch.events[i]) for i in rows]
    return make_batch(batch.use_case, events, batch.published_us[rows])


def _attempt(engine: Engine, batch: Batch, watch: _Stopwatch) -> _Attempt:
    """Everything once."""
    with watch("read"):
        keys = records.keys_of(engine.prefix, batch)
        found = records.read(engine.store, keys)
    try:
        with watch("advance"):
            advanced = advance_all(batch, found)
    except BadRecord:
        return _set_aside(batch, records.unreadable(batch, keys, found))
    with watch("vectors"):
        columns = vectors(batch, {entity: one.raw for entity, one in advanced.items()})
    subject = advanced[batch.use_case.subject]
    with watch("score"):
        score = _score(engine, batch, columns, batch.scored & (subject.disposition == Disposition.APPLIED))
    with watch("decide"):
        outcome = _decide(engine, batch, subject, score)
        subject.store_outcomes(score, outcome)
    with watch("commit"):
        settled = records.commit(engine.store, batch, keys, advanced)
        _count_recommendations(engine, batch, outcome, settled)
    attempt = _Attempt(
        vectors=columns,
        score=score,
        outcome=outcome,
        seq=subject.seq,
        other_seqs={entity: one.seq for entity, one in advanced.items() if one is not subject},
        disposition=subject.disposition,
        exact=records.exact_rows(batch, advanced),
        settled=settled,
        unreadable={} if settled.all() else records.of_other_type(engine.store, batch, keys, found, ~settled),
    )
    _answer_duplicates(attempt, subject)
    records.note_unsound(attempt.unreadable, batch, keys, subject)
    _blank(attempt, batch)
    _drop(attempt)
    return attempt


def _set_aside(batch: Batch, unreadable: dict[int, Unreadable]) -> _Attempt:
    """Nothing is done but that these events are out of the way; the others are to be done again."""
    n, others = len(batch), (entity for entity in batch.arrivals if entity != batch.use_case.subject)
    attempt = _Attempt(
        vectors=np.full((n, len(batch.use_case.features)), np.nan, np.float32),
        score=np.full(n, np.nan, np.float32),
        outcome=np.zeros(n, np.uint8),
        seq=np.zeros(n, np.int64),
        other_seqs={entity: np.zeros(n, np.int64) for entity in others},
        disposition=np.zeros(n, np.uint8),
        exact=np.zeros(n, np.bool_),
        settled=np.zeros(n, np.bool_),
        unreadable=unreadable,
    )
    _drop(attempt)
    return attempt


def _drop(attempt: _Attempt) -> None:
    """Nothing is said about events whose records cannot be read, and nothing more is done about them."""
    rows = list(attempt.unreadable)
    if not rows:
        return
    attempt.vectors[rows] = attempt.score[rows] = np.nan
    attempt.outcome[rows] = attempt.seq[rows] = 0
    attempt.disposition[rows] = Disposition.ABSENT
    attempt.exact[rows], attempt.settled[rows] = False, True
    for seqs in attempt.other_seqs.values():
        seqs[rows] = 0


def _score(engine: Engine, batch: Batch, found: NDArray[np.float32], wanted: Mask) -> NDArray[np.float32]:
    score = np.full(len(found), np.nan, np.float32)
    score[wanted] = engine.scorer.score(found if wanted.all() else found[wanted])
    if engine.stand_in is not None:
        theirs = wanted & engine.stand_in.rows(batch)
        score[theirs] = engine.stand_in.scorer.score(found[theirs])
    return score


def _decide(engine: Engine, batch: Batch, subject: Advanced, score: NDArray[np.float32]) -> NDArray[np.uint8]:
    return decide(
        engine.policy,
        subject.status,
        batch.arrivals[batch.use_case.subject].record,
        score,
        batch.time_us,
        evidence=subject.events,
        applied=subject.disposition == Disposition.APPLIED,
        overrides=batch.override,
        breaker=engine.breaker,
    )


def _count_recommendations(engine: Engine, batch: Batch, outcome: NDArray[np.uint8], settled: Mask) -> None:
    made = settled & (transition(outcome) == Transition.RECOMMENDED)
    if made.any():
        engine.breaker = engine.breaker.after(batch.time_us[made])


def _answer_duplicates(attempt: _Attempt, subject: Advanced) -> None:
    """A duplicate of an earlier batch gets the stored outcome, one within the batch that of the first."""
    known = np.flatnonzero((subject.disposition == Disposition.DUPLICATE) & (subject.original < 0))
    attempt.score[known] = subject.stored_score[known]
    attempt.outcome[known] = subject.stored_outcome[known]
    repeated = np.flatnonzero(subject.original >= 0)
    attempt.copy_rows(repeated, attempt, subject.original[repeated].astype(np.intp))
    attempt.disposition[repeated] = Disposition.DUPLICATE


def _blank(attempt: _Attempt, batch: Batch) -> None:
    """No vector where none was asked for, the event is refused, or its vector is no longer known."""
    is_known = attempt.exact | (attempt.disposition == Disposition.APPLIED)
    blank = ~batch.scored | ~is_known | (attempt.disposition == Disposition.TOO_LATE)
    attempt.vectors[blank] = np.nan
