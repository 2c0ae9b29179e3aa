"""From a labelled history to a bundle: split, choose, judge on what the model had not seen, convert, verify."""

import hashlib
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

import msgspec
import numpy as np

from export.bundle import Bundle, bundle
from export.distributions.reference import Origin, Reference, reference
from export.learned import encode
from export.onnx import Calibrated, Scorer, convert, parity
from export.policy import Terms, terms
from features.usecase import UseCase, lookbacks
from training.arrays import Mask, Vectors
from training.data.cleaning import CleaningCount
from training.data.labelled_rows import BadHistory, LabelledRows
from training.data.like_files import zero_left_out
from training.data.splits import DAY_US, Split, SplitSettings, label_is_of_event, set_apart, split_rows
from training.data.usual import usual_values
from training.evaluation.absent_fields import measure_without_fields
from training.models.held_out import HeldOut
from training.models.parameters import HYPER, Parameters
from training.models.selection import SelectedModel, select_model
from training.policy import thresholds as levels
from training.policy.thresholds import Cases
from training.progress import Progress, prefixed, silent
from training.statistics.customer_score import customer_labels, customer_scores
from training.statistics.metrics import measure

PARITY_ROWS = 20_000  # rows on which the conversion is checked, beside extreme ones
LIBRARIES = (
    "numpy",
    "scikit-learn",
    "skl2onnx",
    "onnx",
    "onnxruntime",
    "onnxmltools",
    "optuna",
    "xgboost-cpu",
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, eq=False)
class BuiltBundle:
    """The bundle, and what it was judged by. Nothing is written yet."""

    bundle: Bundle
    chosen: SelectedModel
    held_out: HeldOut
    split: Split
    out_of_fold: (
        HeldOut  # the rows that the final model has learned from, scored by folds; may be `held_out` itself
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
    """A bundle from a history; `split_settings` and `cut_us` override the use case's `model.split`. Writes nothing.

    Raises BadHistory (nothing to learn from), BadUseCase (`model`, `policy`), ParityError.
    """
    whole = replace(
        history, vectors=np.ascontiguousarray(history.vectors, np.float32)
    )  # as it will be served
    _check_finite(use_case, whole.vectors)
    history = zero_left_out(use_case, whole)
    parameters = Parameters.of(use_case.model, use_case.file)
    policy = terms(use_case.policy, use_case.file, use_case.features)
    sides = split_rows(
        history, split_settings or SplitSettings.of(use_case, use_case.model.get("split")), cut_us
    )
    progress(sides.description)
    by_event = label_is_of_event(use_case)
    twin = _twin(history, sides, parameters, by_event, seed, progress)
    asked = parameters if twin is None else _as_chosen(parameters, twin)
    learned = history if twin is None else history[sides.final]
    kept = whole[sides.final] if whole.left_out else learned  # as it is, also where the model does without
    told = prefixed(progress, "the model that is kept")
    chosen = _chosen(learned, asked, by_event, seed, told, _apart(learned, sides.share_set_apart))
    progress("converting to ONNX")
    model, difference = converted(chosen.model, chosen, seed)
    stand_in = None if chosen.stand_in is None else converted(chosen.stand_in, chosen, seed)[0]
    progress("choosing thresholds")
    cases = Cases.of(policy, kept, chosen, use_case.features)
    thresholds = levels.choose(policy, cases)
    if twin is None:
        held_out = _judged_by_folds(history, chosen, thresholds, model, policy, cases)
    else:
        part = _customers(history[sides.learn]) / _customers(learned)
        theirs = levels.choose(policy, Cases.of(policy, whole[sides.learn], twin, use_case.features, part))
        held_out = _judged(history[sides.held_out], twin, theirs, policy, seed)
    progress("measuring on what the model had not seen")
    metrics = figures(held_out, seed) | {
        "levels": levels.facts(policy, cases, thresholds, seed),
        "parity": difference,
        "lacking": measure_without_fields(use_case, held_out, seed),
    }
    facts = _facts(kept) | {"split": sides.description, "model": (twin or chosen).facts}
    if by_event:
        facts["known_after_days"] = float(np.median(learned.known_us - learned.times_us) / DAY_US)
    facts["set_apart"] = 0.0 if stand_in is None else sides.share_set_apart
    facts["left_out"] = list(whole.left_out)
    facts["cleaning"] = [msgspec.structs.asdict(each) for each in cleaning]
    made = bundle(
        use_case, use_case.text, model, _reference(use_case, kept, chosen), thresholds, created_at,
        stand_in, encode(np.unique(learned.customers).tolist()), seed=seed, versions=_versions(), metrics=metrics,
        training=facts,
    )  # fmt: skip
    out_of_fold = held_out if twin is None else _out_of_fold(learned, chosen, thresholds, model, policy)
    return BuiltBundle(made, twin or chosen, held_out, sides, out_of_fold)


def _reference(use_case: UseCase, learned: LabelledRows, chosen: SelectedModel) -> Reference:
    """What drift is measured against, and what is usual; the scores are held out, as those of strangers will be."""
    windows = [back.window_us for back in lookbacks(use_case)]
    origin = Origin(chosen.rows.customer, learned.times_us, chosen.rows.fold, windows)
    by_customer = usual_values(use_case, learned, chosen.out_of_fold)
    kept = reference(use_case.features, learned.vectors, chosen.out_of_fold, by_customer, origin)
    return msgspec.structs.replace(kept, fields=learned.fields)


def _twin(
    history: LabelledRows, sides: Split, parameters: Parameters, by_event: bool, seed: int, progress: Progress
) -> SelectedModel | None:
    """The model that is judged in the final one's place, made in the same manner; by folds there is none."""
    if sides.cut_us is None:
        return None
    told = prefixed(progress, "the model that is judged")
    return _chosen(history[sides.learn], parameters, by_event, seed, told)


def _chosen(
    learned: LabelledRows,
    parameters: Parameters,
    by_event: bool,
    seed: int,
    progress: Progress,
    apart: Mask | None = None,
) -> SelectedModel:
    vectors, label, customers = learned.vectors, learned.label, learned.customers
    return select_model(vectors, label, customers, parameters, seed, progress, apart, by_event)


def _apart(history: LabelledRows, share: float) -> Mask | None:
    """The rows that the stand-in does not learn from; None if nothing is set apart, or too little would be left."""
    apart = set_apart(history.customers, share)
    left = history.label[~apart]
    return apart if apart.any() and left.any() and not left.all() else None


def _as_chosen(parameters: Parameters, twin: SelectedModel) -> Parameters:
    """The twin's candidate with its hyper-parameters, and nothing left to choose."""
    values = {name: value for name, value in twin.parameters.items() if name in HYPER}
    balanced = bool(twin.parameters["balanced"])
    return replace(parameters, candidates=(twin.candidate,), trials=0, balanced=balanced, **values)


def _judged_by_folds(
    rows: LabelledRows,
    chosen: SelectedModel,
    thresholds: dict[str, float],
    model: bytes,
    policy: Terms,
    cases: Cases,
) -> HeldOut:
    models = tuple(convert(each, rows.vectors.shape[1]) for each in chosen.fold_models)
    held_out = _out_of_fold(rows, chosen, thresholds, model, policy)
    return replace(held_out, models=models, crossfitted=levels.crossfitted(policy, cases, chosen))


def _out_of_fold(
    rows: LabelledRows, chosen: SelectedModel, thresholds: dict[str, float], model: bytes, policy: Terms
) -> HeldOut:
    """Scores by folds, without the models that gave them."""
    fold, by_event = chosen.rows.fold, chosen.rows.by_event
    return HeldOut(rows, chosen.out_of_fold, thresholds, model, by_event, model_of_row=fold, terms=policy)


def _judged(
    rows: LabelledRows, twin: SelectedModel, thresholds: dict[str, float], policy: Terms, seed: int
) -> HeldOut:
    model, _ = converted(twin.model, twin, seed)
    score = Scorer(model).score(rows.vectors).astype(np.float64)
    return HeldOut(rows, score, thresholds, model, twin.rows.by_event, terms=policy)


def _customers(history: LabelledRows) -> int:
    return len(np.unique(history.customers))


def converted(model: Calibrated, chosen: SelectedModel, seed: int) -> tuple[bytes, float]:
    """The model in ONNX, and how far its scores are from scikit-learn's at most. Raises ParityError."""
    vectors = chosen.rows.vectors
    made = convert(model, vectors.shape[1])
    rows = np.random.default_rng(seed).permutation(len(vectors))[:PARITY_ROWS]
    return made, parity(model, made, vectors[np.sort(rows)])


def figures(held_out: HeldOut, seed: int) -> dict[str, Any]:
    """Metrics of assessments, weighted as `held_out` says, and of customers."""
    label, customer = held_out.rows.label, held_out.customer
    score, customer_label = customer_scores(customer, held_out.score), customer_labels(customer, label)
    everyone = np.arange(len(score))
    return {
        "assessments": measure(label, held_out.score, held_out.weight, customer, seed),
        "customers": measure(customer_label, score, np.ones(len(score)), everyone, seed),
    }


def _check_finite(use_case: UseCase, vectors: Vectors) -> None:
    if len(vectors) == 0:
        raise BadHistory("found no scored event of a labelled customer, expected many: check the files given")
    columns = np.flatnonzero(np.isinf(vectors).any(axis=0))
    if len(columns):
        raise BadHistory(
            f"feature {use_case.features[columns[0]]} is infinite for some event; "
            "look for a value beyond 3e38 or a ratio without a lower side"
        )


def _facts(history: LabelledRows) -> dict[str, Any]:
    """What was learned from."""
    vectors, label, customers, times_us = history.vectors, history.label, history.customers, history.times_us
    names = "\n".join(str(name) for name in customers).encode()
    parts = (vectors.tobytes(), label.astype(np.int8).tobytes(), names, times_us.astype(np.int64).tobytes())
    return {
        "rows": len(vectors),
        "positive_rows": int(label.sum()),
        "customers": len(set(customers.tolist())),
        "positive_customers": len(set(customers[label == 1].tolist())),
        "from": _day(times_us.min()),
        "to": _day(times_us.max()),
        "sha256": hashlib.sha256(b"".join(parts)).hexdigest(),
    }


def _day(time_us: np.int64) -> str:
    return f"{EPOCH + timedelta(microseconds=int(time_us)):%Y-%m-%d}"


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}
