"""Fitting the sigmoid that turns margins into probabilities, on scores of customers that the learner had not seen.

Platt 1999, "Probabilistic outputs for support vector machines"; by Newton's method as Lin, Lin and Weng 2007. Isotonic
regression is not offered: in ONNX its steps differ by a hundredth from what was fitted.
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
    """Margins, labels 0 or 1 (both there) and weights (1 a customer), all [n], to a rising sigmoid.

    Where the label does not rise with the margin there is no signal: all probabilities are then the base rate,
    but for differences that keep the order.
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
    """For each fold the sigmoid fitted to held-out margins [n] of the other folds."""
    others = [fold != each for each in range(int(fold.max()) + 1)]
    return [fit_sigmoid(margin[each], label[each], weight[each]) for each in others]


def probabilities(margin: Floats, fold: Labels, sigmoids: Sequence[Sigmoid]) -> Floats:
    """Probabilities [n] of held-out margins, each by the sigmoid of its fold."""
    found = np.empty(len(margin))
    for each, sigmoid in enumerate(sigmoids):
        found[fold == each] = sigmoid(margin[fold == each])
    return found


def _targets(label: Labels, weight: Floats) -> Floats:
    """Nearly 0 and 1: as if one more customer of each class had been seen, so that no slope is endless."""
    negative, positive = np.bincount(label, weight, minlength=2)
    return np.where(label == 1, (positive + 1) / (positive + 2), 1 / (negative + 2))


def _newton(margin: Floats, target: Floats, weight: Floats) -> tuple[float, float]:
    """Slope and intercept of the least weighted cross entropy, which is convex; steps are halved until they help."""
    found = np.array([0.0, _log_odds(np.average(target, weights=weight))])
    loss = _loss(found, margin, target, weight)
    for _ in range(MOST_STEPS):
        step = _step(found, margin, target, weight)
        while (tried := _loss(found + step, margin, target, weight)) > loss and np.abs(step).max() > CLOSE:
            step = step / 2
        if tried > loss or np.abs(step).max() <= CLOSE:
            break
        found, loss = found + step, tried
    return float(found[0]), float(found[1])


def _step(found: Floats, margin: Floats, target: Floats, weight: Floats) -> Floats:
    probability = Sigmoid(*found)(margin)
    error, curvature = weight * (target - probability), weight * probability * (1 - probability)
    cross, ridge = (curvature * margin).sum(), RIDGE * weight.sum()
    hessian = [[(curvature * margin**2).sum() + ridge, cross], [cross, curvature.sum() + ridge]]
    return np.asarray(np.linalg.solve(hessian, [(error * margin).sum(), error.sum()]))


def _loss(found: Floats, margin: Floats, target: Floats, weight: Floats) -> float:
    odds = found[0] * margin + found[1]
    return float((weight * (np.logaddexp(0, odds) - target * odds)).sum())


def _log_odds(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))
