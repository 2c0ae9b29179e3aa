"""Features that know too much: alone they tell nearly every customer's label, as nothing honest does.

The kernel cannot look ahead: a vector is made of what arrived before. What can leak is the history itself: a profile
as of the day of export, a state that only follows from the label, a time that was set afterwards.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.arrays import Floats, Labels
from training.data.labelled_rows import LabelledRows

SUSPECT_AUC = 0.99  # of one feature alone; the best honest ones of fraud and credit reach 0.9


class Suspect(NamedTuple):
    feature: str
    auc: float  # of the feature or of its being missing, whichever way round tells more

    def __str__(self) -> str:
        return (
            f"{self.feature} alone tells the label (ROC AUC {self.auc:.3f}): is it known before the label is?"
        )


def find_suspects(history: LabelledRows, features: Sequence[str]) -> list[Suspect]:
    """Features whose ROC AUC over rows, each customer with weight 1, is at least SUSPECT_AUC."""
    customer = np.unique(history.customers, return_inverse=True)[1]
    weight = 1.0 / np.bincount(customer)[customer]
    found = []
    for name, column in zip(features, history.vectors.T, strict=True):
        missing = np.isnan(column)
        ways = [np.where(missing, -np.inf, column), missing.astype(np.float64)] if missing.any() else [column]
        told = max(abs(auc(history.label, each, weight) - 0.5) + 0.5 for each in ways)
        if told >= SUSPECT_AUC:
            found.append(Suspect(name, told))
    return sorted(found, key=lambda suspect: -suspect.auc)


def auc(label: Labels, values: NDArray[np.floating], weight: Floats) -> float:
    """Weighted ROC AUC; ties count half."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    good = np.cumsum((weight * (1 - label))[order])[ends]
    bad = np.diff(np.cumsum((weight * label)[order])[ends], prepend=0.0)
    below = np.concatenate([[0.0], good[:-1]])
    return float((bad * (below + good) / 2).sum() / (bad.sum() * good[-1]))
