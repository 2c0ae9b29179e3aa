"""Rows for BigQuery, Arrow and columnar: one for each assessment, one for each dead letter.

Pure: the time is an argument, `now_us`. The columns are those that `pipeline.bigquery.schemas` declares.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from export import policy
from export.policy import Level, Transition
from features.kernel import Disposition
from pipeline.bigquery.schemas import ASSESSMENTS, DEAD_LETTERS, ENTITY, TIME
from pipeline.engine.assessments import Assessments
from pipeline.engine.rejects import Reject, answered
from pipeline.pubsub.message import CALLER, Message

LEVELS = pa.array([level.name for level in Level])
LEVELS_OR_NONE, NO_LEVEL = pa.array([*LEVELS, None], pa.string()), np.uint8(len(LEVELS))
TRANSITIONS = pa.array(
    [None if transition is Transition.NONE else transition.name for transition in Transition]
)
DISPOSITIONS = pa.array([disposition.name.lower() for disposition in Disposition])
ROW_BYTES = 8 << 20  # of a body in a row; BigQuery takes requests of 10 MB

Indices = NDArray[np.intp]


def accepted(assessments: Assessments) -> Indices:
    """Return the places of the events that were counted, now or before."""
    return np.flatnonzero(assessments.accepted)


def assessment_rows(messages: Sequence[Message], assessments: Assessments, now_us: int) -> pa.RecordBatch:
    """Return the rows for the table `assessments`. Message i is event i; an event that came too late has no row."""
    rows = accepted(assessments)
    batch, n = assessments.batch, len(rows)
    models = answered(messages, assessments)
    columns = {
        "event_id": pa.array(_at(batch.event_id, rows)),
        "event_type": pa.array(_at(batch.types, rows)),
        "event_time": _times(batch.time_us[rows]),
        "publish_time": _times(batch.published_us[rows]),
        "assessed_at": _times(np.full(n, now_us)),
        "use_case": pa.repeat(batch.use_case.name, n),
        "customer": pa.array(_at(batch.subject, rows)),
        "seq": pa.array(assessments.seq[rows]),
        "entities": _entities(assessments, rows),
        "disposition": DISPOSITIONS.take(pa.array(assessments.disposition[rows])),
        "score": _score(assessments.score[rows]),
        "level_before": LEVELS.take(pa.array(policy.level_before(assessments.outcome[rows]))),
        "level": LEVELS.take(pa.array(policy.level_after(assessments.outcome[rows]))),
        "transition": TRANSITIONS.take(pa.array(policy.transition(assessments.outcome[rows]))),
        "features": _vectors(assessments, rows),
        "model": _models(models, assessments, rows),
        "fingerprint": pa.repeat(assessments.fingerprint, n),
        "body": pa.array([messages[i].data for i in rows.tolist()], pa.string()),
        "caller": _callers(messages, rows),
        **_in_shadow(assessments, rows),
        "score_level": _score_level(models, assessments, rows),
    }
    return pa.RecordBatch.from_arrays(
        [columns[name] for name in ASSESSMENTS.rows.names], schema=ASSESSMENTS.rows
    )


def _callers(messages: Sequence[Message], rows: Indices) -> pa.Array:
    """Return who sent each event to the REST service. A batch without any is answered at once."""
    callers = [messages[i].attributes.get(CALLER) for i in rows.tolist()]
    return pa.array(callers, pa.string()) if any(callers) else pa.nulls(len(rows), pa.string())


def _in_shadow(assessments: Assessments, rows: Indices) -> dict[str, pa.Array]:
    """Return the columns of the challenger; null where it did not score the event."""
    shadow, n = assessments.shadow, len(rows)
    if shadow is None:
        texts = dict.fromkeys(("challenger", "challenger_level"), pa.nulls(n, pa.string()))
        return texts | {"challenger_score": pa.nulls(n, pa.float64())}
    score = _score(shadow.score[rows])
    texts = {
        "challenger": pa.repeat(shadow.version, n),
        "challenger_level": LEVELS.take(pa.array(shadow.level[rows])),
    }
    missing = pa.scalar(None, pa.string())
    scored = {name: pc.if_else(score.is_valid(), text, missing) for name, text in texts.items()}
    return scored | {"challenger_score": score}


def _score_level(models: Mapping[int, str], assessments: Assessments, rows: Indices) -> pa.Array:
    """Return the level that each score reaches alone; null without a score or if another model gave it."""
    level = np.where(np.isnan(assessments.score), NO_LEVEL, assessments.score_level)
    level[[i for i, model in models.items() if model != assessments.model_version]] = NO_LEVEL
    return LEVELS_OR_NONE.take(pa.array(level[rows]))


def _models(models: Mapping[int, str], assessments: Assessments, rows: Indices) -> pa.Array:
    """Return the model of each score. The service may have answered with another model than this process has."""
    if not models:
        return pa.repeat(assessments.model_version, len(rows))
    return pa.array([models.get(i, assessments.model_version) for i in rows.tolist()])


def _at(values: Sequence[str], rows: Indices) -> list[str]:
    return list(values) if len(rows) == len(values) else [values[i] for i in rows.tolist()]


def _times(times_us: NDArray[np.int64]) -> pa.Array:
    return pa.array(times_us).view(TIME)


def _score(score: NDArray[np.float32]) -> pa.Array:
    return pa.array(score.astype(np.float64), from_pandas=True)  # NaN: not scored


def _vectors(assessments: Assessments, rows: Indices) -> pa.Array:
    """Return the features of each event; an empty list if it is not scored or its vector cannot be rebuilt."""
    has_vector = assessments.has_vector[rows]
    vectors = assessments.vectors[rows[has_vector]]
    offsets = np.zeros(len(rows) + 1, np.int32)
    np.cumsum(has_vector * vectors.shape[1], out=offsets[1:])
    values = pa.array(vectors.astype(np.float64).ravel())
    return pa.ListArray.from_arrays(pa.array(offsets), values, type=ASSESSMENTS.rows.field("features").type)


def _entities(assessments: Assessments, rows: Indices) -> pa.Array:
    """Return the event's number in the records of other entities; numbers that are not known are left out."""
    counts = np.zeros(len(rows) + 1, np.int32)
    parts = []
    for entity, seqs in assessments.other_seqs.items():
        arrivals = assessments.batch.arrivals[entity]
        has_one = np.flatnonzero((arrivals.record[rows] >= 0) & (seqs[rows] > 0))
        counts[1:][has_one] += 1
        numbers, records = seqs[rows[has_one]], arrivals.record[rows[has_one]]
        ids = pa.array(arrivals.ids, pa.string()).take(pa.array(records))
        parts.append((has_one, pa.repeat(entity, len(has_one)), ids, pa.array(numbers)))
    offsets = pa.array(np.cumsum(counts, dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, _structs(parts), type=ASSESSMENTS.rows.field("entities").type)


def _structs(parts: Sequence[tuple[Indices, pa.Array, pa.Array, pa.Array]]) -> pa.Array:
    """Return the entities of all events, those of one event side by side."""
    if not parts:
        return pa.array([], ENTITY)
    order = np.argsort(np.concatenate([part[0] for part in parts]), kind="stable")
    columns = [pa.concat_arrays([part[k] for part in parts]).take(pa.array(order)) for k in (1, 2, 3)]
    return pa.StructArray.from_arrays(columns, fields=list(ENTITY))


def dead_letter_rows(use_case: str, rejects: Sequence[Reject], now_us: int) -> pa.RecordBatch:
    """Return the rows for the table `dead_letters`. A body too large for a row is cut here, but not in its message."""
    messages = [reject.message for reject in rejects]
    columns: Mapping[str, list[Any]] = {
        "use_case": [use_case] * len(rejects),
        "reason": [reject.reason for reject in rejects],
        "detail": [reject.detail for reject in rejects],
        "event_type": [reject.event_type for reject in rejects],
        "event_id": [reject.event_id for reject in rejects],
        "event_time": [reject.event_time_us for reject in rejects],
        "message_id": [message.message_id for message in messages],
        "publish_time": [message.publish_us for message in messages],
        "rejected_at": [now_us] * len(rejects),
        "body": [message.data[:ROW_BYTES] for message in messages],
        "attributes": [msgspec.json.encode(dict(message.attributes)).decode() for message in messages],
    }
    return pa.RecordBatch.from_pydict(dict(columns), schema=DEAD_LETTERS.rows)
