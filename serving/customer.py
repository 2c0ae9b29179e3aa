"""How a customer stands: the record as it is in the store, as far as somebody can use it."""

from itertools import islice
from typing import Literal

import numpy as np
from pydantic import BaseModel, Field

from export import policy
from export.policy import Level, Recommendation
from features.record import STATUS, Record, RingEvent, loads
from features.times import rfc3339
from features.usecase import UseCase
from serving.responses import Changed, Named, Score, Time, known

LATEST = 20  # events told; the record has at least 64


class Remark(BaseModel):
    """An event that the record holds one by one, and what it led to."""

    seq: int
    event_time: Time
    score: Score | None
    level: Named
    transition: Changed | None


class Override(BaseModel):
    """A human's word."""

    level: Named
    until: Time


class Standing(BaseModel):
    """Where a customer stands. `since` is the time of the event that set the level; null: it is the first one."""

    customer: str
    events: int = Field(description="counted so far")
    level: Named
    since: Time | None
    recommendation: Literal["NONE", "OPEN", "HELD"] = Field(description="of off-boarding")
    cooldown_until: Time | None = Field(description="until then the level does not fall")
    override: Override | None = Field(description="null: none, or it was withdrawn")
    forgotten_after: str | None = Field(
        description="an event after this time finds a new customer; null: never (`forget_after` of the use case)"
    )
    latest: list[Remark] = Field(description=f"the latest {LATEST} events, the latest first")


def standing(use_case: UseCase, customer: str, blob: bytes) -> Standing:
    """Raises BadRecord."""
    plan = use_case.plans[use_case.subject]
    record = loads(plan, blob)
    (status,) = np.frombuffer(record.status, STATUS)
    override_us = int(status["override_until_us"])
    return Standing(
        customer=customer,
        events=record.events,
        level=Level(int(status["level"])).name,
        since=_time(int(status["since_us"])),
        recommendation=Recommendation(int(status["recommendation"])).name,
        cooldown_until=_time(int(status["cooldown_until_us"])),
        override=Override(level=Level(int(status["override_level"])).name, until=rfc3339(override_us))
        if override_us
        else None,
        forgotten_after=_forgotten_after(record, plan.forget_us),
        latest=[_remark(each) for each in islice(sorted(record.ring, key=_newest), LATEST)],
    )


def _forgotten_after(record: Record, forget_us: int) -> str | None:
    return rfc3339(record.ring[-1].time_us + forget_us) if forget_us and record.ring else None


def _newest(event: RingEvent) -> tuple[int, int]:
    return -event.time_us, -event.seq


def _remark(event: RingEvent) -> Remark:
    outcome = policy.outcome.parts(event.outcome)
    return Remark(
        seq=event.seq,
        event_time=rfc3339(event.time_us),
        score=known(event.score),
        level=outcome.level.name,
        transition=outcome.transition_name,
    )


def _time(at_us: int) -> str | None:
    return rfc3339(at_us) if at_us else None
