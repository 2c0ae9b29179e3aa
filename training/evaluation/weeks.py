"""Figures of each week: how well its events are ranked, and whether scores stay what they were.

Each customer with an event in the week counts as one, unless the label is an event's; intervals draw customers. PSI is
against the deciles of the first half of the rows: below 0.1 is usually called stable, above 0.25 shifted; a week of few
rows is far off by chance alone.
"""

from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from export.distributions.drift import psi
from export.distributions.reference import Bins, freeze
from training.evaluation.curves import Sample, intervals
from training.evaluation.customers import Customers
from training.evaluation.earliness import DAY_US, quantiles
from training.evaluation.figures import Week
from training.models.judged import Judged
from training.statistics.interval import Interval
from training.statistics.weights import weights

WEEK_US = 7 * DAY_US
MONDAY_US = 4 * DAY_US  # 1970-01-05, the first Monday of the epoch
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ENOUGH = 10  # customers with a positive event, and with a negative one: intervals of fewer are no intervals


def weeks(judged: Judged, customers: Customers, seed: int) -> tuple[Week, ...]:
    """Weeks with events, in order."""
    times_us = judged.rows.times_us
    start_us = (times_us - MONDAY_US) // WEEK_US * WEEK_US + MONDAY_US
    then = freeze(judged.score[times_us <= np.quantile(times_us, 0.5, method="lower")])
    return tuple(
        _week(judged, customers.of_row, then, each, start_us == each, seed)
        for each in np.unique(start_us).tolist()
    )


def _week(
    judged: Judged, of_row: NDArray[np.intp], then: Bins, start_us: int, rows: NDArray[np.bool_], seed: int
) -> Week:
    label, score = judged.rows.label[rows], judged.score[rows]
    customer = np.unique(of_row[rows], return_inverse=True)[1]
    measured = _measured(Sample(label, score, weights(customer, judged.by_event), customer), seed)
    return Week(
        start=f"{EPOCH + timedelta(microseconds=start_us):%Y-%m-%d}",
        n=len(label),
        positives=int(label.sum()),
        quantiles=quantiles(score),
        psi=psi(then, score),
        roc_auc=measured.get("roc_auc"),
        average_precision=measured.get("average_precision"),
        customers=int(customer.max()) + 1,
        positive_customers=len(np.unique(customer[label == 1])),
    )


def _measured(sample: Sample, seed: int) -> dict[str, Interval]:
    """Nothing if there are too few customers of either label."""
    if any(len(np.unique(sample.customer[sample.label == label])) < ENOUGH for label in (0, 1)):
        return {}
    return intervals(sample, {}, seed)
