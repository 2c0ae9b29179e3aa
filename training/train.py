"""Training as a person asks for it: a bundle with a report, registered, and in use unless there is no signal in it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from export.bundle import save
from export.policy import terms
from export.registry import promotion
from export.registry.runs import Origin
from export.registry.versions import Registry
from features.usecase import UseCase
from training import run_facts
from training.build_bundle import train_on
from training.champion.evidence import evidence
from training.champion.gates import BY_HAND, Gates, failed_gates, judge_alone
from training.data.cleaning import Cleaned
from training.data.labelled_rows import History, Replayed, collect
from training.data.like_files import like
from training.data.splits import Way
from training.evaluation.evaluate import evaluate
from training.models.parameters import Parameters
from training.progress import Progress
from training.report import scores
from training.report.page import Report, report
from training.report.run import Run

BY_HAND_BECAUSE = "riskstream train"  # why a model that a person trained is used over failed gates


def train_reported(
    use_case: UseCase,
    replayed: Iterable[Replayed],
    registry: Registry,
    *,
    seed: int,
    created_at: datetime,
    cleaning: Sequence[Cleaned] = (),
    way: Way | None = None,
    even_without_signal: bool = False,
    origin: Origin | None = None,
    keeps_scores: bool = True,
    to_be_scored: Iterable[Replayed] | None = None,
    progress: Progress = lambda _: None,
) -> tuple[str, Report]:
    """Learns from a replayed history; the path of the bundle and the report with all that is known about it.

    The bundle is saved, evaluated and registered with its report and the gates that it failed. It is promoted unless a
    gate of BY_HAND failed, or `even_without_signal`; else it is registered as rejected. The other gates are told, and
    kept as accepted by whoever runs this. `keeps_scores`: the held-out scores of all rows are written beside the
    report. `to_be_scored`: features that say nothing in these events are left out of the model. Raises what `train_on`
    raises, BadUseCase (`model.gates`), RegistryUnavailable.
    """
    Parameters.of(use_case.model, use_case.file)  # what is wrong is said before the long part
    Gates.of(use_case.model.get("gates"), use_case.file)
    terms(use_case.policy, use_case.file, use_case.features)
    progress("replaying the history")
    history = collect(use_case, replayed)
    if to_be_scored is not None:
        history = like(use_case, history, to_be_scored, progress)
    return report_on(
        use_case, history, registry, seed=seed, created_at=created_at, cleaning=cleaning, way=way,
        even_without_signal=even_without_signal, origin=origin, keeps_scores=keeps_scores, progress=progress,
    )  # fmt: skip


def report_on(
    use_case: UseCase,
    history: History,
    registry: Registry,
    *,
    seed: int,
    created_at: datetime,
    cleaning: Sequence[Cleaned] = (),
    way: Way | None = None,
    even_without_signal: bool = False,
    origin: Origin | None = None,
    keeps_scores: bool = True,
    progress: Progress = lambda _: None,
) -> tuple[str, Report]:
    """The same from the rows of a history."""
    gates = Gates.of(use_case.model.get("gates"), use_case.file)
    made = train_on(
        use_case, history, seed=seed, created_at=created_at, way=way, cleaning=cleaning, progress=progress
    )
    found = evaluate(use_case, made.judged, seed, progress=progress)
    judged = judge_alone(gates, evidence(use_case, made, found, seed))
    failed = failed_gates(judged)
    is_used = even_without_signal or not set(BY_HAND) & set(failed)
    run = Run.of(made, use_case, found, gates=judged, verdict="promoted" if is_used else "rejected")
    told = report(run, scores.files(made) if keeps_scores else {})
    path = save(made.bundle, registry.root)
    progress("registering")
    registry.record(
        made.bundle, metrics=run_facts.figures(found), artifacts=told.files, origin=origin,
        children=run_facts.trials(made, run.metric), failed_gates=failed,
    )  # fmt: skip
    by = origin.user if origin else BY_HAND_BECAUSE
    act(registry, made.bundle.manifest.id, failed, is_used, by, created_at)
    return path, told


def act(
    registry: Registry, bundle_id: str, failed: Mapping[str, str], is_used: bool, by: str, now: datetime
) -> None:
    """Promote the bundle, over its failed gates if need be, or reject it."""
    if is_used:
        approval = promotion.Approval(by, BY_HAND_BECAUSE, tuple(failed)) if failed else None
        promotion.promote(registry, bundle_id, now, approval)
    else:
        because = "; ".join(f"{name}: {text}" for name, text in failed.items() if name in BY_HAND)
        promotion.reject(registry, bundle_id, because, now)
