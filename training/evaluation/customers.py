"""Customers of held-out rows: labels, scores, highest scores, and their last rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.arrays import Floats, Indices
from training.data.labelled_rows import BadHistory
from training.models.held_out import HeldOut
from training.statistics.customer_score import customer_labels, customer_scores, highest

CLASSES = "the customers judged are all {}, expected some of each label: judge by more history"


@dataclass(frozen=True, eq=False)
class HeldOutCustomers:
    """Customers of held-out rows; `of_row` [n] numbers them from 0, and arrays [customers] are in that order."""

    of_row: Indices
    weight: Floats  # [n] of rows: one a customer, or one an event where the label is an event's
    label: NDArray[np.int64]  # 1 if any of its rows is positive
    score: Floats  # by which customers are ranked: see training.statistics.customer_score
    peak: Floats  # the highest of its events
    last: Indices  # its latest row
    top: Indices  # the first of its rows with the highest score
    order: Indices  # [n] rows by customer, then by time, then as they arrived

    def __len__(self) -> int:
        return len(self.label)

    @classmethod
    def of(cls, held_out: HeldOut) -> "HeldOutCustomers":
        """Group the rows by customer. Raises BadHistory if all have one label, as nothing can be measured then."""
        of_row = held_out.customer
        count = np.bincount(of_row)
        label = customer_labels(of_row, held_out.rows.label)
        if len(set(label.tolist())) < 2:
            raise BadHistory(CLASSES.format("positive" if label[0] else "negative"))
        order = np.lexsort((held_out.rows.times_us, of_row))
        last = order[np.cumsum(count) - 1]
        first = np.cumsum(count) - count
        top = np.lexsort((held_out.rows.times_us, -held_out.score, of_row))[first]
        score, peak = customer_scores(of_row, held_out.score), highest(of_row, held_out.score)
        return cls(of_row, held_out.weight, label, score, peak, last, top, order)
