"""Figures by week: how well the events of a week are ranked, and whether scores stay the same.

Each customer with an event in the week counts as one, unless the label is an event's; intervals draw customers. PSI is
against the deciles of the first half of the rows: below 0.1 is usually called stable, above 0.25 shifted; a week of few
rows is far off by chance alone.
"""

from datetime import UTC, datetime, timedelta

import numpy as np

from export.distributions.drift import psi
from export.distributions.reference import Bins, freeze
from training.arrays import Indices, Mask
from training.evaluation.curves import ScoredSample, intervals
from training.evaluation.customers import HeldOutCustomers
from training.evaluation.earliness import DAY_US, quantiles
from training.evaluation.figures import WeekFigures
from training.models.held_out import HeldOut
from training.statistics.interval import Interval
from training.statistics.weights import weights

WEEK_US = 7 * DAY_US
MONDAY_US = 4 * DAY_US  # 1970-01-05, the first Monday of the epoch
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ENOUGH = 10  # customers with a positive event, and with a negative one: intervals of fewer are no intervals


def week_figures(held_out: HeldOut, customers: HeldOutCustomers, seed: int) -> tuple[WeekFigures, ...]:
    """Return the weeks with events, in order."""
    times_us = held_out.rows.times_us
    start_us = (times_us - MONDAY_US) // WEEK_US * WEEK_US + MONDAY_US
    then = freeze(held_out.score[times_us <= np.quantile(times_us, 0.5, method="lower")])
    return tuple(
        _week(held_out, customers.of_row, then, each, start_us == each, seed)
        for each in np.unique(start_us).tolist()
    )


def _week(
    held_out: HeldOut, of_row: Indices, then: Bins, start_us: int, rows: Mask, seed: int
) -> WeekFigures:
    label, score = held_out.rows.label[rows], held_out.score[rows]
    customer = np.unique(of_row[rows], return_inverse=True)[1]
    measured = _measured(ScoredSample(label, score, weights(customer, held_out.by_event), customer), seed)
    return WeekFigures(
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


def _measured(sample: ScoredSample, seed: int) -> dict[str, Interval]:
    """Measure a week; nothing if there are too few customers of either label."""
    if any(len(np.unique(sample.customer[sample.label == label])) < ENOUGH for label in (0, 1)):
        return {}
    return intervals(sample, {}, seed)
