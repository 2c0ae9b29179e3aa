"""Messages to events, and assessments to what leaves the job: plain functions on a batch, without Beam.

Both directions keep places: message i carries event i.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from features.events import MAX_EVENT_BYTES, BadEvent, Batch, Event, decode_all, make_batch, too_large
from features.usecase import UseCase
from pipeline.engine.assessments import Assessments
from pipeline.engine.rejects import Reject, too_late, unreadable
from pipeline.job.sinks import Outgoing
from pipeline.job.source import Messages
from pipeline.outputs import publications, rows
from pipeline.pubsub.message import Message


@dataclass(frozen=True)
class Decoded:
    """The events of a batch. `rejects` are the messages that carry none; `messages` are the others."""

    use_case: UseCase
    messages: Sequence[Message]
    events: Batch | None  # None: no message carries one
    rejects: list[Reject]
    seconds: float
    began_ns: int
    ticket: int | None = None  # of the messages' batch
    waited_s: float | None = None  # from pulling to decoding; None: not known

    @property
    def size(self) -> int:
        """The number of messages, rejects included."""
        return len(self.messages) + len(self.rejects)

    @property
    def oldest_us(self) -> int:
        """The time at which the first of the messages was published."""
        rejected = [reject.message.publish_us for reject in self.rejects]
        return min([*rejected, *([] if self.events is None else [int(self.events.published_us.min())])])

    def __reduce__(self) -> tuple[object, tuple[UseCase, Messages]]:
        """Events are of classes made from the use case, so the messages travel and are decoded again."""
        rejected = (reject.message for reject in self.rejects)
        return decode, (self.use_case, Messages((*self.messages, *rejected)))


def decode(use_case: UseCase, messages: Sequence[Message]) -> Decoded:
    """Decode the events of a batch of messages; a message without a usable event becomes a reject."""
    began_s, began_ns = time.perf_counter(), time.time_ns()
    bodies, attributes, _, published_us = zip(*messages, strict=True) if messages else ((),) * 4
    types = [each.get("event_type", "") for each in attributes]
    times = [each.get("event_time") for each in attributes]
    if any(map(MAX_EVENT_BYTES.__lt__, map(len, bodies))):
        bodies = tuple(body if len(body) <= MAX_EVENT_BYTES else b"" for body in bodies)
    decoded = decode_all(use_case, types, bodies, published_us, times)
    bad: dict[int, BadEvent] = {}
    if BadEvent in set(map(type, decoded)):
        bad = {i: event for i, event in enumerate(decoded) if isinstance(event, BadEvent)}
    rejects = [_reject(messages[i], types[i], error) for i, error in bad.items()]
    good = list(zip(types, cast("list[Event]", decoded), strict=True))  # what is bad is dropped below
    if bad:
        kept = [i for i in range(len(messages)) if i not in bad]
        messages, good = [messages[i] for i in kept], [good[i] for i in kept]
        published_us = tuple(published_us[i] for i in kept)
    events = make_batch(use_case, good, published_us) if good else None
    return Decoded(use_case, messages, events, rejects, time.perf_counter() - began_s, began_ns)


def _reject(message: Message, event_type: str, error: BadEvent) -> Reject:
    reason, detail = error.reason, error.detail
    if len(message.data) > MAX_EVENT_BYTES:
        detail = too_large(len(message.data)).detail
    return Reject(message, reason, detail, event_type or None, message.attributes.get("event_id"))


def all_rejects(decoded: Decoded, assessments: Assessments | None) -> list[Reject]:
    """Return every message of a batch that cannot be used: undecodable, too late, or with a damaged record."""
    if assessments is None:
        return decoded.rejects
    messages = decoded.messages
    return decoded.rejects + too_late(messages, assessments) + unreadable(messages, assessments)


def encode(decoded: Decoded, assessments: Assessments | None, now_us: int) -> Outgoing:
    """Make the rows, alerts and dead letters of a batch."""
    name, rejects = decoded.use_case.name, all_rejects(decoded, assessments)
    tables, alerts = {}, []
    if assessments:
        alerts = publications.alerts(decoded.messages, assessments, now_us)
        tables["assessments"] = rows.assessment_rows(decoded.messages, assessments, now_us)
    if rejects:
        tables["dead_letters"] = rows.dead_letter_rows(name, rejects, now_us)
    letters = [publications.dead_letter(name, reject) for reject in rejects]
    return Outgoing(tables, alerts, letters, Counter(reject.reason for reject in rejects))
