"""Messages for Pub/Sub: an alert for each event that changed its customer, and dead letters.

Pure: the time is an argument, `now_us`. The ids of alerts are stable, `use case:fingerprint:customer:seq`, so that a
consumer recognises an alert that was sent twice; sequence numbers begin anew with other features.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from export import policy
from export.policy import Transition
from features.times import rfc3339
from pipeline.engine.assessments import Assessments
from pipeline.engine.rejects import Reject, answered
from pipeline.pubsub.client import Publication
from pipeline.pubsub.message import Message
from pipeline.runtime import tracing

MOST_ATTRIBUTES = 100  # of a Pub/Sub message
ATTRIBUTE_BYTES = 1_024  # of a value
LETTER_BYTES = 9_900_000  # of a message's data; Pub/Sub takes 10 MB with attributes and framing


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


def alerts(messages: Sequence[Message], assessments: Assessments, now_us: int) -> list[Publication]:
    """Return an alert for each event that changed its customer's level or recommendation, duplicates included.

    Message i belongs to event i.
    """
    is_alert = policy.is_alert(assessments.outcome) & assessments.accepted
    rows = np.flatnonzero(is_alert).tolist()
    if not rows:
        return []
    bodies = _alert_bodies(messages, assessments, rows, now_us)
    published_us = assessments.batch.published_us[rows].tolist()
    return [
        Publication(
            msgspec.json.encode(body),
            _alert_attributes(body, assessments.fingerprint, sent_us, messages[i].attributes),
        )
        for i, body, sent_us in zip(rows, bodies, published_us, strict=True)
    ]


def _alert_bodies(
    messages: Sequence[Message], assessments: Assessments, rows: list[int], now_us: int
) -> list[Alert]:
    batch, assessed_at = assessments.batch, rfc3339(now_us)
    models = answered(messages, assessments)
    outcomes = map(policy.outcome.parts, assessments.outcome[rows].tolist())
    event_times, scores, seqs = batch.time_us[rows], assessments.score[rows], assessments.seq[rows]
    columns = zip(rows, _rfc3339(event_times), outcomes, scores.tolist(), seqs.tolist(), strict=True)
    return [
        Alert(
            use_case=batch.use_case.name,
            customer=batch.subject[i],
            seq=seq,
            event_id=batch.event_id[i],
            event_time=event_time,
            assessed_at=assessed_at,
            score=score if score == score else None,  # NaN: not scored
            level_before=outcome.level_before.name,
            level=outcome.level.name,
            transition=outcome.transition_name,
            model=models.get(i, assessments.model_version),
        )
        for i, event_time, outcome, score, seq in columns
    ]


def _alert_attributes(
    alert: Alert, fingerprint: str, published_us: int, event_attributes: Mapping[str, str]
) -> dict[str, str]:
    """Return what subscriptions filter by, when the event was published, and the event's trace if it has one."""
    attributes = {
        "id": f"{alert.use_case}:{fingerprint}:{alert.customer}:{alert.seq}",
        "use_case": alert.use_case,
        "event_time": alert.event_time,
        "level": alert.level,
        "transition": alert.transition or Transition.NONE.name,
        "published_us": str(published_us),
    }
    parent = tracing.parent_of(event_attributes)
    return attributes | {"traceparent": parent} if parent else attributes


def _rfc3339(times_us: NDArray[np.int64]) -> list[str]:
    return [f"{text}Z" for text in np.datetime_as_string(times_us.astype("datetime64[us]")).tolist()]


def dead_letter(use_case: str, reject: Reject) -> Publication:
    """Return the rejected message as it came, with the reason in its attributes as far as there is room."""
    attributes = reject.message.attributes
    reasons = {
        "dead_letter_reason": reject.reason,
        "dead_letter_detail": _cut(reject.detail),
        "dead_letter_use_case": use_case,
        "dead_letter_message_id": reject.message.message_id,
    }
    room = max(0, MOST_ATTRIBUTES - len(attributes))
    return Publication(
        reject.message.data[:LETTER_BYTES], {**attributes, **dict(list(reasons.items())[:room])}
    )


def _cut(text: str) -> str:
    """Return as much of a text as an attribute holds."""
    return text.encode()[:ATTRIBUTE_BYTES].decode(errors="ignore")
