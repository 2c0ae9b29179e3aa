"""The status of a customer: level, recommendation, override and latest events, read from the stored record."""

from itertools import islice
from typing import Literal, cast

import numpy as np
from pydantic import BaseModel, Field

from export import policy
from export.policy import Recommendation
from features.record import STATUS, Record, RingEvent, loads
from features.times import rfc3339
from features.usecase import UseCase
from serving.responses import LevelName, Score, Time, TransitionName, known, level_name

RecommendationName = Literal["NONE", "OPEN", "HELD"]
LATEST = 20  # events shown; the record has at least 64


class RecentEvent(BaseModel):
    """An event that the record holds one by one, and its outcome."""

    seq: int
    event_time: Time
    score: Score | None
    level: LevelName
    transition: TransitionName | None


class ActiveOverride(BaseModel):
    """A human's override of the level that is in force."""

    level: LevelName
    until: Time


class CustomerStatus(BaseModel):
    """Status of a customer. `since` is the time of the event that set the level; null: it is the first level."""

    customer: str
    events: int = Field(description="events counted so far")
    level: LevelName
    since: Time | None
    recommendation: RecommendationName = Field(description="whether off-boarding is recommended")
    cooldown_until: Time | None = Field(description="until then the level does not fall")
    override: ActiveOverride | None = Field(description="null: there is none, or it was withdrawn")
    forgotten_after: str | None = Field(
        description="an event after this time finds a new customer; null: never (`forget_after` of the use case)"
    )
    latest: list[RecentEvent] = Field(description=f"the latest {LATEST} events, the latest first")


def status_of(use_case: UseCase, customer: str, blob: bytes) -> CustomerStatus:
    """Return the status that a record holds. Raises BadRecord."""
    plan = use_case.plans[use_case.subject]
    record = loads(plan, blob)
    (status,) = np.frombuffer(record.status, STATUS)
    override_us = int(status["override_until_us"])
    return CustomerStatus(
        customer=customer,
        events=record.events,
        level=level_name(int(status["level"])),
        since=_time(int(status["since_us"])),
        recommendation=recommendation_name(int(status["recommendation"])),
        cooldown_until=_time(int(status["cooldown_until_us"])),
        override=ActiveOverride(level=level_name(int(status["override_level"])), until=rfc3339(override_us))
        if override_us
        else None,
        forgotten_after=_forgotten_after(record, plan.forget_us),
        latest=[_recent_event(each) for each in islice(sorted(record.ring, key=_newest), LATEST)],
    )


def recommendation_name(recommendation: int) -> RecommendationName:
    """Return the name of a recommendation's number."""
    return cast(RecommendationName, Recommendation(recommendation).name)


def _forgotten_after(record: Record, forget_us: int) -> str | None:
    return rfc3339(record.ring[-1].time_us + forget_us) if forget_us and record.ring else None


def _newest(event: RingEvent) -> tuple[int, int]:
    return -event.time_us, -event.seq


def _recent_event(event: RingEvent) -> RecentEvent:
    outcome = policy.outcome.parts(event.outcome)
    return RecentEvent(
        seq=event.seq,
        event_time=rfc3339(event.time_us),
        score=known(event.score),
        level=level_name(outcome.level),
        transition=cast("TransitionName | None", outcome.transition_name),
    )


def _time(at_us: int) -> str | None:
    return rfc3339(at_us) if at_us else None
