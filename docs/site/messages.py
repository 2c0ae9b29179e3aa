"""The reference of messages: topics, attributes and bodies.

Names come from code. Meanings are written here, and a name without a meaning, or a meaning without a name, is an error.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from docs.site.markdown import code, notice, table
from features.events import MAX_EVENT_BYTES
from pipeline.outputs.publications import ATTRIBUTE_BYTES, LETTER_BYTES, MOST_ATTRIBUTES, Alert
from pipeline.pubsub.message import ASSESSED_WITH, CALLER
from pipeline.pubsub.topics import ACK_DEADLINE_S, RETENTION, Names, short
from pipeline.runtime.metrics import REASONS

EVENT_ATTRIBUTES = {
    "event_type": "The event type of the use case that the body has. Required.",
    "event_id": "The event's id, for readers of dead letters. riskstream takes the id from the body.",
    "event_time": "RFC 3339. Required for event types with `time: published` only; others have their time in the body.",
    ASSESSED_WITH: "The id of the model with which the REST service assesses the event. Set by the service only.",
    CALLER: "Who sent the event to the REST service. Set by the service only.",
    "traceparent": "The trace that the event belongs to (W3C Trace Context). Optional; it comes back with the alert.",
}
ALERT_FIELDS = {
    "use_case": "Name of the use case.",
    "customer": "Id of the customer.",
    "seq": "The event's number in the customer's record.",
    "event_id": "The event that caused the alert.",
    "event_time": "When the event happened, RFC 3339, UTC.",
    "assessed_at": "When the alert was made, RFC 3339, UTC.",
    "score": "The probability; null if the event was not scored.",
    "level_before": "LOW, MEDIUM or HIGH.",
    "level": "The level after the event.",
    "transition": "RECOMMENDED, RETRACTED, HELD, OVERRIDDEN or RELEASED; null if only the level changed.",
    "model": "Id of the bundle that scored the event.",
}
ALERT_ATTRIBUTES = {
    "id": "`USE_CASE:FINGERPRINT:CUSTOMER:SEQ`. A repeated alert has the same id: consumers drop what they have seen.",
    "use_case": "As in the body, for subscription filters.",
    "event_time": "As in the body.",
    "level": "As in the body.",
    "transition": "As in the body; `NONE` if only the level changed.",
    "published_us": "When the event's message was published, microseconds since 1970.",
    "traceparent": "That of the event, if it had one.",
}
DEAD_LETTER_ATTRIBUTES = {
    "dead_letter_reason": f"One of {', '.join(map(code, REASONS))}.",
    "dead_letter_detail": "What was found and what was expected.",
    "dead_letter_use_case": "Name of the use case.",
    "dead_letter_message_id": "The id that Pub/Sub gave to the message on the topic of events.",
}
REASON_MEANINGS = {
    "undecodable": "The body is no JSON object, or no UTF-8.",
    "invalid": "A field is missing or has a value that its declaration does not allow.",
    "unknown_type": "The attribute `event_type` names no event type of the use case.",
    "from_future": "The event is dated later than its publication plus the allowed skew of clocks.",
    "too_late": "The customer's record no longer holds events of that time one by one "
    "([semantics](../semantics.md#too-late)).",
    "bad_record": "A record that the event needs cannot be read ([repair](../repair.md)).",
}


def page() -> str:
    """Return docs/reference/messages.md."""
    names = Names("PROJECT", "USE_CASE")
    topics = zip(names.topics, ("events for the job to assess", "alerts", "dead letters"), strict=True)
    return TEXT.format(
        notice=notice("docs/site/messages.py, the names in pipeline/ and the struct of an alert"),
        topics=table(
            ("topic", "subscription", "content"),
            ((code(short(topic)), code(short(names.reader(topic))), text) for topic, text in topics),
        ),
        ack_s=ACK_DEADLINE_S,
        retention_days=RETENTION.days,
        max_event_bytes=f"{MAX_EVENT_BYTES:,}",
        event_attributes=_named(EVENT_ATTRIBUTES),
        alert_fields=_fields(Alert, ALERT_FIELDS),
        alert_attributes=_named(ALERT_ATTRIBUTES),
        letter_bytes=f"{LETTER_BYTES:,}",
        most_attributes=MOST_ATTRIBUTES,
        attribute_bytes=f"{ATTRIBUTE_BYTES:,}",
        letter_attributes=_named(DEAD_LETTER_ATTRIBUTES),
        reasons=_named({reason: REASON_MEANINGS[reason] for reason in REASONS}, "reason"),
    )


def _named(meanings: Mapping[str, str], head: str = "attribute") -> str:
    return table((head, "meaning"), ((code(name), text) for name, text in meanings.items()))


def _fields(struct: type[msgspec.Struct], meanings: Mapping[str, str]) -> str:
    """Return a table of a struct's fields. Raises KeyError for a field without a meaning."""
    types = {each.name: each.type for each in msgspec.structs.fields(struct)}
    if extra := meanings.keys() - types.keys():
        raise KeyError(f"{struct.__name__} has no {', '.join(sorted(extra))}")
    rows = ((code(name), _type(kind), meanings[name]) for name, kind in types.items())
    return table(("field", "type", "meaning"), rows)


def _type(annotation: Any) -> str:
    names = {"str": "string", "int": "integer", "float": "number", "NoneType": "null"}
    parts = getattr(annotation, "__args__", (annotation,))
    return " or ".join(names[each.__name__] for each in parts)


TEXT = """{notice}# Messages

`riskstream topics` makes three topics for a use case, each with a subscription. A subscription waits {ack_s} s for an
acknowledgement, keeps messages for {retention_days} days and never expires.

{topics}
Delivery is at least once in both directions. riskstream counts an event once however often it comes; consumers of
alerts tell repeated ones by the attribute `id`.

## Events

The body is one JSON object in UTF-8 with the fields of its event type, as the use case declares them; other fields are
taken and not looked at. A body has at most {max_event_bytes} bytes. With ordered delivery the ordering key is the
customer's id.

{event_attributes}
## Alerts

An alert is published for each event that changes its customer's level or recommendation. The body is a JSON object:

{alert_fields}
Its attributes:

{alert_attributes}
## Dead letters

A message that cannot be used is published as it came: the same body (the first {letter_bytes} bytes) and the same
attributes, and these beside them, as far as a message has room for {most_attributes} attributes of {attribute_bytes}
bytes:

{letter_attributes}
The reasons:

{reasons}
The table `dead_letters` has the same messages ([tables](tables.md#dead_letters)).
"""
