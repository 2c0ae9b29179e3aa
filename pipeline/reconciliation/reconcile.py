"""Reconciliation of a drained stream: messages published, rows in BigQuery and records in the store.

Each invariant counts what is wrong and shows some of it. Records and results are compared bit for bit with those
recomputed from the log (recompute.py). Reconcile only when nothing is under way.
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
from pipeline.reconciliation.compare import (
    Invariant,
    LogComparison,
    bitwise_equal,
    describe_row,
    invariant,
    invariant_of_rows,
)
from pipeline.reconciliation.published import EventKey, PublishedMessages
from pipeline.reconciliation.recompute import Engines
from pipeline.runtime.metrics import OF_EVENTS
from pipeline.stores.store import MemoryStore, RecordStore

COUNT = "SELECT COUNT(*) FROM `{view}` WHERE use_case = @use_case{features}"


@dataclass(frozen=True)
class Reconciliation:
    """Result of a reconciliation.

    `without_vector` counts scored events known only as duplicates that came too late for a vector.
    """

    use_case: str
    fingerprint: str
    messages: int | None  # published; None: not known
    events: int  # assessed, each once
    rows: int  # of the table, copies included
    without_vector: int
    dead_letters: Mapping[str, int]  # by reason, each once
    records: int
    checks: tuple[Invariant, ...]
    holds: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "holds", all(invariant.holds for invariant in self.checks))


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
    """Compare the log, the dead letters and the records with each other and with what was `sent`.

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
    compared = LogComparison(use_case, log, store, prefix, now_us, basis)
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
    """Return the rows that the view shows, by customer and number, and for each row of the log its place among them.

    The view shows one row for each event and number.
    """
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
) -> Iterator[Invariant]:
    """Compare what was published with what became of it."""
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
    yield invariant("every event published is one assessment or a dead letter", len(sent.events), lost)
    mislabelled = (
        f"message {message}: found {dead.get(message, 'no dead letter')}, expected a dead letter {reason}"
        for message, reason in sent.unusable.items()
        if dead.get(message) != reason
    )
    yield invariant(
        "every message that is no event is a dead letter with its reason", len(sent.unusable), mislabelled
    )
    unknown = (f"{event}: never published" for event in assessed if event not in sent.events)
    yield invariant("everything assessed was published", len(assessed), unknown)
    usable = {message for messages in sent.events.values() for message in messages}
    wrongly = (
        f"message {message}: {reason}, "
        + ("but it is an event" if message in usable else "but it was never published")
        for message, reason in dead.items()
        if (message in usable and reason not in OF_EVENTS)
        or (message not in usable and message not in sent.unusable)
    )
    yield invariant("every dead letter was published and deserves its reason", len(dead), wrongly)


def _view(project: str, dataset: str, use_case: UseCase, table: Table, expected: int) -> Invariant:
    """Check that the view that readers use has as many rows as there are."""
    features = " AND fingerprint = @fingerprint" if "fingerprint" in table.unique_by else ""
    query = COUNT.format(view=f"{project}.{dataset}.{table.view}", features=features)
    values = {"use_case": use_case.name, "fingerprint": use_case.fingerprint}
    parameters = [ScalarQueryParameter(name, "STRING", value) for name, value in values.items()]
    config = QueryJobConfig(query_parameters=parameters[: 2 if features else 1])
    ((count,),) = query_client(project).query_and_wait(query, job_config=config)
    wrong = []
    if count != expected:
        wrong = [f"found {count} rows, expected {expected}; an older view is replaced by `riskstream tables`"]
    return invariant(f"{table.view} has each of them once", expected, wrong)


def _one_number(log: Log) -> Invariant:
    """Check that an event has one number. Without a time in its body, it is another event at another time."""
    event, time_us = log.codes(*EventKey._fields), log.times_us("event_time")
    by = np.lexsort((time_us, event))
    again = np.zeros(len(log), np.bool_)
    again[by[1:]] = (np.diff(event[by]) == 0) & (np.diff(time_us[by]) == 0)
    return invariant_of_rows(
        "every event has one number in one record", again, lambda row: describe_row(log, row)
    )


def _copies_agree(raw: Log, order: NDArray[np.intp], place: NDArray[np.intp], features: int) -> Invariant:
    """Check that rows of the same event and number agree, vectors as far as they have one."""
    shown = order[place]
    is_wrong = ~bitwise_equal(raw.score, raw.score[shown]) | (raw.outcome != raw.outcome[shown])
    both = np.flatnonzero((shown != np.arange(len(raw))) & raw.has_vector & raw.has_vector[shown])
    is_same = bitwise_equal(raw.vectors(both, features), raw.vectors(shown[both], features))
    is_wrong[both] |= ~is_same.all(axis=1)
    return invariant_of_rows("repeated rows say the same", is_wrong, lambda row: describe_row(raw, row))


def _without_gaps(use_case: UseCase, log: Log, basis: Mapping[str, bytes]) -> Invariant:
    """Check that numbers go on from those of the basis; an event that it has may come again, as a duplicate.

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
    return invariant_of_rows(
        "a customer's events are numbered from 1 without gaps", is_wrong, lambda row: describe_row(log, row)
    )


def _vector_missing(use_case: UseCase, log: Log) -> Invariant:
    scored = {name for name, kind in use_case.event_types.items() if kind.scored}
    should = np.array([kind in scored for kind in log.texts("event_type")], np.bool_)
    is_wrong = should & ~log.has_vector & ~log.is_duplicate
    return invariant_of_rows(
        "only a duplicate may be without a vector", is_wrong, lambda row: describe_row(log, row)
    )


def engines(use_case: UseCase, root: str) -> Engines:
    """Return a function from a model's id to its engine. `root` is a folder of bundles, or one bundle.

    The function raises BundleMismatch.
    """

    @lru_cache
    def engine(model: str) -> Engine:
        bundle = bundles.load(root) if bundles.is_bundle(root) else None
        if bundle is None or bundle.manifest.id != model:
            bundle = bundles.load(storage.join(root, model))
        return Engine.from_bundle(use_case, bundle, MemoryStore())

    return engine
