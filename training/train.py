"""Train a model by hand: a bundle with its report, registered, and promoted unless it shows no signal.

`riskstream train` and `riskstream demo` run `train`. For a challenger beside the champion see training/retrain.py.
"""

from collections.abc import Iterable

from export.bundle import save
from export.registry import promotion
from export.registry.versions import Registry
from features.replay import Replayed
from features.usecase import UseCase
from training.build_bundle import build_bundle
from training.champion.evidence import gather_evidence
from training.champion.gates import BY_HAND, Verdict, failed_gates, judge_without_champion
from training.data.labelled_rows import LabelledRows
from training.data.splits import SplitSettings
from training.evaluation.evaluate import evaluate
from training.report.page import Report
from training.report.run import Run
from training.steps import (
    TrainingOptions,
    apply_verdict,
    check_sections,
    draw_report,
    read_history,
    register,
)

APPROVAL_REASON = "riskstream train"  # recorded where a person trains a model that fails gates


def train(
    use_case: UseCase,
    replayed: Iterable[Replayed],
    registry: Registry,
    options: TrainingOptions,
    *,
    split_settings: SplitSettings | None = None,
    allow_no_signal: bool = False,
) -> tuple[str, Report]:
    """Learn from a replayed history; return the path of the bundle and the report.

    The bundle is saved, evaluated and registered with its report and the gates that it failed. It is promoted unless a
    gate of BY_HAND failed; `allow_no_signal` promotes it then too, otherwise it is registered as rejected. The
    other gates only warn: whoever trains by hand accepts them. `split_settings` overrides the use case's `model.split`.
    Raises what `build_bundle` raises, BadUseCase (`model.gates`) and RegistryUnavailable.
    """
    check_sections(use_case)
    history = read_history(use_case, replayed, options)
    return train_on(
        use_case, history, registry, options, split_settings=split_settings, allow_no_signal=allow_no_signal
    )


def train_on(
    use_case: UseCase,
    history: LabelledRows,
    registry: Registry,
    options: TrainingOptions,
    *,
    split_settings: SplitSettings | None = None,
    allow_no_signal: bool = False,
) -> tuple[str, Report]:
    """Do the same with the labelled rows of a history."""
    gates, seed, progress = check_sections(use_case), options.seed, options.progress
    built = build_bundle(
        use_case, history, seed=seed, created_at=options.created_at, split_settings=split_settings,
        cleaning=options.cleaning, progress=progress,
    )  # fmt: skip
    evaluation = evaluate(use_case, built.held_out, seed, progress=progress)
    results = judge_without_champion(gates, gather_evidence(use_case, built, evaluation, seed))
    failed = failed_gates(results)
    is_promoted = allow_no_signal or not set(BY_HAND) & set(failed)
    verdict = Verdict.PROMOTED if is_promoted else Verdict.REJECTED
    run = Run.of(built, use_case, evaluation, gates=results, verdict=verdict.value)
    drawn = draw_report(built, run, options)
    path = save(built.bundle, registry.root)
    progress("registering")
    register(registry, built, drawn, results, options)
    approver = options.origin.user if options.origin else APPROVAL_REASON
    approval = promotion.Approval(approver, APPROVAL_REASON, tuple(failed)) if failed else None
    reason = "; ".join(f"{name}: {text}" for name, text in failed.items() if name in BY_HAND)
    apply_verdict(registry, built.bundle.manifest.id, verdict, options.created_at, reason, approval)
    return path, drawn
