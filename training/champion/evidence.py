"""Evidence for the gates, gathered from a model's evaluation and, if there is one, from the champion."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from export.bundle import Bundle
from features.usecase import UseCase
from training.arrays import Floats
from training.build_bundle import BuiltBundle
from training.champion.differences import difference, drift
from training.champion.gates import Contrast, Evidence
from training.data.labelled_rows import BadHistory
from training.data.leakage import find_suspects
from training.data.splits import label_is_of_event
from training.evaluation.baselines import leads
from training.evaluation.figures import Evaluation
from training.evaluation.promises import Promise
from training.evaluation.treatment import Fairness
from training.models.held_out import HeldOut
from training.models.parameters import Parameters
from training.statistics.customer_score import customer_labels, customer_scores
from training.statistics.interval import Interval

NO_SCORE = (
    "the champion has no score for any event that judges: it was made for other events, or has learned from all these "
    "customers"
)


def gather_evidence(
    use_case: UseCase,
    made: BuiltBundle,
    figures: Evaluation,
    seed: int,
    champion: Bundle | None = None,
    scores: Floats | None = None,
) -> Evidence:
    """Return the figures that the gates ask for, of customers or, if the label is an event's, of events.

    `scores` [n] are the champion's scores of the held-out rows, NaN where it has none; None without a champion. Raises
    BadHistory if all are NaN.
    """
    parameters = Parameters.of(use_case.model, use_case.file)
    level = figures.customers if figures.decides == "customers" else figures.events
    return Evidence(
        customers=figures.customers.n,
        positives=figures.customers.positives,
        roc_auc=level.roc_auc,
        average_precision=level.average_precision,
        base_rate=level.base_rate,
        leads=leads(figures.baselines),
        calendar=figures.calendar,
        metric=str(parameters.metric),
        better=None if scores is None else _better(use_case, parameters, made.held_out, scores, seed),
        calibration_error=figures.events.calibration_error,
        contrasts=contrasts(figures.fairness),
        distances=distances(figures.promise),
        drifted=_drifted(use_case, made, champion),
        suspects=[str(suspect) for suspect in find_suspects(made.held_out.rows, use_case.features)],
    )


def contrasts(by_field: Sequence[Fairness]) -> tuple[Contrast, ...]:
    """Return every comparison of a group that is large enough with the group of reference."""
    return tuple(
        Contrast(field.field, group.group, each.outcome, field.reference, each.ratio)
        for field in by_field
        for group in field.groups
        for each in group.outcomes
        if each.ratio is not None
    )


def distances(promise: Promise | None) -> dict[str, Interval]:
    """Return how far scores are from the truth, by time."""
    if promise is None:
        return {}
    young = {f"{each.words} after a customer's first event": each.distance for each in promise.by_age}
    late = {f"{each.words} before the end of the history": each.distance for each in promise.by_left}
    return young | late


def _better(
    use_case: UseCase, parameters: Parameters, held_out: HeldOut, scores: Floats, seed: int
) -> Interval:
    """Return the metric's difference over the rows that both have scored, positive if the challenger is better."""
    both = ~np.isnan(scores)
    if not both.any():
        raise BadHistory(NO_SCORE)
    sign = -1.0 if parameters.metric.lower_is_better else 1.0

    def metric(label: NDArray[np.int64], score: Floats, weight: Floats) -> float:
        return sign * parameters.metric(label, score, weight)

    label, challenger, champion = held_out.rows.label[both], held_out.score[both], scores[both]
    customer = np.unique(held_out.customer[both], return_inverse=True)[1]
    weight = held_out.weight[both]
    if not label_is_of_event(use_case):
        challenger, champion = customer_scores(customer, challenger), customer_scores(customer, champion)
        label = customer_labels(customer, label)
        customer, weight = np.arange(len(label)), np.ones(len(label))
    return difference(metric, label, challenger, champion, customer, weight, seed)


def _drifted(use_case: UseCase, made: BuiltBundle, champion: Bundle | None) -> dict[str, float]:
    """Return how far the held-out rows have drifted from what the champion learned from, by feature of both."""
    if champion is None:
        return {}
    names, left_out = champion.reference.features, made.held_out.rows.left_out
    known = [name for name in use_case.features if name in names and name not in left_out]
    columns = [use_case.features.index(name) for name in known]
    held_out = made.held_out
    return drift(champion.reference, tuple(known), held_out.rows.vectors[:, columns], held_out.customer)
