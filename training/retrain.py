"""Retrain: learn a challenger from newer history, compare it with the champion on held-out rows, reach a verdict.

The held-out rows lie in the last part of the period, which neither model has learned from if the history is newer than
the champion, and belong to customers that every training sets apart. Substitutes that have not seen these customers are
measured in place of both models: the challenger's twin, from before that part, and the champion's stand-in. No
challenger is promoted unless it passes the gates.
"""

from dataclasses import replace
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from export import bundle as bundles
from export.registry.versions import Registry
from features.usecase import UseCase
from training.build_bundle import build_bundle
from training.champion.champion_model import (
    champion_scores,
    compare_with_champion,
    flattery_notes,
    load_champion,
    unseen_from_us,
)
from training.champion.evidence import gather_evidence
from training.champion.gates import GateResult, judge, reach_verdict
from training.data.files import EventRows
from training.data.replaying import replay_rows
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


class RetrainingResult(Struct, frozen=True):
    """The verdict on a challenger, and its reasons."""

    verdict: str
    challenger: str  # bundle id
    version: int  # in the registry
    champion: str | None  # bundle id of the champion before
    split: str
    gates: tuple[dict[str, Any], ...]  # name, passed, found, expected
    notes: tuple[str, ...]


def retrain(
    use_case: UseCase,
    rows: EventRows,
    registry: Registry,
    options: TrainingOptions,
    *,
    cut_us: int | None = None,
) -> tuple[RetrainingResult, Report]:
    """Learn, save, register and judge a challenger, and apply the verdict.

    Features that say nothing in `options.to_be_scored` are left out of the challenger; the champion keeps all of its
    features. `cut_us` is where the held-out period begins: by default after the rows that the champion has learned
    from, or, if too few events are newer, where the use case's split puts it. The report is kept with the version.
    Raises what `build_bundle` raises, BundleMismatch for a damaged champion, and RegistryUnavailable.
    """
    gates, seed, progress = check_sections(use_case), options.seed, options.progress
    champion = load_champion(registry.root, use_case.name)
    history = read_history(use_case, replay_rows(use_case, rows), options)
    built = build_bundle(
        use_case, history, seed=seed, created_at=options.created_at, split_settings=_split_settings(use_case),
        cut_us=cut_us or unseen_from_us(champion, history), cleaning=options.cleaning, progress=progress,
    )  # fmt: skip
    bundles.save(built.bundle, registry.root)  # first: it can be promoted by hand where the comparison fails
    progress("comparing with the champion" if champion else "there is no champion to compare with")
    notes, comparison, scores = flattery_notes(champion, built), None, None
    if champion:
        scores = champion_scores(champion, use_case, built.held_out, rows)
        comparison = compare_with_champion(champion, built.held_out, scores, seed, notes)
    evaluation = evaluate(use_case, built.held_out, seed, progress=progress)
    evidence = gather_evidence(use_case, built, evaluation, seed, champion, scores)
    results = judge(gates, evidence)
    verdict = reach_verdict(gates, results)
    champion_id = champion.manifest.id if champion else None
    run = Run.of(
        built, use_case, evaluation, gates=results, verdict=verdict.value, champion=champion_id or "",
        comparison=comparison,
    )  # fmt: skip
    drawn = draw_report(built, run, options)
    better = {"better": asdict(evidence.better)} if evidence.better else {}
    version = register(registry, built, drawn, results, options, better)
    reason = "; ".join(f"{gate.name}: {gate.found}" for gate in results if not gate.passed)
    apply_verdict(registry, built.bundle.manifest.id, verdict, options.created_at, reason)
    return RetrainingResult(
        verdict.value, built.bundle.manifest.id, version.number, champion_id, built.split.description,
        tuple(map(_facts, results)), notes,
    ), drawn  # fmt: skip


def _split_settings(use_case: UseCase) -> SplitSettings:
    """Read the split; one by group has no period to compare in, so customers and time are split instead."""
    settings = SplitSettings.of(use_case, use_case.model.get("split"))
    return settings if settings.by != "group" else replace(settings, by="both")


def _facts(gate: GateResult) -> dict[str, Any]:
    return {"name": gate.name, "passed": bool(gate.passed), "found": gate.found, "expected": gate.expected}
