"""Selection of the model: learner and hyper-parameters by cross-validation, then a calibrated fit to all rows.

Held-out scores come from models and sigmoids that have not seen the customer. The selection has seen it, where there
was a choice, which flatters held-out scores a little: compare models on customers that are not given here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from export.onnx import Calibrated, Sigmoid
from training.arrays import Floats, Labels, Mask, Texts, Vectors
from training.models.calibrate import crossfitted, fit_sigmoid, probabilities
from training.models.comparison import Contender, LearnerResult, compare_learners
from training.models.fit import LearningRows, fit, fit_folds, learning_rows
from training.models.parallel import run_in_parallel
from training.models.parameters import Parameters
from training.models.tuning import Trial, best_trial, draw_customers, tune
from training.progress import Progress


@dataclass(frozen=True, eq=False)
class SelectedModel:
    """The model of all rows, how it was selected, and scores [n] of each row by a model without its customer."""

    model: Calibrated
    stand_in: Calibrated | None  # fitted without the customers that are set apart
    candidate: str
    parameters: Mapping[str, Any]  # hyper-parameters by name
    fold_models: tuple[Calibrated, ...]  # for each fold the model without it
    out_of_fold: Floats  # [n] probabilities by the model without the row's fold
    raw: Floats  # [n] the same before calibration
    rows: LearningRows  # as given, with customers numbered and dealt to folds
    trials: tuple[Trial, ...]  # none if nothing was tuned
    compared: tuple[LearnerResult, ...]  # the chosen learner first; none if there was only one
    tuned_on: Mapping[str, int]  # rows and customers of the trials and of the comparison

    @property
    def calibration(self) -> Sigmoid:
        return self.model.calibration

    @property
    def facts(self) -> dict[str, Any]:
        """Plain values for the manifest, the same for the same seed."""
        sigmoid = self.calibration
        return {
            "candidate": self.candidate,
            "parameters": dict(self.parameters),
            "calibration": {"slope": sigmoid.slope, "intercept": sigmoid.intercept, "rises": sigmoid.rises},
            "folds": self.rows.folds,
            "trials": [trial.facts for trial in self.trials],
            "compared": [each.facts for each in self.compared],
            "tuned_on": dict(self.tuned_on),
        }


def select_model(
    vectors: Vectors,
    label: Labels,
    customers: Texts,
    parameters: Parameters,
    seed: int,
    progress: Progress = lambda _: None,
    apart: Mask | None = None,
    by_event: bool = False,
) -> SelectedModel:
    """Select a learner, fit it in folds and to all rows, and calibrate it.

    `vectors` [n, F] have NaN where missing, `label` [n] is 0 or 1, `customers` [n] are ids, and `apart` [n] marks rows
    that the stand-in does not learn from. A single candidate without trials is fitted as declared. Several are
    compared, each tuned first if there are trials. With `by_event` the label is an event's, so measuring weighs events
    alike. Raises BadHistory if nothing can be told apart.
    """
    rows = learning_rows(
        vectors, label, customers, parameters.folds, parameters.rows_per_customer, seed, by_event
    )
    (candidate, values), trials, compared, few = _choice(rows, parameters, seed, progress)
    margins, fold_learners = _fit_out_of_fold(rows, candidate, values, seed, progress)
    sigmoids = crossfitted(margins, label, rows.weight, rows.fold)
    progress("fitting on all customers")
    learned = [np.ones(len(label), np.bool_)] + ([] if apart is None else [~apart])
    learners = run_in_parallel([partial(fit, rows, each, candidate, values, seed) for each in learned])
    model, *stand_in = (
        Calibrated(learner, fit_sigmoid(margins[each], label[each], rows.weight[each]))
        for learner, each in zip(learners, learned, strict=True)
    )
    return SelectedModel(
        model=model,
        stand_in=stand_in[0] if stand_in else None,
        candidate=candidate,
        parameters=values,
        fold_models=tuple(map(Calibrated, fold_learners, sigmoids)),
        out_of_fold=probabilities(margins, rows.fold, sigmoids),
        raw=Sigmoid()(margins),
        rows=rows,
        trials=trials,
        compared=compared,
        tuned_on={"rows": len(few.label), "customers": len(few.customer_label)} if few else {},
    )


def _fit_out_of_fold(
    rows: LearningRows, candidate: str, values: Mapping[str, Any], seed: int, progress: Progress
) -> tuple[Floats, list[Any]]:
    """Fit a learner without each fold, and return the margins [n] and the learners."""
    margins, learners = np.empty(len(rows.label)), []
    for fold, (learner, fold_margins) in enumerate(
        fit_folds(rows, range(rows.folds), candidate, values, seed)
    ):
        margins[rows.fold == fold] = fold_margins
        learners.append(learner)
        progress(f"fitted without fold {fold + 1} of {rows.folds}")
    return margins, learners


def _choice(
    rows: LearningRows, parameters: Parameters, seed: int, progress: Progress
) -> tuple[Contender, tuple[Trial, ...], tuple[LearnerResult, ...], LearningRows | None]:
    """Choose a learner; return it with trials, comparison and the rows of both (None if there was no choice)."""
    contenders: list[Contender] = [(each, parameters.start(each)) for each in parameters.candidates]
    if not parameters.trials and len(contenders) == 1:
        return contenders[0], (), (), None
    few, trials = draw_customers(rows, parameters.tuning_rows, seed), tuple[Trial, ...]()
    about = f"{len(few.label):,} rows of {len(few.customer_label):,} customers"
    if parameters.trials:
        progress(f"tuning on {about}")
        trials = tuple(tune(few, parameters, seed, progress))
        contenders = [
            (each.candidate, each.parameters)
            for each in map(partial(best_trial, trials, parameters), parameters.candidates)
        ]
    if len(contenders) == 1:
        return contenders[0], trials, (), few
    progress(f"comparing {len(contenders)} learners on {about}")
    compared = compare_learners(few, contenders, parameters.metric, parameters.repeats, seed, progress)
    return (compared[0].candidate, compared[0].parameters), trials, compared, few
