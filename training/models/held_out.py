"""Held-out rows: rows that a model has not seen, their scores, and the policy that decides by them."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from export.policy import Terms
from training.arrays import Floats, Indices, Mask
from training.data.labelled_rows import LabelledRows
from training.statistics.weights import weights


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Rows [n] and their scores by models that have seen neither them nor (but for a split by time) their customers.

    `models` (ONNX) gave the scores, and `model_of_row` [n] is the place of each row's model among them. By folds there
    is one model for each fold, else there is one.
    """

    rows: LabelledRows
    score: Floats  # [n] probabilities
    thresholds: dict[str, float]  # by level, chosen without these rows, except by folds
    model: bytes  # ONNX: the model that is measured; by folds the final one
    by_event: bool = False  # the label is an event's, so every event counts as one
    models: tuple[bytes, ...] = ()
    model_of_row: NDArray[np.int64] | None = None
    terms: Terms = field(default_factory=Terms)  # of the policy that decides by these scores
    crossfitted: tuple[dict[str, float], ...] = ()  # for each of `models`, thresholds chosen without its rows

    def by_model(self) -> list[tuple[bytes, Mask]]:
        """Return each model that gave scores with its rows [n], none of which it has learned from."""
        if self.model_of_row is None:
            return [(self.model, np.ones(len(self.score), np.bool_))]
        return [(model, self.model_of_row == k) for k, model in enumerate(self.models)]

    @property
    def customer(self) -> Indices:
        """Customers [n], numbered from 0."""
        return np.unique(self.rows.customers, return_inverse=True)[1]

    @property
    def weight(self) -> Floats:
        """Weights [n]: one an event, or one a customer."""
        return weights(self.customer, self.by_event)
