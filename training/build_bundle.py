"""Build a bundle from labelled rows: split, select a model, convert it, choose thresholds, measure it held out.

By folds, the final model is measured by the models of its folds. With a cut in time, a twin is: a model selected in the
same manner from the rows before the cut, and measured by the held-out rows after it. Nothing is written here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec
import numpy as np

from export.bundle import Bundle, bundle
from export.distributions.reference import Reference, RowSource, reference
from export.learned import encode
from export.onnx import Calibrated, Scorer, convert, parity
from export.policy import Terms, terms
from features.usecase import UseCase, lookbacks
from training.arrays import Mask, Vectors
from training.data.cleaning import CleaningCount
from training.data.labelled_rows import BadHistory, LabelledRows
from training.data.like_files import zero_left_out
from training.data.splits import Split, SplitSettings, label_is_of_event, set_apart, split_rows
from training.data.usual import usual_values
from training.evaluation.absent_fields import measure_without_fields
from training.manifest_facts import library_versions, metrics, training_facts
from training.models.held_out import HeldOut
from training.models.parameters import HYPER, Parameters
from training.models.selection import SelectedModel, select_model
from training.policy import thresholds as levels
from training.policy.thresholds import Cases
from training.progress import Progress, prefixed, silent

PARITY_ROWS = 20_000  # rows on which the conversion is checked, beside extreme ones


@dataclass(frozen=True, eq=False)
class BuiltBundle:
    """A bundle that is not saved yet, and the held-out rows by which it is evaluated."""

    bundle: Bundle
    selected: SelectedModel  # the twin, or by folds the final model
    held_out: HeldOut
    split: Split
    out_of_fold: (
        HeldOut  # the rows that the final model has learned from, by folds; by folds, `held_out` itself
    )


def build_bundle(
    use_case: UseCase,
    history: LabelledRows,
    *,
    seed: int,
    created_at: datetime,
    split_settings: SplitSettings | None = None,
    cut_us: int | None = None,
    cleaning: Sequence[CleaningCount] = (),
    progress: Progress = silent,
) -> BuiltBundle:
    """Build a bundle; the same seed and rows give the same bytes.

    `split_settings` and `cut_us` override the use case's `model.split`. Raises BadHistory, BadUseCase, ParityError.
    """
    served = replace(
        history, vectors=np.ascontiguousarray(history.vectors, np.float32)
    )  # as serving has them
    _check_finite(use_case, served.vectors)
    history = zero_left_out(use_case, served)
    policy = terms(use_case.policy, use_case.file, use_case.features)
    settings = split_settings or SplitSettings.of(use_case, use_case.model.get("split"))
    sides = split_rows(history, settings, cut_us)
    progress(sides.description)
    twin, final, learned = _select(use_case, history, sides, seed, progress)
    kept = served[sides.final] if served.left_out else learned  # with features that the model does without
    progress("converting to ONNX")
    model, difference = to_onnx(final.model, final, seed)
    stand_in = None if final.stand_in is None else to_onnx(final.stand_in, final, seed)[0]
    progress("choosing thresholds")
    cases = Cases.of(policy, kept, final, use_case.features)
    thresholds = levels.choose(policy, cases)
    out_of_fold = _out_of_fold(learned, final, thresholds, model, policy)
    if twin is None:
        held_out = out_of_fold = _with_fold_models(out_of_fold, final, cases)
    else:
        held_out = _after_cut(use_case, served, history, sides, twin, policy, seed)
    progress("measuring on what the model had not seen")
    measured = metrics(held_out, seed) | {
        "levels": levels.facts(policy, cases, thresholds, seed),
        "parity": difference,
        "lacking": measure_without_fields(use_case, held_out, seed),
    }
    facts = training_facts(kept, sides, twin or final, cleaning, has_stand_in=stand_in is not None)
    built = bundle(
        use_case, use_case.text, model, _reference(use_case, kept, final), thresholds, created_at, stand_in,
        encode(np.unique(learned.customers).tolist()), seed=seed, versions=library_versions(), metrics=measured,
        training=facts,
    )  # fmt: skip
    return BuiltBundle(built, twin or final, held_out, sides, out_of_fold)


def _check_finite(use_case: UseCase, vectors: Vectors) -> None:
    if len(vectors) == 0:
        raise BadHistory("found no scored event of a labelled customer, expected many: check the files given")
    columns = np.flatnonzero(np.isinf(vectors).any(axis=0))
    if len(columns):
        raise BadHistory(
            f"feature {use_case.features[columns[0]]} is infinite for some event; "
            "look for a value beyond 3e38 or a ratio without a lower side"
        )


def _select(
    use_case: UseCase, history: LabelledRows, sides: Split, seed: int, progress: Progress
) -> tuple[SelectedModel | None, SelectedModel, LabelledRows]:
    """Select the twin (None by folds) and the final model, and return them with the rows of the final one."""
    parameters = Parameters.of(use_case.model, use_case.file)
    by_event = label_is_of_event(use_case)

    def selected(
        rows: LabelledRows, asked: Parameters, about: str, apart: Mask | None = None
    ) -> SelectedModel:
        vectors, label, customers = rows.vectors, rows.label, rows.customers
        stages = prefixed(progress, about)
        return select_model(vectors, label, customers, asked, seed, stages, apart, by_event)

    twin, learned = None, history
    if sides.cut_us is not None:
        twin = selected(history[sides.learn], parameters, "the model that is judged")
        parameters, learned = _fixed(parameters, twin), history[sides.final]
    apart = _rows_set_apart(learned, sides.share_set_apart)
    return twin, selected(learned, parameters, "the model that is kept", apart), learned


def _fixed(parameters: Parameters, twin: SelectedModel) -> Parameters:
    """Return the twin's candidate with its hyper-parameters, so that nothing is left to select."""
    values = {name: value for name, value in twin.parameters.items() if name in HYPER}
    balanced = bool(twin.parameters["balanced"])
    return replace(parameters, candidates=(twin.candidate,), trials=0, balanced=balanced, **values)


def _rows_set_apart(history: LabelledRows, share: float) -> Mask | None:
    """Mark the rows that the stand-in does not learn from; None if there are none, or if too few others are left."""
    apart = set_apart(history.customers, share)
    left = history.label[~apart]
    return apart if apart.any() and left.any() and not left.all() else None


def to_onnx(model: Calibrated, selected: SelectedModel, seed: int) -> tuple[bytes, float]:
    """Convert a model, and return the largest difference of its scores from scikit-learn's. Raises ParityError."""
    vectors = selected.rows.vectors
    converted = convert(model, vectors.shape[1])
    rows = np.random.default_rng(seed).permutation(len(vectors))[:PARITY_ROWS]
    return converted, parity(model, converted, vectors[np.sort(rows)])


def _out_of_fold(
    rows: LabelledRows, final: SelectedModel, thresholds: dict[str, float], model: bytes, policy: Terms
) -> HeldOut:
    """Return the rows with their scores by folds, without the models that gave them."""
    fold, by_event = final.rows.fold, final.rows.by_event
    return HeldOut(rows, final.out_of_fold, thresholds, model, by_event, model_of_row=fold, terms=policy)


def _with_fold_models(out_of_fold: HeldOut, final: SelectedModel, cases: Cases) -> HeldOut:
    """Add the models of the folds, and the thresholds that other folds give each of them."""
    models = tuple(convert(each, out_of_fold.rows.vectors.shape[1]) for each in final.fold_models)
    crossfitted = levels.crossfitted(out_of_fold.terms, cases, final)
    return replace(out_of_fold, models=models, crossfitted=crossfitted)


def _after_cut(
    use_case: UseCase, served: LabelledRows, history: LabelledRows, sides: Split, twin: SelectedModel, policy: Terms,
    seed: int,
) -> HeldOut:  # fmt: skip
    """Return the rows after the cut with their scores by the twin, and its thresholds from before the cut."""
    share = _customers(history[sides.learn]) / _customers(history[sides.final])
    cases = Cases.of(policy, served[sides.learn], twin, use_case.features, share)
    model, _ = to_onnx(twin.model, twin, seed)
    rows = history[sides.held_out]
    score = Scorer(model).score(rows.vectors).astype(np.float64)
    return HeldOut(rows, score, levels.choose(policy, cases), model, twin.rows.by_event, terms=policy)


def _customers(history: LabelledRows) -> int:
    return len(np.unique(history.customers))


def _reference(use_case: UseCase, learned: LabelledRows, final: SelectedModel) -> Reference:
    """Return the distributions that drift is measured against; scores are held out, as those of strangers will be."""
    windows = [back.window_us for back in lookbacks(use_case)]
    origin = RowSource(final.rows.customer, learned.times_us, final.rows.fold, windows)
    usual = usual_values(use_case, learned, final.out_of_fold)
    bins = reference(use_case.features, learned.vectors, final.out_of_fold, usual, origin)
    return msgspec.structs.replace(bins, fields=learned.fields)
