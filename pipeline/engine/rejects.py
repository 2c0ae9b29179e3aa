"""Messages that cannot be used, each with its reason: what becomes a dead letter."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.events import Batch
from features.kernel import Disposition
from features.times import rfc3339
from features.usecase import duration_words
from pipeline.engine.assessments import Assessments
from pipeline.pubsub.message import ASSESSED_WITH, Message


@dataclass(frozen=True)
class Reject:
    """A message that cannot be used, and what is known about its event."""

    message: Message
    reason: str  # one of metrics.REASONS
    detail: str
    event_type: str | None = None
    event_id: str | None = None
    event_time_us: int | None = None
    key: str = ""  # of the record that cannot be read, for the log


def answered(messages: Sequence[Message], said: Assessments) -> dict[int, str]:
    """The duplicates that the REST service had assessed before it came to us: by row the id of the model it used."""
    rows = np.flatnonzero(said.disposition == Disposition.DUPLICATE).tolist()
    found = {i: messages[i].attributes.get(ASSESSED_WITH, "") for i in rows}
    return {i: model for i, model in found.items() if model}


def too_late(messages: Sequence[Message], said: Assessments) -> list[Reject]:
    """The events of the batch that came after their record had closed over their time."""
    batch = said.batch
    return [
        Reject(
            messages[i], "too_late", why_too_late(batch, i), batch.types[i], batch.event_id[i], int(batch.time_us[i])
        )
        for i in np.flatnonzero(said.disposition == Disposition.TOO_LATE).tolist()
    ]  # fmt: skip


def why_too_late(batch: Batch, i: int) -> str:
    name = batch.use_case.subject
    forget_us = batch.use_case.plans[name].forget_us
    or_forgotten = (
        f", or more than {duration_words(forget_us)} (forget_after) before its latest event"
        if forget_us
        else ""
    )
    return (
        f"the event's time {rfc3339(int(batch.time_us[i]))} lies before all that the record of "
        f"{name} {batch.subject[i]} still holds one by one{or_forgotten}; send events in order of time"
    )


def unreadable(messages: Sequence[Message], said: Assessments) -> list[Reject]:
    """The events of the batch that have an entity whose record cannot be read."""
    batch = said.batch
    return [
        Reject(
            messages[i], "bad_record", f"{record}; run `riskstream repair`, then publish this message again",
            batch.types[i], batch.event_id[i], int(batch.time_us[i]), record.key.decode(errors="replace"),
        )
        for i, record in sorted(said.unreadable.items())
    ]  # fmt: skip
