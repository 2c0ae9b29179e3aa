"""Calibrated models: a learner's margin becomes a probability by a sigmoid.

A margin is a score on the scale of log odds, float64 [n]. Class weights shift it, and a forest's votes are no
probabilities: p = 1 / (1 + exp(-(slope * margin + intercept))), fitted to scores of customers the learner had not
seen, says what share of customers is positive (Platt 1999). The slope is above 0: ranking is the learner's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST_LOG_ODDS = 700.0  # exp of more overflows float64; the probability is 0 or 1 long before

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sigmoid:
    """A sigmoid of margins. By default margins are taken as the log odds that they claim to be."""

    slope: float = 1.0
    intercept: float = 0.0
    rises: bool = True  # False: the label did not rise with the margin, and all scores are near the base rate

    def __call__(self, margin: Floats) -> Floats:
        """Log odds by the learner, float64 [n] -> probability of class 1, float64 [n]."""
        odds = np.clip(self.slope * margin + self.intercept, -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)
        return np.asarray(1.0 / (1.0 + np.exp(-odds)))


@dataclass(frozen=True)
class Calibrated:
    """A fitted learner and its sigmoid. `export.onnx.conversion.convert` makes one graph of both."""

    model: Any
    calibration: Sigmoid

    def predict_proba(self, vectors: NDArray[np.float32]) -> Floats:
        """float32 [n, F] with NaN where missing -> float64 [n, 2], as scikit-learn's."""
        positive = self.calibration(margin(self.model, vectors))
        return np.stack([1.0 - positive, positive], axis=1)


def _of_votes(model: Any, vectors: NDArray[np.float32]) -> Floats:
    share = model.predict_proba(vectors)[:, 1]
    doubt = votes_doubt(model)
    smooth = share * (1 - 2 * doubt) + doubt
    return np.asarray(np.log(smooth) - np.log(1 - smooth))


def votes_doubt(model: Any) -> float:
    """Half a vote for either class (Jeffreys' rule): trees that all agree are still no certainty."""
    return float(0.5 / (model.n_estimators + 1))


def _of_booster(model: Any, vectors: NDArray[np.float32]) -> Floats:
    return np.asarray(model.predict(vectors, output_margin=True), np.float64)


def _decision(model: Any, vectors: NDArray[np.float32]) -> Floats:
    return np.asarray(model.decision_function(vectors), np.float64)


MARGINS: Mapping[str, Callable[[Any, NDArray[np.float32]], Floats]] = {
    "HistGradientBoostingClassifier": _decision,
    "Linear": _decision,
    "RandomForestClassifier": _of_votes,
    "XGBClassifier": _of_booster,
}


def margin(model: Any, vectors: NDArray[np.float32]) -> Floats:
    """The learner's log odds of class 1, float64 [n]. Raises KeyError for a learner that MARGINS does not list."""
    return MARGINS[type(model).__name__](model, vectors)
