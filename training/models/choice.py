"""The model that is chosen: candidate and hyper-parameters by cross-validation, then fitted to all and calibrated.

Held-out scores are by models, and sigmoids, that never saw the customer. The hyper-parameters did, if they were tuned:
that flatters held-out scores a little, so compare models on customers that were not given here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.calibration import Calibrated, Sigmoid
from training.fit import Floats, Progress, Rows, fit, held_out, rows_of
from training.models.calibrate import crossfitted, fit_sigmoid
from training.models.parameters import Parameters
from training.models.tuning import Trial, best, part, tune
from training.parallel import beside


@dataclass(frozen=True, eq=False)
class Chosen:
    """The model of all rows, how it was chosen, and for each row [n] the score by a model without its customer."""

    model: Calibrated
    stand_in: Calibrated | None  # the same without the customers that were set apart
    candidate: str
    parameters: Mapping[str, Any]  # hyper-parameters by name
    fold_models: tuple[Calibrated, ...]  # for each fold the one without it, learner and sigmoid
    held_out: Floats  # [n] probabilities by the model without the row's fold
    raw: Floats  # [n] the same before calibration
    rows: Rows  # as given, with customers numbered and dealt out to folds
    trials: tuple[Trial, ...]  # none if there was nothing to choose from
    tuned_on: Mapping[str, int]  # rows and customers of the trials

    @property
    def calibration(self) -> Sigmoid:
        return self.model.calibration

    @property
    def facts(self) -> dict[str, Any]:
        """What a manifest says about it: plain values, the same for the same seed."""
        sigmoid = self.calibration
        return {
            "candidate": self.candidate,
            "parameters": dict(self.parameters),
            "calibration": {"slope": sigmoid.slope, "intercept": sigmoid.intercept, "rises": sigmoid.rises},
            "folds": self.rows.folds,
            "trials": [trial.facts for trial in self.trials],
            "tuned_on": dict(self.tuned_on),
        }


def choose(
    vectors: NDArray[np.float32],
    label: NDArray[np.integer],
    customers: NDArray[Any],
    parameters: Parameters,
    seed: int,
    progress: Progress = lambda _: None,
    apart: NDArray[np.bool_] | None = None,
    by_event: bool = False,
) -> Chosen:
    """vectors [n, F] with NaN where missing, label 0 or 1 [n], customer id [n], rows a stand-in does not learn [n].

    One candidate and no trials: it is fitted as declared. `by_event`: the label is an event's, so what is measured
    weighs events alike. Raises BadHistory if nothing can be told apart.
    """
    rows = rows_of(vectors, label, customers, parameters.folds, parameters.rows_per_customer, seed, by_event)
    trials, tuned_on = _trials(rows, parameters, seed, progress)
    candidate = best(trials, parameters).candidate if trials else parameters.candidates[0]
    values = best(trials, parameters).parameters if trials else parameters.start(candidate)
    margins, fold_learners = _held_out(rows, candidate, values, seed, progress)
    sigmoids = crossfitted(margins, label, rows.weight, rows.fold)
    progress("fitting on all customers")
    learned = [np.ones(len(label), np.bool_)] + ([] if apart is None else [~apart])
    learners = beside([partial(fit, rows, each, candidate, values, seed) for each in learned])
    model, *stand_in = (
        Calibrated(learner, fit_sigmoid(margins[each], label[each], rows.weight[each]))
        for learner, each in zip(learners, learned, strict=True)
    )
    return Chosen(
        model=model,
        stand_in=stand_in[0] if stand_in else None,
        candidate=candidate,
        parameters=values,
        fold_models=tuple(map(Calibrated, fold_learners, sigmoids)),
        held_out=_probabilities(margins, rows, sigmoids),
        raw=Sigmoid()(margins),
        rows=rows,
        trials=trials,
        tuned_on=tuned_on,
    )


def _held_out(
    rows: Rows, candidate: str, values: Mapping[str, Any], seed: int, progress: Progress
) -> tuple[Floats, list[Any]]:
    """Margins [n], each by the learner of its fold, and these learners."""
    margins, learners = np.empty(len(rows.label)), []
    for fold, (learner, found) in enumerate(held_out(rows, range(rows.folds), candidate, values, seed)):
        margins[rows.fold == fold] = found
        learners.append(learner)
        progress(f"fitted without fold {fold + 1} of {rows.folds}")
    return margins, learners


def _probabilities(margins: Floats, rows: Rows, sigmoids: Sequence[Sigmoid]) -> Floats:
    found = np.empty(len(margins))
    for fold, sigmoid in enumerate(sigmoids):
        found[rows.fold == fold] = sigmoid(margins[rows.fold == fold])
    return found


def _trials(
    rows: Rows, parameters: Parameters, seed: int, progress: Progress
) -> tuple[tuple[Trial, ...], dict[str, int]]:
    if not parameters.trials and len(parameters.candidates) == 1:
        return (), {}
    few = part(rows, parameters.tuning_rows, seed)
    facts = {"rows": len(few.label), "customers": len(few.customer_label)}
    progress(f"tuning on {facts['rows']} rows of {facts['customers']} customers")
    return tuple(tune(few, parameters, seed, progress)), facts
