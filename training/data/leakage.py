"""Leaks: features that alone tell the label of nearly every customer, as no honest feature does.

The kernel cannot look ahead, since a vector is made of what arrived before. The history itself can leak: a profile
as of the day of export, a state that follows from the label, a time that was set afterwards.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.arrays import Floats, Labels
from training.data.labelled_rows import LabelledRows

SUSPECT_AUC = 0.99  # of one feature alone; the best honest ones of fraud and credit reach 0.9


class Suspect(NamedTuple):
    """Feature that may leak the label, with its ROC AUC."""

    feature: str
    auc: float  # of the feature or of its being missing, whichever way round tells more

    def __str__(self) -> str:
        return (
            f"{self.feature} alone tells the label (ROC AUC {self.auc:.3f}): is it known before the label is?"
        )


def find_suspects(history: LabelledRows, features: Sequence[str]) -> list[Suspect]:
    """Return the features whose ROC AUC alone is at least SUSPECT_AUC, the highest first; a customer weighs 1."""
    customer = np.unique(history.customers, return_inverse=True)[1]
    weight = 1.0 / np.bincount(customer)[customer]
    suspects = []
    for name, column in zip(features, history.vectors.T, strict=True):
        missing = np.isnan(column)
        ways = [np.where(missing, -np.inf, column), missing.astype(np.float64)] if missing.any() else [column]
        area = max(abs(auc(history.label, each, weight) - 0.5) + 0.5 for each in ways)
        if area >= SUSPECT_AUC:
            suspects.append(Suspect(name, area))
    return sorted(suspects, key=lambda suspect: -suspect.auc)


def auc(label: Labels, values: NDArray[np.floating], weight: Floats) -> float:
    """Return the weighted ROC AUC of values [n]; ties count half."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    good = np.cumsum((weight * (1 - label))[order])[ends]
    bad = np.diff(np.cumsum((weight * label)[order])[ends], prepend=0.0)
    below = np.concatenate([[0.0], good[:-1]])
    return float((bad * (below + good) / 2).sum() / (bad.sum() * good[-1]))
