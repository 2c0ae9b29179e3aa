"""Batch scoring: a history goes through the stream's own `assess`, in memory; the result is each customer's state.

Scores and levels equal, bit for bit, those of a stream with the same events and model. Customers that the model has
learned from are the exception: the bundle's stand-in scores them, unless it has learned from them, too.
Times are int64 microseconds since 1970 UTC.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.bundle import Bundle
from export.distributions.coverage import Coverage, coverage
from export.distributions.reference import Usual
from export.learned import contains, decode, hashes
from export.policy import Level, Recommendation
from export.reasons import Reason, medians_at_highest, reasons
from features import record
from features.events import Presence
from features.usecase import UseCase, is_known_later
from pipeline.batch.customer_state import CUSTOMER, CustomerStates
from pipeline.engine.assess import assess
from pipeline.engine.engine import Engine
from pipeline.engine.stand_in import StandIn
from pipeline.files.history import History, Progress, quiet
from pipeline.stores.store import MemoryStore, record_keys

BATCH = 100_000  # events: in memory, records are packed less often


@dataclass(frozen=True)
class Scored:
    """State of c customers after a history. `status` is features.record.STATUS [c]: level, recommendation, since.

    `score` is the last, `highest` the highest; NaN without a scored event. `vectors` [c, F] and `reasons` [c] are
    those of the highest score. A customer without a scored event is on no level, whatever `status` holds.
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
    customer_score: NDArray[
        np.float64
    ]  # by which customers are ranked, as in the model's report: export.ranking
    highest_level: NDArray[np.uint8]  # ever reached, by the policy or by a person
    has_profile: NDArray[np.bool_]
    status: NDArray[np.void]
    vectors: NDArray[np.float32]
    last_vectors: NDArray[np.float32]  # [c, F] of the last scored events
    typical: NDArray[np.float32]  # [F] usual values in the training data, to which reasons compare
    usual: Mapping[str, Usual]  # by feature, among the customers of the training data; empty in older bundles
    reasons: list[list[Reason]]
    learned_from: NDArray[np.bool_] | None  # [c] by the model; None: the bundle does not keep it
    by_stand_in: NDArray[np.bool_]  # [c] scored by the stand-in, which has not learned from them
    rows: dict[
        str, int
    ]  # of the files, by what became of them: see pipeline.batch.customer_state.OUTCOMES, and `refused`
    coverage: Coverage  # what the files hold, compared with training
    left_out: tuple[str, ...]  # features that the model was trained without
    lacking: (
        Mapping[str, Any] | None
    )  # held-out figures without fields: training.evaluation.absent_fields; None in older bundles

    def __len__(self) -> int:
        return len(self.customers)

    @property
    def is_scored(self) -> NDArray[np.bool_]:
        """[c] True for customers with a scored event."""
        is_scored: NDArray[np.bool_] = self.scored > 0
        return is_scored

    def on(self, level: Level) -> NDArray[np.bool_]:
        """Return [c], true for scored customers on this level after their last event."""
        is_on: NDArray[np.bool_] = self.status["level"] == level
        return self.is_scored & is_on

    def ever_on(self, level: Level) -> NDArray[np.bool_]:
        """Return [c], true for scored customers whose highest level this is."""
        is_highest: NDArray[np.bool_] = self.highest_level == level
        return self.is_scored & is_highest

    def with_recommendation(self, state: Recommendation) -> NDArray[np.bool_]:
        """Return [c], true for scored customers whose recommendation is in this state after their last event."""
        is_in_state: NDArray[np.bool_] = self.status["recommendation"] == state
        return self.is_scored & is_in_state


def score(use_case: UseCase, bundle: Bundle, history: History, progress: Progress = quiet) -> Scored:
    """Score a history's customers. Raises BundleMismatch when the bundle was trained for other features."""
    engine = engine_of(use_case, bundle, MemoryStore())
    seen, presence = CustomerStates(len(use_case.features)), Presence(use_case)
    for batch in history.batches(BATCH):
        presence.add(batch)
        seen.add(assess(engine, batch))
        progress("scoring", sum(seen.outcomes.values()), len(history))
    customers, left_out = list(seen.rows), tuple(bundle.manifest.training.get("left_out", ()))
    scored = int((seen.known["scored"] > 0).sum())
    compared = coverage(use_case, bundle.reference, presence.fields(), seen.spread, scored, left_out)
    return Scored(
        use_case=use_case,
        model=engine.model_version,
        thresholds={"medium": engine.policy.medium, "high": engine.policy.high},
        customers=customers,
        **{name: seen.known[name] for name in CUSTOMER.fields or ()},
        status=statuses(engine, customers),
        customer_score=seen.customer_score,
        vectors=seen.vectors,
        last_vectors=seen.last_vectors,
        typical=engine.typical,
        usual=bundle.reference.usual,
        reasons=explained(engine, seen, compared.silent, progress),
        learned_from=learned_from(bundle, customers),
        by_stand_in=by_stand_in(engine, customers),
        rows=seen.outcomes | {"refused": history.bad},
        coverage=compared,
        left_out=left_out,
        lacking=bundle.manifest.metrics.get("lacking"),
    )


def engine_of(use_case: UseCase, bundle: Bundle, store: MemoryStore) -> Engine:
    """Return the stream's engine with the stand-in.

    Reasons compare a customer's highest score with the highest scores of others; if events are labelled one by one,
    with all events, since a customer with many events has an unusual one among them.
    """
    engine = Engine.from_bundle(use_case, bundle, store)
    engine.stand_in = StandIn.from_bundle(bundle)
    if not is_known_later(use_case.label, use_case.event_types):
        engine.typical = medians_at_highest(bundle.reference, use_case.table)
    return engine


def learned_from(bundle: Bundle, customers: Sequence[str]) -> NDArray[np.bool_] | None:
    """Return [c], true for customers that the model has learned from; None if the bundle does not keep it."""
    return None if bundle.learned_from is None else contains(decode(bundle.learned_from), hashes(customers))


def by_stand_in(engine: Engine, customers: Sequence[str]) -> NDArray[np.bool_]:
    """Return [c], true for customers that the stand-in scores."""
    return (
        np.zeros(len(customers), np.bool_) if engine.stand_in is None else engine.stand_in.scores(customers)
    )


def explained(
    engine: Engine, seen: CustomerStates, silent: Collection[str], progress: Progress
) -> list[list[Reason]]:
    """Explain each customer's highest score by the model that gave it; no reasons without a scored event."""
    explanations: list[list[Reason]] = [[] for _ in seen.rows]
    is_scored, others = seen.known["scored"] > 0, by_stand_in(engine, list(seen.rows))
    scorers = [(engine.scorer, ~others)] + ([(engine.stand_in.scorer, others)] if engine.stand_in else [])
    done = 0
    for scorer, rows in ((scorer, np.flatnonzero(is_scored & theirs)) for scorer, theirs in scorers):
        highest = seen.known["highest"][rows]
        by_row = reasons(scorer, seen.vectors[rows], highest, engine.typical, engine.use_case.table, silent)
        for row, explanation in zip(rows.tolist(), by_row, strict=True):
            explanations[row], done = explanation, done + 1
            progress("reasons", done, int(is_scored.sum()))
    return explanations


def statuses(engine: Engine, customers: Sequence[str]) -> NDArray[np.void]:
    """Return the status, STATUS [c], of each customer who has a record."""
    use_case = engine.use_case
    keys = record_keys(engine.prefix, use_case.name, use_case.fingerprint, use_case.subject, customers)
    return record.statuses(blob for blob in engine.store.read(keys) if blob)
