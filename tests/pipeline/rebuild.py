"""Records rebuilt from what assessments say: each entity's events in the order of its own numbers."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from export.policy import decide
from features.kernel import Advanced, advance
from features.vector import vectors
from pipeline.engine.engine import Engine
from pipeline.stores.store import record_keys
from tests.pipeline.market import Sent, batched


def rebuilt(
    engine: Engine, events: Sequence[Sent], seqs: Mapping[str, NDArray[np.int64]]
) -> tuple[dict[bytes, bytes], NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8]]:
    """Records by key, and vectors, scores and outcomes of `events`, every one of which was applied once."""
    use_case = engine.use_case
    raw, records, orders = {}, {}, {}
    advanced: dict[str, Advanced] = {}
    for entity in use_case.entities:
        orders[entity] = order = np.argsort(seqs[entity], kind="stable")
        arrivals = batched(use_case, [events[i] for i in order]).arrivals[entity]
        advanced[entity] = advance(use_case.plans[entity], [None] * len(arrivals.ids), arrivals)
        raw[entity] = np.empty_like(advanced[entity].raw)
        raw[entity][order] = advanced[entity].raw
        seen = np.zeros(len(events), np.int64)
        seen[order] = advanced[entity].seq
        np.testing.assert_array_equal(seen, seqs[entity], entity)
        records[entity] = arrivals.ids
    order, subject = orders[use_case.subject], advanced[use_case.subject]
    batch = batched(use_case, [events[i] for i in order])
    found = vectors(batch, {entity: values[order] for entity, values in raw.items()})
    score = np.full(len(events), np.nan, np.float32)
    score[batch.scored] = engine.scorer.score(found[batch.scored])
    outcome = decide(
        engine.policy, subject.status, batch.arrivals[use_case.subject].record, score, batch.time_us,
        subject.events, np.ones(len(events), np.bool_), batch.override,
    )  # fmt: skip
    subject.store_outcomes(score, outcome)
    blobs = {
        key: blob
        for entity, ids in records.items()
        for key, blob in zip(
            record_keys(engine.prefix, use_case.name, use_case.fingerprint, entity, ids),
            advanced[entity].blobs(),
            strict=True,
        )
    }
    back = np.argsort(order)
    return blobs, found[back], score[back], outcome[back]
