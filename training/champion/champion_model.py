"""The champion as a rival: the bundle in use, its scores of a challenger's held-out rows, and both side by side."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from export import bundle as bundles
from export.bundle import Bundle
from export.manifest import BundleMismatch
from export.onnx import Scorer
from export.policy import Terms, terms
from features.usecase import BadUseCase, UseCase, parse
from training.arrays import Floats
from training.build_bundle import BuiltBundle
from training.champion.comparison import ModelComparison, compare_models
from training.champion.evidence import NO_SCORE
from training.data.files import EventRows
from training.data.labelled_rows import BadHistory, LabelledRows, collect
from training.data.replaying import replay_rows
from training.data.splits import set_apart
from training.models.held_out import HeldOut

ADVICE = "so it cannot score these events; promote the new bundle by hand with `riskstream promote`"
LEAST_UNSEEN = 0.05  # of the events must be newer than what the champion knows


def load_champion(root: str, use_case: str) -> Bundle | None:
    """Load the bundle that jobs use; None if none was promoted yet. Raises BundleMismatch if it is damaged."""
    return None if bundles.read_pointer(root, use_case) is None else bundles.load_in_use(root, use_case)


def unseen_from_us(champion: Bundle | None, history: LabelledRows) -> int | None:
    """Return when the period begins that the champion has not learned from; None if it holds too few events."""
    if champion is None:
        return None
    day = np.datetime64(str(champion.manifest.training["to"])) + 1
    begins_us = int(day.astype("M8[us]").astype(np.int64))
    return begins_us if (history.times_us >= begins_us).mean() >= LEAST_UNSEEN else None


def champion_scores(champion: Bundle, use_case: UseCase, held_out: HeldOut, rows: EventRows) -> Floats:
    """Return the champion's scores [n] of the held-out rows, by its stand-in if it has one.

    The champion scores its own features, which `rows` are replayed for if they differ. NaN where it has no score, and
    for customers that the stand-in has learned from. Raises BundleMismatch.
    """
    score = _scores(champion, use_case, held_out, rows)
    if champion.stand_in is not None:
        score[~set_apart(held_out.rows.customers, float(champion.manifest.training["set_apart"]))] = np.nan
    return score


def _scores(champion: Bundle, use_case: UseCase, held_out: HeldOut, rows: EventRows) -> Floats:
    model = champion.stand_in or champion.model
    if champion.manifest.fingerprint == use_case.fingerprint and not held_out.rows.left_out:
        return Scorer(model).score(held_out.rows.vectors).astype(np.float64)
    earlier = _use_case_of(champion)
    try:
        replayed = collect(earlier, replay_rows(earlier, rows))
    except AssertionError:
        raise BundleMismatch(
            f"champion {champion.manifest.id} was made for events of another schema, {ADVICE}"
        ) from None
    place = {key: i for i, key in enumerate(_keys(replayed))}
    places = np.array([place.get(key, -1) for key in _keys(held_out.rows)])
    score = np.full(len(places), np.nan)
    score[places >= 0] = Scorer(model).score(replayed.vectors[places[places >= 0]])
    return score


def _use_case_of(champion: Bundle) -> UseCase:
    """Parse the champion's use case. Raises BundleMismatch if an older program wrote it."""
    try:
        return parse(champion.use_case_text, f"the use case of {champion.manifest.id}")
    except BadUseCase as error:
        raise BundleMismatch(
            f"champion {champion.manifest.id}: {error}; it cannot be read any more, {ADVICE}"
        ) from None


def _keys(history: LabelledRows) -> list[tuple[str, str, str]]:
    """Return the customer, event type and event id of each row: together they identify the event."""
    columns = (history.customers, history.event_types, history.event_ids)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def compare_with_champion(
    champion: Bundle, held_out: HeldOut, scores: Floats, seed: int, notes: Sequence[str]
) -> ModelComparison:
    """Compare both models on the rows that the champion has scores [n] for; NaN marks the others.

    Raises BadHistory if there is no such row, or if their labels are all the same.
    """
    has_both = ~np.isnan(scores)
    if not has_both.any():
        raise BadHistory(NO_SCORE)
    rows = held_out.rows[has_both]
    challenger = replace(
        held_out, rows=rows, score=held_out.score[has_both], models=(), model_of_row=None, crossfitted=()
    )
    rival = replace(
        challenger,
        score=scores[has_both],
        thresholds=dict(champion.manifest.thresholds),
        terms=policy_of(champion, held_out),
    )
    left_out = len(np.unique(held_out.rows.customers)) - len(np.unique(rows.customers))
    return compare_models(challenger, rival, left_out, seed, notes)


def policy_of(champion: Bundle, held_out: HeldOut) -> Terms:
    """Return the champion's policy, or the challenger's if an older program wrote the champion's use case."""
    try:
        return terms(parse(champion.use_case_text).policy)
    except BadUseCase:
        return held_out.terms


def flattery_notes(champion: Bundle | None, built: BuiltBundle) -> tuple[str, ...]:
    """Return one sentence for each reason why the champion's figures look better than they are."""
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
