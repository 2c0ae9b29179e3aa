"""What is said about a batch, as it leaves: rows for BigQuery (Arrow, columnar), alerts, dead letters.

Pure: the time is an argument, `now_us`. The ids of alerts are stable, `use case:fingerprint:customer:seq`, so
that a consumer can tell the same alert sent twice; numbers begin anew with other features.
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
from features.times import rfc3339
from pipeline.bigquery.tables import ASSESSMENTS, DEAD_LETTERS, ENTITY, TIME
from pipeline.engine.assess import Assessments
from pipeline.engine.rejects import Reject, answered
from pipeline.pubsub.client import Publication
from pipeline.pubsub.message import CALLER, Message
from pipeline.runtime import tracing

LEVELS = pa.array([level.name for level in Level])
LEVELS_OR_NONE, NO_LEVEL = pa.array([*LEVELS, None], pa.string()), np.uint8(len(LEVELS))
TRANSITIONS = pa.array(
    [None if transition is Transition.NONE else transition.name for transition in Transition]
)
DISPOSITIONS = pa.array([disposition.name.lower() for disposition in Disposition])
MOST_ATTRIBUTES = 100  # of a Pub/Sub message
ATTRIBUTE_BYTES = 1_024  # of a value
LETTER_BYTES = 9_900_000  # of a message's data; Pub/Sub takes 10 MB with attributes and framing
ROW_BYTES = 8 << 20  # of a body in a row; BigQuery takes requests of 10 MB

Indices = NDArray[np.intp]


class Alert(msgspec.Struct, frozen=True):
    """The body of an alert. Times are RFC 3339, UTC."""

    use_case: str
    customer: str
    seq: int
    event_id: str
    event_time: str
    assessed_at: str
    score: float | None
    level_before: str
    level: str
    transition: str | None
    model: str


def accepted(said: Assessments) -> Indices:
    """The events that were counted, now or before."""
    return np.flatnonzero(said.accepted)


def assessment_rows(messages: Sequence[Message], said: Assessments, now_us: int) -> pa.RecordBatch:
    """Rows for the table `assessments`; message i is of event i. Events that were too late have none."""
    rows = accepted(said)
    batch, n = said.batch, len(rows)
    others = answered(messages, said)
    columns = {
        "event_id": pa.array(_at(batch.event_id, rows)),
        "event_type": pa.array(_at(batch.types, rows)),
        "event_time": _times(batch.time_us[rows]),
        "publish_time": _times(batch.published_us[rows]),
        "assessed_at": _times(np.full(n, now_us)),
        "use_case": pa.repeat(batch.use_case.name, n),
        "customer": pa.array(_at(batch.subject, rows)),
        "seq": pa.array(said.seq[rows]),
        "entities": _entities(said, rows),
        "disposition": DISPOSITIONS.take(pa.array(said.disposition[rows])),
        "score": _score(said.score[rows]),
        "level_before": LEVELS.take(pa.array(policy.level_before(said.outcome[rows]))),
        "level": LEVELS.take(pa.array(policy.level_after(said.outcome[rows]))),
        "transition": TRANSITIONS.take(pa.array(policy.transition(said.outcome[rows]))),
        "features": _vectors(said, rows),
        "model": _models(others, said, rows),
        "fingerprint": pa.repeat(said.fingerprint, n),
        "body": pa.array([messages[i].data for i in rows.tolist()], pa.string()),
        "caller": _callers(messages, rows),
        **_in_shadow(said, rows),
        "score_level": _score_level(others, said, rows),
    }
    return pa.RecordBatch.from_arrays(
        [columns[name] for name in ASSESSMENTS.rows.names], schema=ASSESSMENTS.rows
    )


def _callers(messages: Sequence[Message], rows: Indices) -> pa.Array:
    """Who sent each event to the REST service; usually nobody, which is told at once."""
    callers = [messages[i].attributes.get(CALLER) for i in rows.tolist()]
    return pa.array(callers, pa.string()) if any(callers) else pa.nulls(len(rows), pa.string())


def _in_shadow(said: Assessments, rows: Indices) -> dict[str, pa.Array]:
    """Which challenger said what, of the events that it scored."""
    found, n = said.shadow, len(rows)
    if found is None:
        texts = dict.fromkeys(("challenger", "challenger_level"), pa.nulls(n, pa.string()))
        return texts | {"challenger_score": pa.nulls(n, pa.float64())}
    score = _score(found.score[rows])
    texts = {
        "challenger": pa.repeat(found.version, n),
        "challenger_level": LEVELS.take(pa.array(found.level[rows])),
    }
    unsaid = pa.scalar(None, pa.string())
    of_scored = {name: pc.if_else(score.is_valid(), text, unsaid) for name, text in texts.items()}
    return of_scored | {"challenger_score": score}


def _score_level(others: Mapping[int, str], said: Assessments, rows: Indices) -> pa.Array:
    """The level of each score alone; null without a score, and where another model's thresholds apply."""
    level = np.where(np.isnan(said.score), NO_LEVEL, said.score_level)
    level[[i for i, model in others.items() if model != said.model_version]] = NO_LEVEL
    return LEVELS_OR_NONE.take(pa.array(level[rows]))


def _models(others: Mapping[int, str], said: Assessments, rows: Indices) -> pa.Array:
    """Whose score each event got. A model may be exchanged between the service's answer and this row."""
    if not others:
        return pa.repeat(said.model_version, len(rows))
    return pa.array([others.get(i, said.model_version) for i in rows.tolist()])


def _at(values: Sequence[str], rows: Indices) -> list[str]:
    return list(values) if len(rows) == len(values) else [values[i] for i in rows.tolist()]


def _times(times_us: NDArray[np.int64]) -> pa.Array:
    return pa.array(times_us).view(TIME)


def _score(score: NDArray[np.float32]) -> pa.Array:
    return pa.array(score.astype(np.float64), from_pandas=True)  # NaN: not scored


def _vectors(said: Assessments, rows: Indices) -> pa.Array:
    """The features of each event; an empty list where none were asked for or they are no longer known."""
    is_known = said.exact[rows] | (said.disposition[rows] == Disposition.APPLIED)
    has_vector = said.batch.scored[rows] & is_known
    vectors = said.vectors[rows[has_vector]]
    offsets = np.zeros(len(rows) + 1, np.int32)
    np.cumsum(has_vector * vectors.shape[1], out=offsets[1:])
    values = pa.array(vectors.astype(np.float64).ravel())
    return pa.ListArray.from_arrays(pa.array(offsets), values, type=ASSESSMENTS.rows.field("features").type)


def _entities(said: Assessments, rows: Indices) -> pa.Array:
    """Which other entities an event counted for, and as which of their events; unknown numbers are left out."""
    counts = np.zeros(len(rows) + 1, np.int32)
    parts = []
    for entity, seqs in said.other_seqs.items():
        arrivals = said.batch.arrivals[entity]
        has_one = np.flatnonzero((arrivals.record[rows] >= 0) & (seqs[rows] > 0))
        counts[1:][has_one] += 1
        numbers, records = seqs[rows[has_one]], arrivals.record[rows[has_one]]
        ids = pa.array(arrivals.ids, pa.string()).take(pa.array(records))
        parts.append((has_one, pa.repeat(entity, len(has_one)), ids, pa.array(numbers)))
    offsets = pa.array(np.cumsum(counts, dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, _structs(parts), type=ASSESSMENTS.rows.field("entities").type)


def _structs(parts: Sequence[tuple[Indices, pa.Array, pa.Array, pa.Array]]) -> pa.Array:
    """The entities of all events, each event's side by side."""
    if not parts:
        return pa.array([], ENTITY)
    order = np.argsort(np.concatenate([part[0] for part in parts]), kind="stable")
    columns = [pa.concat_arrays([part[k] for part in parts]).take(pa.array(order)) for k in (1, 2, 3)]
    return pa.StructArray.from_arrays(columns, fields=list(ENTITY))


def alerts(messages: Sequence[Message], said: Assessments, now_us: int) -> list[Publication]:
    """One for each event that changed its customer's level or recommendation, also when it comes again."""
    rows = np.flatnonzero(policy.is_alert(said.outcome) & said.accepted).tolist()
    if not rows:
        return []
    event_times = _rfc3339(said.batch.time_us[rows])
    outcomes, scores, seqs = (column[rows].tolist() for column in (said.outcome, said.score, said.seq))
    common, others = (rfc3339(now_us), said.batch.use_case.name), answered(messages, said)
    parents = [tracing.parent_of(messages[i].attributes) for i in rows]
    models = [others.get(i, said.model_version) for i in rows]
    columns = (
        rows,
        event_times,
        outcomes,
        scores,
        seqs,
        said.batch.published_us[rows].tolist(),
        parents,
        models,
    )
    return [_alert(said, common, *of_row) for of_row in zip(*columns, strict=True)]


def _alert(
    said: Assessments,
    common: tuple[str, str],
    i: int,
    event_time: str,
    outcome: int,
    score: float,
    seq: int,
    published_us: int,
    parent: str,
    model: str,
) -> Publication:
    assessed_at, use_case = common
    made = policy.outcome.parts(outcome)
    customer = said.batch.subject[i]
    alert = Alert(
        use_case=use_case,
        customer=customer,
        seq=seq,
        event_id=said.batch.event_id[i],
        event_time=event_time,
        assessed_at=assessed_at,
        score=score if score == score else None,
        level_before=made.level_before.name,
        level=made.level.name,
        transition=made.transition_name,
        model=model,
    )
    attributes = {
        "id": f"{use_case}:{said.fingerprint}:{customer}:{seq}",
        "use_case": use_case,
        "event_time": event_time,
        "level": made.level.name,
        "transition": made.transition.name,
        "published_us": str(published_us),
    }
    if parent:
        attributes["traceparent"] = parent
    return Publication(msgspec.json.encode(alert), attributes)


def _rfc3339(times_us: NDArray[np.int64]) -> list[str]:
    return [f"{text}Z" for text in np.datetime_as_string(times_us.astype("datetime64[us]")).tolist()]


def dead_letter_rows(use_case: str, rejects: Sequence[Reject], now_us: int) -> pa.RecordBatch:
    """Rows for the table `dead_letters`. A body too large for a row is cut there; its message is whole."""
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


def dead_letter(use_case: str, reject: Reject) -> Publication:
    """The message as it came, with the reason in its attributes as far as there is room for more."""
    said = {
        "dead_letter_reason": reject.reason,
        "dead_letter_detail": _cut(reject.detail),
        "dead_letter_use_case": use_case,
        "dead_letter_message_id": reject.message.message_id,
    }
    room = max(0, MOST_ATTRIBUTES - len(reject.message.attributes))
    extra = dict(list(said.items())[:room])
    return Publication(reject.message.data[:LETTER_BYTES], {**reject.message.attributes, **extra})


def _cut(text: str) -> str:
    """As much of a text as an attribute holds."""
    return text.encode()[:ATTRIBUTE_BYTES].decode(errors="ignore")
