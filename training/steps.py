"""Steps that training and retraining share: check a use case, read its history, register a bundle, apply a verdict."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from export.policy import terms
from export.registry import promotion
from export.registry.runs import ModelOrigin
from export.registry.versions import ModelVersion, Registry
from features.replay import Replayed
from features.usecase import UseCase
from training import registry_facts
from training.build_bundle import BuiltBundle
from training.champion.gates import GateResult, GateSettings, Verdict, failed_gates
from training.data.cleaning import CleaningCount
from training.data.labelled_rows import LabelledRows, collect
from training.data.like_files import leave_out_silent
from training.models.parameters import Parameters
from training.progress import Progress, silent
from training.report import scores
from training.report.page import Report, report
from training.report.run import Run


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Settings of one training or retraining that are not part of the use case."""

    seed: int  # the same seed and rows give the same bundle
    created_at: datetime
    cleaning: tuple[CleaningCount, ...] = ()  # rows that cleaning rules left out: a fact of the manifest
    origin: ModelOrigin | None = None  # who trains, with which program: a fact of the registry
    keeps_scores: bool = True  # write the held-out scores of all rows beside the report
    to_be_scored: Iterable[Replayed] | None = None  # features that say nothing in these events are left out
    progress: Progress = silent


def check_sections(use_case: UseCase) -> GateSettings:
    """Read the sections that training needs, before anything slow, and return the gates. Raises BadUseCase."""
    Parameters.of(use_case.model, use_case.file)
    terms(use_case.policy, use_case.file, use_case.features)
    return GateSettings.of(use_case.model.get("gates"), use_case.file)


def read_history(use_case: UseCase, replayed: Iterable[Replayed], options: TrainingOptions) -> LabelledRows:
    """Collect the labelled rows of a replayed history.

    Raises BadUseCase without a label, BadHistory without labelled scored events, or if no feature says anything in
    `options.to_be_scored`.
    """
    options.progress("replaying the history")
    history = collect(use_case, replayed)
    if options.to_be_scored is None:
        return history
    return leave_out_silent(use_case, history, options.to_be_scored, options.progress)


def draw_report(built: BuiltBundle, run: Run, options: TrainingOptions) -> Report:
    """Return the report of a run, with the table of held-out scores if `options` keep them."""
    return report(run, scores.files(built) if options.keeps_scores else {})


def register(
    registry: Registry,
    built: BuiltBundle,
    drawn: Report,
    gates: Sequence[GateResult],
    options: TrainingOptions,
    metrics: Mapping[str, object] | None = None,
) -> ModelVersion:
    """Record a bundle with its report, figures, trials and failed gates. Raises RegistryUnavailable.

    `metrics` are figures beside those of the evaluation.
    """
    run = drawn.run
    return registry.record(
        built.bundle,
        metrics={**(metrics or {}), **registry_facts.figures(run.evaluation)},
        artifacts=drawn.files,
        failed_gates=failed_gates(gates),
        origin=options.origin,
        children=registry_facts.trials(built, run.metric),
    )


def apply_verdict(
    registry: Registry,
    bundle_id: str,
    verdict: Verdict,
    now: datetime,
    reason: str,
    approval: promotion.Approval | None = None,
) -> None:
    """Promote a registered bundle, let it run in shadow, or reject it for a reason.

    `approval` names the failed gates over which it is promoted.
    """
    if verdict is Verdict.PROMOTED:
        promotion.promote(registry, bundle_id, now, approval)
    elif verdict is Verdict.WAITING:
        promotion.challenge(registry, bundle_id, now)
    else:
        promotion.reject(registry, bundle_id, reason, now)
