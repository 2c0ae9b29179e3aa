"""What the service answers, and how it is made of what `assess` says. Times are RFC 3339, UTC."""

from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, Field

from export import policy
from export.manifest import Manifest
from export.policy import Policy
from export.reasons import Reason as Found
from export.reasons import reasons
from features.kernel import Disposition
from features.times import rfc3339
from pipeline.engine.assessments import Assessments
from pipeline.engine.engine import Engine

Named = Literal["LOW", "MEDIUM", "HIGH"]
Changed = Literal["RECOMMENDED", "RETRACTED", "HELD", "OVERRIDDEN", "RELEASED"]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Score = Annotated[float, Field(ge=0, le=1)]


class Reason(BaseModel):
    """One feature, and what the score would lose if it had its usual value."""

    feature: str
    value: float | None = Field(description="null: unknown")
    usual: float | None = Field(description="the training data's median; null: unknown for most")
    effect: float = Field(description="the part of the score that goes with it")
    text: str = Field(description="the same for an analyst to read")


class Assessment(BaseModel):
    """What is said about one event."""

    event_id: str
    event_type: str
    event_time: Time
    customer: str
    seq: int = Field(ge=1, description="the event's number in the customer's record")
    disposition: Literal["applied", "duplicate"] = Field(
        description="duplicate: it had been counted before; what was said then is said again"
    )
    score: Score | None = Field(description="null: events of this type are remembered, not scored")
    level_before: Named
    level: Named
    transition: Changed | None = Field(description="what the policy did beside the level")
    model: str | None = Field(description="null: a duplicate, scored by a model before this one")
    reasons: list[Reason] | None = Field(
        description="the largest effect first; null: not asked for, or no vector"
    )
    features: dict[str, float | None] | None = Field(description="null: not asked for, or not known any more")


class Thresholds(BaseModel):
    """The level is reached at these scores, and kept above `exit_ratio` times them."""

    medium: Score
    high: Score
    exit_ratio: float


class ModelInUse(BaseModel):
    """The model that the next event is scored with."""

    model: str
    use_case: str
    fingerprint: str = Field(description="of the features: a model goes with one set of them")
    created_at: Time
    thresholds: Thresholds
    features: list[str]


class Problem(BaseModel):
    """Why there is no answer (RFC 9457)."""

    title: str
    status: int
    detail: str
    reason: str | None = Field(None, description="of an event that cannot be used, as in dead letters")


def assessment(said: Assessments, i: int, engine: Engine, why: bool, columns: bool) -> Assessment:
    """What is said about event i, which is not too late; with reasons, with the vector."""
    batch, outcome, score = said.batch, policy.outcome.parts(int(said.outcome[i])), float(said.score[i])
    is_explicable = not np.isnan(score) and bool(said.has_vector[i])
    names = engine.use_case.features
    return Assessment.model_construct(
        event_id=batch.event_id[i],
        event_type=batch.types[i],
        event_time=rfc3339(int(batch.time_us[i])),
        customer=batch.subject[i],
        seq=int(said.seq[i]),
        disposition=Disposition(int(said.disposition[i])).name.lower(),
        score=known(score),
        level_before=outcome.level_before.name,
        level=outcome.level.name,
        transition=outcome.transition_name,
        model=said.model_version if _is_own(said, i, engine) else None,
        reasons=_reasons(said, i, engine) if why and is_explicable else None,
        features=dict(zip(names, map(known, said.vectors[i].tolist()), strict=True))
        if columns and is_explicable
        else None,
    )


def _is_own(said: Assessments, i: int, engine: Engine) -> bool:
    """Whether the score is this engine's. Of a duplicate only the score is kept, not who gave it; it is given again."""
    if said.disposition[i] == Disposition.APPLIED or np.isnan(said.score[i]):
        return True
    one = slice(i, i + 1)
    return bool(said.exact[i] and engine.scorer.score(said.vectors[one])[0] == said.score[i])


def _reasons(said: Assessments, i: int, engine: Engine) -> list[Reason]:
    one = slice(i, i + 1)
    found = reasons(engine.scorer, said.vectors[one], said.score[one], engine.typical, engine.use_case.table)
    return [_reason(each) for each in next(found)]


def _reason(found: Found) -> Reason:
    return Reason.model_construct(
        feature=found.feature,
        value=known(found.value),
        usual=known(found.median),
        effect=found.effect,
        text=str(found),
    )


def known(value: float) -> float | None:
    """JSON has no NaN."""
    return value if value == value else None


def model_in_use(manifest: Manifest, own: Policy) -> ModelInUse:
    return ModelInUse(
        model=manifest.id,
        use_case=manifest.use_case,
        fingerprint=manifest.fingerprint,
        created_at=manifest.created_at,
        thresholds=Thresholds(medium=own.medium, high=own.high, exit_ratio=own.exit_ratio),
        features=list(manifest.features),
    )
