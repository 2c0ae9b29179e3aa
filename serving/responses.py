"""Answers of the service, made from the assessments of the engine. Times are RFC 3339, UTC."""

from typing import Annotated, Literal, cast

import numpy as np
from pydantic import BaseModel, Field

from export import policy
from export.manifest import Manifest
from export.policy import Level, Policy
from export.reasons import Reason, reasons
from features.kernel import Disposition
from features.times import rfc3339
from pipeline.engine.assessments import Assessments
from pipeline.engine.engine import Engine

LevelName = Literal["LOW", "MEDIUM", "HIGH"]
TransitionName = Literal["RECOMMENDED", "RETRACTED", "HELD", "OVERRIDDEN", "RELEASED"]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Score = Annotated[float, Field(ge=0, le=1)]


class ScoreReason(BaseModel):
    """One feature, and what the score would lose if the feature had its usual value."""

    feature: str
    value: float | None = Field(description="null: unknown")
    usual: float | None = Field(description="the training data's median; null: unknown for most")
    effect: float = Field(description="the part of the score that the feature explains")
    text: str = Field(description="the same for an analyst to read")


class Assessment(BaseModel):
    """The assessment of one event."""

    event_id: str
    event_type: str
    event_time: Time
    customer: str
    seq: int = Field(ge=1, description="the event's number in the customer's record")
    disposition: Literal["applied", "duplicate"] = Field(
        description="duplicate: the event was counted before; the original answer is returned"
    )
    score: Score | None = Field(description="null: events of this type are remembered, not scored")
    level_before: LevelName
    level: LevelName
    transition: TransitionName | None = Field(description="what the policy did beside the level")
    model: str | None = Field(description="null: a duplicate, scored by a model before this one")
    reasons: list[ScoreReason] | None = Field(
        description="the largest effect first; null: not asked for, or no vector"
    )
    features: dict[str, float | None] | None = Field(description="null: not asked for, or no longer known")


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


def assessment(assessments: Assessments, i: int, engine: Engine, why: bool, columns: bool) -> Assessment:
    """Return the assessment of event i, which is not too late; with reasons if `why`, with the vector if `columns`."""
    batch, score = assessments.batch, float(assessments.score[i])
    outcome = policy.outcome.parts(int(assessments.outcome[i]))
    is_explicable = not np.isnan(score) and bool(assessments.has_vector[i])
    names = engine.use_case.features
    return Assessment.model_construct(
        event_id=batch.event_id[i],
        event_type=batch.types[i],
        event_time=rfc3339(int(batch.time_us[i])),
        customer=batch.subject[i],
        seq=int(assessments.seq[i]),
        disposition=Disposition(int(assessments.disposition[i])).name.lower(),
        score=known(score),
        level_before=outcome.level_before.name,
        level=outcome.level.name,
        transition=outcome.transition_name,
        model=assessments.model_version if _is_own(assessments, i, engine) else None,
        reasons=_reasons(assessments, i, engine) if why and is_explicable else None,
        features=dict(zip(names, map(known, assessments.vectors[i].tolist()), strict=True))
        if columns and is_explicable
        else None,
    )


def _is_own(assessments: Assessments, i: int, engine: Engine) -> bool:
    """Return whether the score is this engine's: of a duplicate only the score is kept, so it is computed again."""
    if assessments.disposition[i] == Disposition.APPLIED or np.isnan(assessments.score[i]):
        return True
    one = slice(i, i + 1)
    return bool(
        assessments.exact[i] and engine.scorer.score(assessments.vectors[one])[0] == assessments.score[i]
    )


def _reasons(assessments: Assessments, i: int, engine: Engine) -> list[ScoreReason]:
    one = slice(i, i + 1)
    vectors, scores = assessments.vectors[one], assessments.score[one]
    by_event = reasons(engine.scorer, vectors, scores, engine.typical, engine.use_case.table)
    return [_reason(each) for each in next(by_event)]


def _reason(reason: Reason) -> ScoreReason:
    return ScoreReason.model_construct(
        feature=reason.feature,
        value=known(reason.value),
        usual=known(reason.median),
        effect=reason.effect,
        text=str(reason),
    )


def level_name(level: int) -> LevelName:
    """Return the name of a level's number."""
    return cast(LevelName, Level(level).name)


def known(value: float) -> float | None:
    """Return the value, or None for NaN, which JSON does not have."""
    return value if value == value else None


def model_in_use(manifest: Manifest, policy: Policy) -> ModelInUse:
    """Return the facts of a model and the thresholds that it is used with."""
    return ModelInUse(
        model=manifest.id,
        use_case=manifest.use_case,
        fingerprint=manifest.fingerprint,
        created_at=manifest.created_at,
        thresholds=Thresholds(medium=policy.medium, high=policy.high, exit_ratio=policy.exit_ratio),
        features=list(manifest.features),
    )
