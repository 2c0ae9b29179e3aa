"""Calibration: fit the sigmoid that turns margins into probabilities, on customers that the learner has not seen.

Platt 1999, "Probabilistic outputs for support vector machines"; by Newton's method as in Lin, Lin and Weng 2007.
Isotonic regression is not offered, because its steps in ONNX differ by a hundredth from the fitted ones.
"""

from collections.abc import Sequence

import numpy as np

from export.onnx import Sigmoid
from training.arrays import Floats, Labels

LEAST_SLOPE = 1e-3  # log odds for each standard deviation of the margins; keeps their order, says nothing
MOST_STEPS = 100  # Newton's method needs about ten
CLOSE = 1e-10  # log odds; a smaller step ends the search
RIDGE = 1e-9  # of the curvature, for margins that are all alike


def fit_sigmoid(margin: Floats, label: Labels, weight: Floats) -> Sigmoid:
    """Fit a rising sigmoid to margins, labels 0 or 1 (both present) and weights (1 a customer), all [n].

    Where the label does not rise with the margin there is no signal: all probabilities are then the base rate, but for
    differences that keep the order.
    """
    middle = np.average(margin, weights=weight)
    spread = np.sqrt(np.average((margin - middle) ** 2, weights=weight)) or 1.0
    target = _targets(label, weight)
    slope, intercept = _newton((margin - middle) / spread, target, weight)
    rises = bool(slope >= LEAST_SLOPE)
    if not rises:
        slope, intercept = LEAST_SLOPE, _log_odds(np.average(target, weights=weight))
    return Sigmoid(float(slope / spread), float(intercept - slope / spread * middle), rises)


def crossfitted(margin: Floats, label: Labels, weight: Floats, fold: Labels) -> list[Sigmoid]:
    """Return for each fold the sigmoid fitted to held-out margins [n] of the other folds."""
    others = [fold != each for each in range(int(fold.max()) + 1)]
    return [fit_sigmoid(margin[each], label[each], weight[each]) for each in others]


def probabilities(margin: Floats, fold: Labels, sigmoids: Sequence[Sigmoid]) -> Floats:
    """Return the probabilities [n] of held-out margins, each by the sigmoid of its fold."""
    scores = np.empty(len(margin))
    for each, sigmoid in enumerate(sigmoids):
        scores[fold == each] = sigmoid(margin[fold == each])
    return scores


def _targets(label: Labels, weight: Floats) -> Floats:
    """Return targets near 0 and 1, as if each class had one more customer, so that no slope is infinite."""
    negative, positive = np.bincount(label, weight, minlength=2)
    return np.asarray(np.where(label == 1, (positive + 1) / (positive + 2), 1 / (negative + 2)))


def _newton(margin: Floats, target: Floats, weight: Floats) -> tuple[float, float]:
    """Return slope and intercept of the least weighted cross entropy, which is convex; halve steps until they help."""
    coefficients = np.array([0.0, _log_odds(np.average(target, weights=weight))])
    loss = _loss(coefficients, margin, target, weight)
    for _ in range(MOST_STEPS):
        step = _step(coefficients, margin, target, weight)
        while (tried := _loss(coefficients + step, margin, target, weight)) > loss and np.abs(
            step
        ).max() > CLOSE:
            step = step / 2
        if tried > loss or np.abs(step).max() <= CLOSE:
            break
        coefficients, loss = coefficients + step, tried
    return float(coefficients[0]), float(coefficients[1])


def _step(coefficients: Floats, margin: Floats, target: Floats, weight: Floats) -> Floats:
    probability = Sigmoid(*coefficients)(margin)
    error, curvature = weight * (target - probability), weight * probability * (1 - probability)
    cross, ridge = (curvature * margin).sum(), RIDGE * weight.sum()
    hessian = [[(curvature * margin**2).sum() + ridge, cross], [cross, curvature.sum() + ridge]]
    return np.asarray(np.linalg.solve(hessian, [(error * margin).sum(), error.sum()]))


def _loss(coefficients: Floats, margin: Floats, target: Floats, weight: Floats) -> float:
    odds = coefficients[0] * margin + coefficients[1]
    return float((weight * (np.logaddexp(0, odds) - target * odds)).sum())


def _log_odds(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))
