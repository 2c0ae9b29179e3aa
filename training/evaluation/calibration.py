"""Calibration: mean scores and shares of positives in bins of neighbouring scores."""

import numpy as np

from training.arrays import Floats, Indices, Labels
from training.evaluation.figures import CalibrationBin

BINS = 10  # of equal weight; rows with equal scores stay together


def calibration(label: Labels, score: Floats, weight: Floats) -> tuple[tuple[CalibrationBin, ...], float]:
    """Return the bins from the lowest scores up, and their expected calibration error (Naeini, 2015)."""
    place = _places(score, weight)
    total, predicted, true = (
        np.bincount(place, each, minlength=BINS) for each in (weight, weight * score, weight * label)
    )
    rows = np.bincount(place, minlength=BINS)
    error = np.abs(true - predicted).sum() / total.sum()
    bins = tuple(
        CalibrationBin(float(predicted[k] / total[k]), float(true[k] / total[k]), int(rows[k]))
        for k in np.flatnonzero(rows)
    )
    return bins, float(error)


def _places(score: Floats, weight: Floats) -> Indices:
    """Return the bin of each row: the one that holds the middle of all rows with its score."""
    _, tie = np.unique(score, return_inverse=True)
    tied = np.bincount(tie, weight)
    middle = (np.cumsum(tied) - tied / 2) / tied.sum()
    return np.asarray(np.minimum((middle * BINS).astype(np.intp), BINS - 1)[tie])
