"""Batch scoring: a history through the stream's own assess, in memory, and where each customer stands at its end.

So a customer's score and level are those that the stream would have come to with the same events and model, bit
for bit. Times are int64 microseconds since 1970 UTC.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from export.bundle import Bundle
from export.reasons import Reason, reasons
from export.reference import Reference
from features.kernel import Disposition
from features.kernel.codec import HEADER_BYTES, STATUS
from features.usecase import UseCase
from pipeline.assess import Assessments, Engine, assess
from pipeline.history import History, Progress, quiet
from pipeline.store import MemoryStore, record_keys

BATCH = 100_000  # events: in memory, records are packed less often
FEW = 20  # customers, who may well be alike in something
NEVER_US = np.iinfo(np.int64).min


@dataclass
class Standing:
    """What was seen of each of c customers, in the order of their first events."""

    width: int  # features
    rows: dict[str, int] = field(default_factory=dict)  # by customer
    events: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    scored: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    score: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))  # the last
    scored_us: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    highest: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    highest_us: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    vectors: NDArray[np.float32] = field(
        default_factory=lambda: np.zeros((0, 0), np.float32)
    )  # of the highest

    def add(self, said: Assessments) -> None:
        arrivals = said.batch.arrivals[said.batch.use_case.subject]
        own = np.array([self.rows.setdefault(id, len(self.rows)) for id in arrivals.ids], np.intp)
        self._grow()
        counted = np.flatnonzero(said.disposition == Disposition.APPLIED)
        np.add.at(self.events, own[arrivals.record[counted]], 1)
        scored = counted[~np.isnan(said.score[counted])]
        row = own[arrivals.record[scored]]
        np.add.at(self.scored, row, 1)
        self._note_last(said, scored, row)
        self._note_highest(said, scored, row)

    def _grow(self) -> None:
        more = len(self.rows) - len(self.events)
        fresh = {
            "events": 0,
            "scored": 0,
            "score": np.nan,
            "scored_us": NEVER_US,
            "highest": np.nan,
            "highest_us": NEVER_US,
        }
        for name, value in fresh.items():
            column = getattr(self, name)
            setattr(self, name, np.concatenate([column, np.full(more, value, column.dtype)]))
        before = self.vectors.reshape(-1, self.width)
        self.vectors = np.concatenate([before, np.full((more, self.width), np.nan, np.float32)])

    def _note_last(self, said: Assessments, scored: NDArray[np.intp], row: NDArray[np.intp]) -> None:
        """In the order of arrival, as levels are decided."""
        last, at = np.unique(row[::-1], return_index=True)
        event = scored[::-1][at]
        self.score[last], self.scored_us[last] = said.score[event], said.batch.time_us[event]

    def _note_highest(self, said: Assessments, scored: NDArray[np.intp], row: NDArray[np.intp]) -> None:
        """The first of the highest."""
        order = np.lexsort((-said.score[scored], row))
        best, at = np.unique(row[order], return_index=True)
        event = scored[order[at]]
        is_more = ~(said.score[event] <= self.highest[best])  # NaN: there was none
        best, event = best[is_more], event[is_more]
        self.highest[best], self.highest_us[best] = said.score[event], said.batch.time_us[event]
        self.vectors[best] = said.vectors[event]


@dataclass(frozen=True)
class Scored:
    """Where c customers stand after a history. `status` is features.record.STATUS [c]: level, recommendation, since.

    `score` is the last, `highest` the highest; NaN without a scored event. `vectors` [c, F] and `reasons` [c] are
    those of the highest score.
    """

    use_case: UseCase
    model: str
    thresholds: dict[str, float]  # the level is reached at these scores
    customers: list[str]
    events: NDArray[np.int64]
    scored: NDArray[np.int64]
    score: NDArray[np.float32]
    scored_us: NDArray[np.int64]
    highest: NDArray[np.float32]
    highest_us: NDArray[np.int64]
    status: NDArray[np.void]
    vectors: NDArray[np.float32]
    typical: NDArray[np.float32]  # [F] the medians that reasons are told against
    reasons: list[list[Reason]]
    flat: tuple[
        str, ...
    ]  # features that vary in training and not here: the files may lack what they are made of

    def __len__(self) -> int:
        return len(self.customers)


def score(use_case: UseCase, bundle: Bundle, history: History, progress: Progress = quiet) -> Scored:
    """Score a history's customers. Raises BundleMismatch when the bundle was trained for other features."""
    store = MemoryStore()
    engine = Engine.of(use_case, bundle, store)
    seen, done = Standing(len(use_case.features)), 0
    for batch in history.batches(BATCH):
        seen.add(assess(engine, batch))
        done += len(batch)
        progress("scoring", done, len(history))
    customers = list(seen.rows)
    status = statuses(
        store, record_keys(engine.prefix, use_case.name, use_case.fingerprint, use_case.subject, customers)
    )
    has_score = np.flatnonzero(seen.scored)
    told: list[list[Reason]] = [[] for _ in customers]
    found = reasons(
        engine.scorer, seen.vectors[has_score], seen.highest[has_score], engine.typical, use_case.table
    )
    for at, (row, own) in enumerate(zip(has_score.tolist(), found, strict=True), 1):
        told[row] = own
        progress("reasons", at, len(has_score))
    return Scored(
        use_case=use_case,
        model=engine.model_version,
        thresholds={"medium": engine.policy.medium, "high": engine.policy.high},
        customers=customers,
        events=seen.events,
        scored=seen.scored,
        score=seen.score,
        scored_us=seen.scored_us,
        highest=seen.highest,
        highest_us=seen.highest_us,
        status=status,
        vectors=seen.vectors,
        typical=engine.typical,
        reasons=told,
        flat=flat_features(bundle.reference, use_case.features, seen.vectors[has_score]),
    )


def flat_features(
    reference: Reference, names: Sequence[str], vectors: NDArray[np.float32]
) -> tuple[str, ...]:
    """Features with one value (or none) in all of `vectors` [c, F] that had several in training."""
    if len(vectors) < FEW:
        return ()
    is_flat = ((vectors == vectors[0]) | np.isnan(vectors) & np.isnan(vectors[0])).all(axis=0)
    bins = [reference.features[name] for name in names]
    return tuple(
        name for name, own, flat in zip(names, bins, is_flat.tolist(), strict=True) if flat and own.edges
    )


def statuses(store: MemoryStore, keys: Sequence[bytes]) -> NDArray[np.void]:
    """STATUS [c] as the records hold it."""
    parts: Iterable[bytes] = (
        blob[HEADER_BYTES : HEADER_BYTES + STATUS.itemsize] for blob in store.read(keys) if blob
    )
    return np.frombuffer(b"".join(parts), STATUS)
