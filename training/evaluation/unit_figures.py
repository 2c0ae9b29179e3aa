"""Quality of the scores of events, and of the scores of customers: the same figures for both units.

In figures of events all rows of a customer together count as one, as in training, unless the label is an event's;
precision at k and the gain take events one by one, because that is how a team works through them. Intervals come from a
bootstrap over customers; those of shares are at least Wilson's for as many customers as the share is of, because a
bootstrap says nothing about ten out of ten.
"""

from collections.abc import Mapping
from math import isfinite

import numpy as np

from training.arrays import Floats, Indices, Mask
from training.evaluation import curves
from training.evaluation.calibration import calibration
from training.evaluation.curves import AT, ScoredSample
from training.evaluation.customers import HeldOutCustomers
from training.evaluation.figures import Confusion, Decile, ThresholdFigures, UnitFigures
from training.models.held_out import HeldOut
from training.statistics.interval import Interval
from training.statistics.metrics import Ranking
from training.statistics.wilson import rate

Costs = tuple[float, float]  # of a miss and of a false alarm, in any one unit


def event_sample(held_out: HeldOut, customers: HeldOutCustomers) -> ScoredSample:
    """Return the events with their scores."""
    return ScoredSample(held_out.rows.label, held_out.score, customers.weight, customers.of_row)


def customer_sample(customers: HeldOutCustomers, score: Floats | None = None) -> ScoredSample:
    """Return the customers, by default with the scores that rank them."""
    everyone = np.arange(len(customers))
    score = customers.score if score is None else score
    return ScoredSample(customers.label, score, np.ones(len(customers)), everyone)


def unit_figures(
    about: str,
    sample: ScoredSample,
    thresholds: Mapping[str, float],
    costs: Costs | None,
    seed: int,
    sustained: ScoredSample | None = None,
) -> UnitFigures:
    """Measure one unit. `sample` holds both labels.

    `sustained` is the same sample with the scores that thresholds apply to, if those are not the scores that rank.
    """
    flagged = sustained or sample
    measured = curves.intervals(sample, {} if sustained else thresholds, seed)
    if sustained:
        measured |= {
            name: each
            for name, each in curves.intervals(sustained, thresholds, seed).items()
            if name not in measured
        }
    ranking, weight = Ranking.of(sample.label, sample.score), sample.weight
    bins, error = calibration(sample.label, sample.score, weight)
    return UnitFigures(
        about=about,
        n=len(sample.label),
        positives=int(sample.label.sum()),
        base_rate=float(weight @ sample.label / weight.sum()),
        roc_auc=measured["roc_auc"],
        average_precision=measured["average_precision"],
        brier=measured["brier"],
        recall_at_fpr=_recalls(measured, sample),
        precision_at_k=_precisions(measured, sample),
        roc=curves.roc(ranking, weight),
        precision_recall=curves.precision_recall(ranking, weight),
        calibration=bins,
        calibration_error=error,
        cost=curves.cost(Ranking.of(flagged.label, flagged.score), weight, *costs) if costs else (),
        gain=gain(sample),
        at={name: _at(measured, flagged, name, value) for name, value in thresholds.items()},
        log_loss=measured["log_loss"],
        ks=measured["ks"],
    )


def _named(measured: Mapping[str, Interval], start: str) -> dict[str, Interval]:
    return {name.removeprefix(start): each for name, each in measured.items() if name.startswith(start)}


def _recalls(measured: Mapping[str, Interval], sample: ScoredSample) -> dict[str, Interval]:
    customers = _customers(sample, sample.label == 1)
    return {name: widened(each, customers) for name, each in _named(measured, "recall at ").items()}


def _precisions(measured: Mapping[str, Interval], sample: ScoredSample) -> dict[str, Interval]:
    order, k_of = np.argsort(-sample.score, kind="stable"), curves.tops(len(sample.label))
    return {
        name: widened(each, _customers(sample, order[: k_of[name]]))
        for name, each in _named(measured, "precision at ").items()
    }


def _customers(sample: ScoredSample, rows: Mask | Indices) -> int:
    """Count the customers of some rows."""
    return len(np.unique(sample.customer[rows]))


def widened(share: Interval, customers: int) -> Interval:
    """Widen the interval of a share to at least Wilson's for so many customers."""
    if not isfinite(share.value):
        return share
    least = rate(share.value * customers, customers)
    return Interval(share.value, min(share.low, least.low), max(share.high, least.high))


def _at(
    measured: Mapping[str, Interval], sample: ScoredSample, name: str, threshold: float
) -> ThresholdFigures:
    matrix = confusion(sample.label == 1, sample.score >= threshold)
    flagged = matrix.true_positives + matrix.false_positives
    figures = {each: measured[f"{name} {each}"] for each in AT}
    if int(sample.customer.max()) + 1 == len(sample.customer):
        figures |= _wilson(matrix)
    else:
        figures |= _by_customers(figures, sample, threshold)
    return ThresholdFigures(threshold, flagged, **figures, rightly=matrix.true_positives, confusion=matrix)


def _by_customers(
    figures: Mapping[str, Interval], sample: ScoredSample, threshold: float
) -> dict[str, Interval]:
    """Widen the shares of events by the number of customers that they are of."""
    positive = sample.label == 1
    counts = {
        "precision": sample.score >= threshold,
        "recall": positive,
        "false_positive_rate": ~positive,
        "accuracy": np.ones(len(positive), np.bool_),
    }
    return {name: widened(figures[name], _customers(sample, rows)) for name, rows in counts.items()}


def _wilson(matrix: Confusion) -> dict[str, Interval]:
    """Return the shares of customers with intervals that hold for few too."""
    true, false = matrix.true_positives, matrix.false_positives
    n = true + false + matrix.false_negatives + matrix.true_negatives
    return {
        "precision": rate(true, true + false),
        "recall": rate(true, true + matrix.false_negatives),
        "false_positive_rate": rate(false, false + matrix.true_negatives),
        "accuracy": rate(true + matrix.true_negatives, n),
    }


def confusion(is_positive: Mask, is_flagged: Mask) -> Confusion:
    """Count n customers or events, each as one."""
    counts = np.bincount(2 * is_positive + is_flagged, minlength=4).tolist()
    true_negatives, false_positives, false_negatives, true_positives = counts
    return Confusion(true_positives, false_positives, false_negatives, true_negatives)


def gain(sample: ScoredSample) -> tuple[Decile, ...]:
    """Return the tenths of the rows by falling score; a tie at an end counts as chance would take it."""
    ranking = Ranking.of(sample.label, sample.score)
    true, false = ranking.flagged(np.ones(len(sample.label)))
    rows, true = np.insert(true + false, 0, 0.0), np.insert(true, 0, 0.0)
    tenths = np.arange(1, 11) / 10
    sustained = np.interp(tenths * rows[-1], rows, true) / true[-1]
    return tuple(Decile(float(t), float(h), float(h / t)) for t, h in zip(tenths, sustained, strict=True))
