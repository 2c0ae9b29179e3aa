"""Events in, assessments out: read, advance, score, decide, commit; the same function for the job, REST and batches.

The effect of an event is idempotent, and its outcome is stored with the state that it belongs to. So events may be
assessed again at any time, after a lost race or a crash: an event that a record already has is answered as a
duplicate, with the vector as of itself.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from features.events import Batch
from features.kernel import Advanced, Disposition
from features.record import BadRecord
from pipeline.engine import unreadable
from pipeline.engine.assessments import Assessments, Attempt
from pipeline.engine.challenger import Shadow
from pipeline.engine.engine import Engine
from pipeline.engine.unit_of_work import UnitOfWork
from pipeline.engine.unreadable import UnreadableRecord
from pipeline.owners.answers import OwnerAnswers


class _Stopwatch(dict[str, float]):
    """Seconds by stage."""

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        began_s = perf_counter()
        yield
        self[stage] = self.get(stage, 0.0) + perf_counter() - began_s


@dataclass(frozen=True)
class Prepared:
    """A batch that an engine has read, advanced and scored. Nothing of it is decided or written yet."""

    engine: Engine
    work: UnitOfWork
    stage: _Stopwatch
    vectors: NDArray[np.float32] | None = None  # None: a record cannot be unpacked
    score: NDArray[np.float32] | None = None


def assess(
    engine: Engine, batch: Batch, strict: bool = False, prepared: Prepared | None = None
) -> Assessments:
    """Apply the events to their records, score them and decide; return when all of it is stored.

    Events with an entity whose record cannot be read are set aside and all others go on; if `strict`, BadRecord is
    raised instead. What the engine has `prepared` of this batch is not done again, except for records that were
    written since. Raises StoreUnavailable: assess the whole batch again once the store is back.
    """
    prepared, conflicts = prepared or prepare(engine, batch), 0
    stage = prepared.stage
    events = _complete(prepared)
    _refuse(events.unreadable, strict)
    attempt, open_rows = events, np.flatnonzero(~events.settled)
    while len(open_rows):  # whoever wrote first has settled, so each round settles some events
        conflicts += 0 if events.unreadable else len(open_rows)
        rows = np.flatnonzero(~attempt.settled)
        known = {entity: each.again(rows) for entity, each in prepared.work.answers.items()}
        prepared = prepare(engine, batch.take(open_rows), stage, known)
        attempt = _complete(prepared)
        _refuse(attempt.unreadable, strict)
        events.copy_rows(open_rows, attempt, np.arange(len(open_rows)))
        open_rows = open_rows[~attempt.settled]
    if engine.owners and len(batch):
        engine.owners.note_losses(conflicts / len(batch))
    shadow = _shadow(engine, events, stage)
    return Assessments(
        **{name: column for name, column in vars(events).items() if name != "settled"},
        has_vector=events.has_vector,
        score_level=engine.policy.reached(events.score),
        conflicts=conflicts,
        model_version=engine.model_version,
        fingerprint=engine.use_case.fingerprint,
        seconds=stage,
        shadow=shadow,
    )


def prepare(
    engine: Engine,
    batch: Batch,
    stage: _Stopwatch | None = None,
    answers: Mapping[str, OwnerAnswers] = MappingProxyType({}),
) -> Prepared:
    """Read, advance and score a batch, with what owners of its records have answered before.

    Nothing changes but what owners count, so a batch without owners may be prepared while another one is committed.
    Raises StoreUnavailable.
    """
    stage = _Stopwatch() if stage is None else stage
    with stage("read"):
        work = UnitOfWork.read(engine.store, engine.prefix, batch, engine.owners, answers)
    try:
        subject = _advance(work, stage)
    except BadRecord:
        return Prepared(engine, work, stage)
    with stage("vectors"):
        vectors = work.vectors()
    with stage("score"):
        score = engine.score(batch, vectors, batch.scored & subject.is_new)
    return Prepared(engine, work, stage, vectors, score)


def _complete(prepared: Prepared) -> Attempt:
    """Decide what is prepared, and commit it once."""
    engine, work, stage = prepared.engine, prepared.work, prepared.stage
    batch, vectors, score = work.batch, prepared.vectors, prepared.score
    if vectors is None or score is None:
        return Attempt.set_aside(batch, unreadable.not_unpacked(work))
    subject = work.subject
    with stage("decide"):
        outcome = engine.decide(batch, subject, score)
        subject.store_outcomes(score, outcome)
    with stage("commit"):
        settled = work.commit()
        engine.count_recommendations(batch, outcome, settled)
    attempt = Attempt(
        batch=batch,
        vectors=vectors,
        score=score,
        outcome=outcome,
        seq=subject.seq,
        other_seqs=work.other_seqs(),
        disposition=subject.disposition,
        exact=work.exact(),
        unreadable={} if settled.all() else unreadable.of_other_type(work, ~settled),
        settled=settled,
    )
    _answer_duplicates(attempt, work)
    attempt.vectors[~attempt.has_vector] = np.nan
    attempt.clear_unreadable()
    return attempt


def _advance(work: UnitOfWork, stage: _Stopwatch) -> Advanced:
    """Advance all records, or have their owners do so; return the subjects' part. Raises BadRecord."""
    with stage("advance"):
        work.advance_subject()
    if work.owners:
        with stage("owners"):
            work.ask_owners()
    with stage("advance"):
        work.advance_others()
    return work.subject


def _answer_duplicates(attempt: Attempt, work: UnitOfWork) -> None:
    """Give a duplicate of an earlier batch the stored outcome, and one within the batch that of the first."""
    subject = work.subject
    stored = np.flatnonzero(subject.is_stored)
    attempt.score[stored] = subject.stored_score[stored]
    attempt.outcome[stored] = subject.stored_outcome[stored]
    repeated = np.flatnonzero(subject.is_repeated)
    attempt.copy_rows(repeated, attempt, subject.original[repeated].astype(np.intp))
    attempt.disposition[repeated] = Disposition.DUPLICATE
    attempt.unreadable.update(unreadable.with_impossible_outcome(work))


def _refuse(records: Mapping[int, UnreadableRecord], strict: bool) -> None:
    """Raise BadRecord, naming the key, if the caller goes on only with all events."""
    if strict and records:
        record = next(iter(records.values()))
        raise BadRecord(
            f"key {record.key.decode(errors='replace')}: {record}; run `riskstream repair`, or delete the key if it is "
            "nobody's record; then run this again, and it goes on here"
        )


def _shadow(engine: Engine, events: Attempt, stage: _Stopwatch) -> Shadow | None:
    """Return the challenger's scores of all events with a score and a vector, also of those that came before.

    All is stored already: the challenger can do no harm but take time.
    """
    challenger = engine.challenger  # read once: another thread may exchange it
    if challenger is None:
        return None
    with stage("shadow"):
        return challenger.score(events.vectors, events.has_vector & ~np.isnan(events.score))
