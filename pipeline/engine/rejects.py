"""Rejects: messages that cannot be used, each with its reason. They become dead letters."""

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
    """A message that cannot be used, with its reason and what is known of its event."""

    message: Message
    reason: str  # one of metrics.REASONS
    detail: str
    event_type: str | None = None
    event_id: str | None = None
    event_time_us: int | None = None
    key: str = ""  # of the record that cannot be read, for the log


def answered(messages: Sequence[Message], assessments: Assessments) -> dict[int, str]:
    """Return, by row, the model with which the REST service had already assessed a duplicate."""
    rows = np.flatnonzero(assessments.disposition == Disposition.DUPLICATE).tolist()
    models = {i: messages[i].attributes.get(ASSESSED_WITH, "") for i in rows}
    return {i: model for i, model in models.items() if model}


def too_late(messages: Sequence[Message], assessments: Assessments) -> list[Reject]:
    """Return the events that came after their record had evicted later ones."""
    batch = assessments.batch
    return [
        Reject(
            messages[i], "too_late", why_too_late(batch, i), batch.types[i], batch.event_id[i], int(batch.time_us[i])
        )
        for i in np.flatnonzero(assessments.disposition == Disposition.TOO_LATE).tolist()
    ]  # fmt: skip


def why_too_late(batch: Batch, i: int) -> str:
    """Return why event i of the batch was refused as too late, and what to do."""
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


def unreadable(messages: Sequence[Message], assessments: Assessments) -> list[Reject]:
    """Return the events with an entity whose record cannot be read."""
    batch = assessments.batch
    return [
        Reject(
            messages[i], "bad_record", f"{record}; run `riskstream repair`, then publish this message again",
            batch.types[i], batch.event_id[i], int(batch.time_us[i]), record.key.decode(errors="replace"),
        )
        for i, record in sorted(assessments.unreadable.items())
    ]  # fmt: skip
