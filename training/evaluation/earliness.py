"""How early a bad customer is caught: from the first event flagged to the last there is."""

import numpy as np
from numpy.typing import NDArray

from training.evaluation.customers import Customers
from training.evaluation.figures import Earliness, Quantiles
from training.train import Judged

DAY_US = 86_400_000_000
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)


def quantiles(values: NDArray[np.number]) -> Quantiles:
    """NaN if there are no values."""
    found = (
        np.quantile(values.astype(np.float64), SHARES).tolist()
        if len(values)
        else [float("nan")] * len(SHARES)
    )
    return Quantiles(*found)


def earliness(judged: Judged, customers: Customers) -> Earliness:
    """Of the positive customers, at the threshold of HIGH; of events at the same time, those that arrived first."""
    order = customers.order
    starts = np.flatnonzero(np.diff(customers.of_row[order], prepend=-1))
    lasts = np.append(starts[1:], len(order)) - 1
    is_flagged = judged.score[order] >= judged.thresholds["high"]
    place = np.where(is_flagged, np.arange(len(order)), len(order))
    first = np.minimum.reduceat(place, starts)
    positive = customers.label == 1
    caught = positive & (first < len(order))
    times_us = judged.rows.times_us[order]
    days = (times_us[lasts[caught]] - times_us[first[caught]]) / DAY_US
    return Earliness(
        positives=int(positive.sum()),
        caught=int(caught.sum()),
        events_before_last=quantiles(lasts[caught] - first[caught]),
        days_before_last=quantiles(days),
        share_never_caught=1 - float(caught.sum() / positive.sum()),
    )
