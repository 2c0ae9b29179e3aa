"""Whether everything adds up once a stream has been drained: what was published, what BigQuery says, what is stored.

Each check counts what is wrong and shows some of it. The records and results are held against a retracing of
the log (retrace.py) bit for bit. Ask only when nothing is under way.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from google.cloud.bigquery import QueryJobConfig, ScalarQueryParameter
from numpy.typing import NDArray

from export import bundle as bundles
from export import storage
from features.record import seq_of
from features.usecase import UseCase
from pipeline.batch.backfill_basis import NOTHING, Basis
from pipeline.bigquery.assessment_log import Log, read_dead_letters, read_log
from pipeline.bigquery.client import query_client
from pipeline.bigquery.schemas import ASSESSMENTS, DEAD_LETTERS, Table
from pipeline.engine.engine import Engine
from pipeline.reconciliation.compare import Check, Comparison, check, check_rows, named, same
from pipeline.reconciliation.published import EventKey, PublishedMessages
from pipeline.reconciliation.recompute import Engines
from pipeline.runtime.metrics import OF_EVENTS
from pipeline.stores.store import MemoryStore, RecordStore

COUNT = "SELECT COUNT(*) FROM `{view}` WHERE use_case = @use_case{features}"


@dataclass(frozen=True)
class Reconciliation:
    """What was found. `without_vector` are scored events known only as duplicates that came too late for one."""

    use_case: str
    fingerprint: str
    messages: int | None  # published; None: not told
    events: int  # assessed, each once
    rows: int  # of the table, copies included
    without_vector: int
    dead_letters: Mapping[str, int]  # by reason, each once
    records: int
    checks: tuple[Check, ...]
    holds: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "holds", all(check.holds for check in self.checks))


def reconcile(
    use_case: UseCase,
    *,
    project: str,
    dataset: str,
    bundle: str,
    store: RecordStore,
    prefix: str = "riskstream",
    sent: PublishedMessages | None = None,
    basis: Basis = NOTHING,
    now_us: int | None = None,
) -> Reconciliation:
    """Hold the log, the dead letters and the records against each other and against what was `sent`.

    `bundle` is the job's: the models of the log must be in that root. `basis` is what a backfill left before. A record
    may be missing if the store could have dropped it by `now_us` (default: the clock's), because it was forgotten.
    Raises BundleMismatch, StoreUnavailable, SinkRefused, GoogleAPICallError; BadEvent for a logged body that is no
    event.
    """
    raw = read_log(project, dataset, use_case)
    letters = {
        (each["message_id"], each["reason"]): each for each in read_dead_letters(project, dataset, use_case)
    }
    order, first = first_copies(raw)
    log = raw.take(order)
    checks = [
        *_published(sent, log, list(letters.values())),
        _view(project, dataset, use_case, ASSESSMENTS, len(log)),
        _view(project, dataset, use_case, DEAD_LETTERS, len(letters)),
        _one_number(log),
        _copies_agree(raw, order, first, len(use_case.features)),
        _without_gaps(use_case, log, basis.of(use_case.subject)),
        _vector_missing(use_case, log),
    ]
    now_us = time.time_ns() // 1_000 if now_us is None else now_us
    compared = Comparison(use_case, log, store, prefix, now_us, basis)
    compared.run(engines(use_case, bundle))
    return Reconciliation(
        use_case=use_case.name,
        fingerprint=use_case.fingerprint,
        messages=sent.messages if sent else None,
        events=len(log),
        rows=len(raw),
        without_vector=int((~log.has_vector & ~np.isnan(log.score)).sum()),
        dead_letters=dict(sorted(Counter(reason for _, reason in letters).items())),
        records=compared.records,
        checks=(*checks, *compared.checks()),
    )


def first_copies(raw: Log) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Of each event and number the row that the view shows, by customer and number; for each row, its place there."""
    event = raw.codes(*EventKey._fields)
    by = np.lexsort((raw.times_us("assessed_at"), raw.repeats, ~raw.has_vector, raw.seq, event))
    is_first = (np.diff(event[by], prepend=-1) != 0) | (np.diff(raw.seq[by], prepend=-1) != 0)
    best, group = by[is_first], np.empty(len(raw), np.intp)
    group[by] = np.cumsum(is_first) - 1
    order = np.lexsort((raw.seq[best], raw.codes("customer")[best]))
    place = np.empty(len(order), np.intp)
    place[order] = np.arange(len(order))
    return best[order], place[group]


def _published(
    sent: PublishedMessages | None, log: Log, letters: Sequence[Mapping[str, str]]
) -> Iterator[Check]:
    """What was published against what was said about it."""
    if sent is None:
        return
    names = (log.texts(column) for column in EventKey._fields)
    assessed = set(map(EventKey._make, zip(*names, strict=True)))
    dead = {letter["message_id"]: letter["reason"] for letter in letters}
    lost = (
        f"{event}: neither assessed nor a dead letter"
        for event, messages in sent.events.items()
        if event not in assessed and not any(message in dead for message in messages)
    )
    yield check("every event published is one assessment or a dead letter", len(sent.events), lost)
    unsaid = (
        f"message {message}: found {dead.get(message, 'no dead letter')}, expected a dead letter {reason}"
        for message, reason in sent.unusable.items()
        if dead.get(message) != reason
    )
    yield check("every message that is no event is a dead letter with its reason", len(sent.unusable), unsaid)
    unknown = (f"{event}: never published" for event in assessed if event not in sent.events)
    yield check("everything assessed was published", len(assessed), unknown)
    usable = {message for messages in sent.events.values() for message in messages}
    wrongly = (
        f"message {message}: {reason}, "
        + ("but it is an event" if message in usable else "but it was never published")
        for message, reason in dead.items()
        if (message in usable and reason not in OF_EVENTS)
        or (message not in usable and message not in sent.unusable)
    )
    yield check("every dead letter was published and deserves its reason", len(dead), wrongly)


def _view(project: str, dataset: str, use_case: UseCase, table: Table, expected: int) -> Check:
    """The view that readers use has as many rows as there are."""
    features = " AND fingerprint = @fingerprint" if "fingerprint" in table.unique_by else ""
    query = COUNT.format(view=f"{project}.{dataset}.{table.view}", features=features)
    values = {"use_case": use_case.name, "fingerprint": use_case.fingerprint}
    parameters = [ScalarQueryParameter(name, "STRING", value) for name, value in values.items()]
    config = QueryJobConfig(query_parameters=parameters[: 2 if features else 1])
    ((found,),) = query_client(project).query_and_wait(query, job_config=config)
    wrong = []
    if found != expected:
        wrong = [f"found {found} rows, expected {expected}; an older view is replaced by `riskstream tables`"]
    return check(f"{table.view} has each of them once", expected, wrong)


def _one_number(log: Log) -> Check:
    """An event without a time of its own is another event when it comes again with another time."""
    event, time_us = log.codes(*EventKey._fields), log.times_us("event_time")
    by = np.lexsort((time_us, event))
    again = np.zeros(len(log), np.bool_)
    again[by[1:]] = (np.diff(event[by]) == 0) & (np.diff(time_us[by]) == 0)
    return check_rows("every event has one number in one record", again, lambda row: named(log, row))


def _copies_agree(raw: Log, order: NDArray[np.intp], place: NDArray[np.intp], features: int) -> Check:
    """Rows of the same event and number say the same, vectors as far as they have one."""
    shown = order[place]
    is_wrong = ~same(raw.score, raw.score[shown]) | (raw.outcome != raw.outcome[shown])
    both = np.flatnonzero((shown != np.arange(len(raw))) & raw.has_vector & raw.has_vector[shown])
    is_same = same(raw.vectors(both, features), raw.vectors(shown[both], features))
    is_wrong[both] |= ~is_same.all(axis=1)
    return check_rows("repeated rows say the same", is_wrong, lambda row: named(raw, row))


def _without_gaps(use_case: UseCase, log: Log, basis: Mapping[str, bytes]) -> Check:
    """Numbers go on from those of the basis; an event that it has may come again, as a duplicate.

    They start at 1; with `forget_after`, at the time of the first event wherever a record begins anew.
    """
    customers = log.texts("customer")
    before = {id: seq_of(basis[id]) for id in dict.fromkeys(customers) if id in basis}
    last = np.array([before.get(customer, 0) for customer in customers], np.int64)
    is_new = log.seq > last
    follows = (np.diff(log.codes("customer"), prepend=-1) == 0) & np.append(False, is_new[:-1])
    previous = np.where(follows, np.append(0, log.seq[:-1]), last)
    expected = previous + 1
    if use_case.plans[use_case.subject].forget_us:
        begun = np.maximum(log.times_us("event_time"), 0) + 1
        expected = np.where((previous == 0) | (log.seq == begun), begun, expected)
    is_wrong = np.where(is_new, log.seq != expected, ~log.is_duplicate)
    return check_rows(
        "a customer's events are numbered from 1 without gaps", is_wrong, lambda row: named(log, row)
    )


def _vector_missing(use_case: UseCase, log: Log) -> Check:
    scored = {name for name, kind in use_case.event_types.items() if kind.scored}
    should = np.array([kind in scored for kind in log.texts("event_type")], np.bool_)
    is_wrong = should & ~log.has_vector & ~log.is_duplicate
    return check_rows("only a duplicate may be without a vector", is_wrong, lambda row: named(log, row))


def engines(use_case: UseCase, root: str) -> Engines:
    """Engines of the models in a folder of bundles, or of the one bundle, by id. Raise BundleMismatch."""

    @lru_cache
    def engine(model: str) -> Engine:
        found = bundles.load(root) if bundles.is_bundle(root) else None
        if found is None or found.manifest.id != model:
            found = bundles.load(storage.join(root, model))
        return Engine.of(use_case, found, MemoryStore())

    return engine
