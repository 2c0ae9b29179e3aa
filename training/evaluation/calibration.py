"""Whether a score of 0.3 means that three of ten are positive: bins of neighbouring scores, and their shares."""

import numpy as np

from training.arrays import Floats, Indices, Labels
from training.evaluation.figures import CalibrationBin

BINS = 10  # of equal weight; rows with equal scores stay together


def calibration(label: Labels, score: Floats, weight: Floats) -> tuple[tuple[CalibrationBin, ...], float]:
    """Bins from the lowest scores up, and the expected calibration error (Naeini, 2015) that they give."""
    place = _places(score, weight)
    total, said, true = (
        np.bincount(place, each, minlength=BINS) for each in (weight, weight * score, weight * label)
    )
    rows = np.bincount(place, minlength=BINS)
    error = np.abs(true - said).sum() / total.sum()
    bins = tuple(
        CalibrationBin(float(said[k] / total[k]), float(true[k] / total[k]), int(rows[k]))
        for k in np.flatnonzero(rows)
    )
    return bins, float(error)


def _places(score: Floats, weight: Floats) -> Indices:
    """The bin of each row: where the middle of all rows with its score lies."""
    _, tie = np.unique(score, return_inverse=True)
    own = np.bincount(tie, weight)
    middle = (np.cumsum(own) - own / 2) / own.sum()
    return np.asarray(np.minimum((middle * BINS).astype(np.intp), BINS - 1)[tie])
