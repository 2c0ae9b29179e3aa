"""Retraining: a challenger from newer history, compared with the champion on what neither was to see, and a verdict.

Both are judged by the last part of the period, which neither has learned from if history is newer than the champion,
and by the customers that are set apart in every training: twins judge for both, the challenger's of before that
period, and the champion's stand-in. Nothing is promoted that has not passed the gates.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import asdict

from export import bundle as bundles
from export.bundle import Bundle
from export.manifest import BundleMismatch
from export.onnx import Scorer
from export.policy import Terms, terms
from export.registry.versions import Registry
from features.replay import replay
from features.usecase import BadUseCase, UseCase, parse
from training.arrays import Floats
from training.build_bundle import BuiltBundle, build_bundle
from training.champion.comparison import ModelComparison, compare_models
from training.champion.evidence import NO_SCORE, gather_evidence
from training.champion.gates import GateResult, judge, verdict
from training.data.files import EventRows, batches
from training.data.labelled_rows import BadHistory, LabelledRows, collect
from training.data.splits import SplitSettings, set_apart
from training.evaluation.evaluate import evaluate
from training.models.held_out import HeldOut
from training.report.page import Report
from training.report.run import Run
from training.steps import TrainingOptions, apply_verdict, check_sections, draw_report, read_history, register

ASK = "so it cannot be asked about these events; promote the new bundle by hand with `riskstream promote`"
LEAST_UNSEEN = 0.05  # of the events must be newer than what the champion knows


class RetrainingResult(Struct, frozen=True):
    """How it ended, and why."""

    verdict: str
    challenger: str  # bundle id
    version: int  # in the registry
    champion: str | None  # bundle id of the one that was in use
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
    """Train, save, register and judge a challenger, and act on the verdict.

    Features that say nothing in `options.to_be_scored` are left out of the challenger; the champion is compared with
    all of its features. `cut_us` is where the period that judges begins; by default after what the champion has
    learned from, or, if too little has happened since, the last part that the use case's split asks for. The report is
    kept with the version. Raises what `build_bundle` raises, BundleMismatch for a damaged champion,
    RegistryUnavailable.
    """
    gates, seed, progress = check_sections(use_case), options.seed, options.progress
    champion = in_use(registry.root, use_case.name)
    history = read_history(use_case, replay(batches(use_case, rows)), options)
    built = build_bundle(
        use_case, history, seed=seed, created_at=options.created_at, split_settings=_split_settings(use_case),
        cut_us=cut_us or unseen_us(champion, history), cleaning=options.cleaning, progress=progress,
    )  # fmt: skip
    bundles.save(built.bundle, registry.root)
    progress("comparing with the champion" if champion else "there is no champion to compare with")
    scored = None if champion is None else scores_of(champion, use_case, built.held_out, rows)
    notes = _notes(champion, built)
    compared = (
        None if champion is None or scored is None else beside(champion, built.held_out, scored, seed, notes)
    )
    evaluation = evaluate(use_case, built.held_out, seed, progress=progress)
    shown = gather_evidence(use_case, built, evaluation, seed, champion, scored)
    results = judge(gates, shown)
    decided = verdict(gates, results)
    before = champion.manifest.id if champion else None
    run = Run.of(
        built, use_case, evaluation, gates=results, verdict=decided.value, champion=before or "", comparison=compared
    )  # fmt: skip
    drawn = draw_report(built, run, options)
    better = {"better": asdict(shown.better)} if shown.better else {}
    version = register(registry, built, drawn, results, options, better)
    reason = "; ".join(f"{gate.name}: {gate.found}" for gate in results if not gate.passed)
    apply_verdict(registry, built.bundle.manifest.id, decided, options.created_at, reason)
    return RetrainingResult(
        verdict=decided.value,
        challenger=built.bundle.manifest.id,
        version=version.number,
        champion=before,
        split=built.split.description,
        gates=tuple(_told(gate) for gate in results),
        notes=notes,
    ), drawn


def in_use(root: str, use_case: str) -> Bundle | None:
    """The bundle that jobs use; None if none was promoted yet. Raises BundleMismatch if it is damaged."""
    return None if bundles.read_pointer(root, use_case) is None else bundles.load_in_use(root, use_case)


def unseen_us(champion: Bundle | None, history: LabelledRows) -> int | None:
    """When the period begins that the champion has not learned from; None if it has hardly begun."""
    if champion is None:
        return None
    day = np.datetime64(str(champion.manifest.training["to"])) + 1
    begins_us = int(day.astype("M8[us]").astype(np.int64))
    return begins_us if (history.times_us >= begins_us).mean() >= LEAST_UNSEEN else None


def beside(
    champion: Bundle, held_out: HeldOut, scored: Floats, seed: int, notes: Sequence[str]
) -> ModelComparison:
    """Both models on the rows that both have scored. Raises BadHistory if there is no such row, or only one label."""
    both = ~np.isnan(scored)
    if not both.any():
        raise BadHistory(NO_SCORE)
    rows = held_out.rows[both]
    challenger = replace(
        held_out, rows=rows, score=held_out.score[both], models=(), model_of_row=None, crossfitted=()
    )
    theirs = replace(
        challenger,
        score=scored[both],
        thresholds=dict(champion.manifest.thresholds),
        terms=policy_terms_of(champion, held_out),
    )
    left_out = len(np.unique(held_out.rows.customers)) - len(np.unique(rows.customers))
    return compare_models(challenger, theirs, left_out, seed, notes)


def policy_terms_of(champion: Bundle, held_out: HeldOut) -> Terms:
    """The champion's policy; the challenger's where the champion's use case is written in an older language."""
    try:
        return terms(parse(champion.use_case_text).policy)
    except BadUseCase:
        return held_out.terms


def scores_of(champion: Bundle, use_case: UseCase, held_out: HeldOut, rows: EventRows) -> Floats:
    """The champion's scores [n] of the rows that judge, by its stand-in if it has one.

    NaN where it has none, and of customers that the stand-in has learned from. Its own features, if they are others.
    """
    score = _scores(champion, use_case, held_out, rows)
    if champion.stand_in is not None:
        score[~set_apart(held_out.rows.customers, float(champion.manifest.training["set_apart"]))] = np.nan
    return score


def _scores(champion: Bundle, use_case: UseCase, held_out: HeldOut, rows: EventRows) -> Floats:
    model = champion.stand_in or champion.model
    if champion.manifest.fingerprint == use_case.fingerprint and not held_out.rows.left_out:
        return Scorer(model).score(held_out.rows.vectors).astype(np.float64)
    own = _use_case_of(champion)
    try:
        theirs = collect(own, replay(batches(own, rows)))
    except AssertionError:
        raise BundleMismatch(
            f"champion {champion.manifest.id} was made for events of another schema, {ASK}"
        ) from None
    place = {key: i for i, key in enumerate(_keys(theirs))}
    found = np.array([place.get(key, -1) for key in _keys(held_out.rows)])
    score = np.full(len(found), np.nan)
    score[found >= 0] = Scorer(model).score(theirs.vectors[found[found >= 0]])
    return score


def _use_case_of(champion: Bundle) -> UseCase:
    """Raises BundleMismatch for one written in an older language."""
    try:
        return parse(champion.use_case_text, f"the use case of {champion.manifest.id}")
    except BadUseCase as error:
        raise BundleMismatch(
            f"champion {champion.manifest.id}: {error}; it cannot be read any more, {ASK}"
        ) from None


def _keys(history: LabelledRows) -> list[tuple[str, str, str]]:
    """What makes each event one."""
    columns = (history.customers, history.event_types, history.event_ids)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _split_settings(use_case: UseCase) -> SplitSettings:
    """A split with a period to compare in: by group there is none, so customers and time are split."""
    asked = SplitSettings.of(use_case, use_case.model.get("split"))
    return asked if asked.by != "group" else replace(asked, by="both")


def _told(gate: GateResult) -> dict[str, Any]:
    return {"name": gate.name, "passed": bool(gate.passed), "found": gate.found, "expected": gate.expected}


def _notes(champion: Bundle | None, built: BuiltBundle) -> tuple[str, ...]:
    """What flatters the champion."""
    if champion is None or built.split.cut_us is None:
        return ()
    notes, until = [], str(champion.manifest.training["to"])
    cut = str(np.datetime64(built.split.cut_us, "us").astype("M8[D]"))
    if until >= cut:
        notes.append(f"the champion learned from events until {until}, and the period that judges begins on {cut}: "
                     "its figures are flattered")  # fmt: skip
    if champion.stand_in is None and built.split.share_set_apart:
        notes.append("the champion has no stand-in and may have learned from the customers that judge: "
                     "its figures are flattered")  # fmt: skip
    return tuple(notes)
