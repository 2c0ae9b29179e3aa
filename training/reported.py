"""Training as a person asks for it: a bundle with a report, registered, and in use unless there is no signal in it."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from export import promotion
from export.bundle import save
from export.registry import Registry
from export.runs import Origin
from export.terms import terms
from features.usecase import UseCase
from training import tracked
from training.cleaning import Cleaned
from training.evaluation.evaluate import evaluate
from training.fit import Progress
from training.history import Replayed, collect
from training.models.parameters import Parameters
from training.report import scores
from training.report.page import Report, report
from training.report.run import Run
from training.splits import Way
from training.train import train_on

NO_SIGNAL = "no signal"


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
    progress: Progress = lambda _: None,
) -> tuple[str, Report]:
    """Learns from a replayed history; the path of the bundle and the report with all that is known about it.

    The bundle is saved, evaluated and registered with its report. It is promoted if it tells the classes apart
    beyond chance, or `even_without_signal`; else it is registered as rejected. `keeps_scores`: the held-out scores of
    all rows are written beside the report. Raises what `train_on` raises, RegistryUnavailable.
    """
    Parameters.of(use_case.model, use_case.file)  # what is wrong is said before the long part
    terms(use_case.policy, use_case.file)
    progress("replaying the history")
    history = collect(use_case, replayed)
    made = train_on(
        use_case, history, seed=seed, created_at=created_at, way=way, cleaning=cleaning, progress=progress
    )
    found = evaluate(use_case, made.judged, seed, progress=progress)
    is_used = found.has_signal or even_without_signal
    run = Run.of(made, use_case, found, verdict="promoted" if is_used else "rejected")
    told = report(run, scores.files(made) if keeps_scores else {})
    path = save(made.bundle, registry.root)
    progress("registering")
    registry.record(
        made.bundle, metrics=tracked.figures(found), artifacts=told.files, origin=origin,
        children=tracked.trials(made, run.metric),
    )  # fmt: skip
    if is_used:
        promotion.promote(registry, made.bundle.manifest.id, created_at)
    else:
        promotion.reject(registry, made.bundle.manifest.id, NO_SIGNAL, created_at)
    return path, told
