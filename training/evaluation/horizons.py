"""Calibration over time: predicted and observed shares by the age of customers and by the time that is left.

A customer's label says what became of the customer by the end of the history. A score predicts the same: that a
customer observed as long as these turns out positive by the end, not within a fixed time. Young customers have the
whole history before them, and in a shorter one fewer have turned positive at the same scores.

Events weigh as they do in other figures. Intervals are of means and ratios of sums over customers, by linearisation
(Cochran 1977, Sampling Techniques, chapter 6).
"""

from collections.abc import Iterator
from itertools import pairwise
from math import exp, inf, log, nan, sqrt

import numpy as np
from numpy.typing import NDArray

from features.usecase import UseCase
from training.arrays import Floats, Indices
from training.evaluation.customers import HeldOutCustomers
from training.evaluation.promises import Horizon, Promise, ShorterHistory
from training.models.held_out import HeldOut
from training.statistics.interval import Interval
from training.statistics.wilson import Z

DAY_US = 86_400_000_000
BOUNDS_DAYS = (0, 7, 30, 60, 90, 180, 365, inf)
LEAST_CUSTOMERS = 30  # of a line; fewer say little
LEAST_POSITIVES = 5  # customers of a ratio


def promise(use_case: UseCase, held_out: HeldOut, customers: HeldOutCustomers) -> Promise:
    """Compare predicted and observed shares by days since the first event and by days left.

    The first event is the first held-out one. Shorter histories are measured too: what had come true after so many
    days. Where the label is an event's, its outcome does not wait for the end of the history, so only the days since
    the first event are measured.
    """
    times_us, of_row = held_out.rows.times_us, customers.of_row
    first_us = np.full(len(customers), np.iinfo(np.int64).max)
    np.minimum.at(first_us, of_row, times_us)
    age = (times_us - first_us[of_row]) / DAY_US
    left = (times_us.max() - times_us) / DAY_US
    label = use_case.label
    has_time = bool(label and use_case.event_types[label.event_type].time)
    return Promise(
        days=float(left.max()),
        has_time=has_time,
        by_age=tuple(_by(age, held_out, customers)),
        by_left=() if held_out.by_event else tuple(_by(left, held_out, customers)),
        shorter=() if held_out.by_event else tuple(_shorter(use_case, held_out, customers, first_us, age)),
    )


def _by(days: Floats, held_out: HeldOut, customers: HeldOutCustomers) -> Iterator[Horizon]:
    """Yield one line for each range of days [n] with enough customers."""
    for low, high in pairwise(BOUNDS_DAYS):
        rows = (days >= low) & (days < high)
        count = len(np.unique(customers.of_row[rows]))
        if count >= LEAST_CUSTOMERS:
            label, score = held_out.rows.label[rows].astype(np.float64), held_out.score[rows]
            weight, customer = customers.weight[rows], customers.of_row[rows]
            yield Horizon(
                from_days=float(low),
                to_days=None if high == inf else float(high),
                n=int(rows.sum()),
                customers=count,
                positives=len(np.unique(customer[label == 1])),
                predicted=float(np.average(score, weights=weight)),
                observed=float(np.average(label, weights=weight)),
                distance=mean(score - label, weight, customer),
                ratio=ratio_of_means(score, label, weight, customer),
            )


def _shorter(
    use_case: UseCase,
    held_out: HeldOut,
    customers: HeldOutCustomers,
    first_us: NDArray[np.int64],
    age: Floats,
) -> Iterator[ShorterHistory]:
    """Yield what had come true after so many days, for customers who can be observed for so long."""
    of_row, last_us = customers.of_row, held_out.rows.times_us.max()
    turned_us = np.zeros(len(customers), np.int64)
    delay_us = use_case.label.delay_us if use_case.label else 0
    np.maximum.at(turned_us, of_row, held_out.rows.known_us - delay_us)
    for days in (each for each in BOUNDS_DAYS[1:-1] if first_us.min() + each * DAY_US <= last_us):
        until_us = first_us + int(days) * DAY_US
        observed = until_us <= last_us
        rows = observed[of_row] & (age < days)
        if observed.sum() < LEAST_CUSTOMERS:
            continue
        came = (customers.label == 1) & (turned_us < until_us)
        customer = np.unique(of_row[rows], return_inverse=True)[1]
        score = np.bincount(customer, held_out.score[rows]) / np.bincount(customer)
        within = came[observed].astype(np.float64)
        yield ShorterHistory(
            days=float(days),
            customers=int(observed.sum()),
            positives=int(within.sum()),
            predicted=float(score.mean()),
            observed=float(within.mean()),
            at_the_end=float(customers.label[observed].mean()),
            ratio=ratio_of_means(score, within, np.ones(len(score)), np.arange(len(score))),
        )


def mean(value: Floats, weight: Floats, customer: Indices) -> Interval:
    """Return the weighted mean of values [n] with its interval; `customer` [n] numbers their customers."""
    average = float(np.average(value, weights=weight))
    half = Z * _deviation(weight * (value - average), customer) / float(weight.sum())
    return Interval(average, average - half, average + half)


def ratio_of_means(above: Floats, below: Floats, weight: Floats, customer: Indices) -> Interval | None:
    """Return mean(above) / mean(below), of labels; None with fewer than LEAST_POSITIVES customers."""
    if len(np.unique(customer[below > 0])) < LEAST_POSITIVES:
        return None
    numerator, denominator = float(weight @ above), float(weight @ below)
    ratio = numerator / denominator
    if ratio <= 0:
        return Interval(ratio, nan, nan)
    half = Z * _deviation(weight * (above - ratio * below), customer) / denominator / ratio
    return Interval(ratio, exp(log(ratio) - half), exp(log(ratio) + half))


def _deviation(residual: Floats, customer: Indices) -> float:
    """Return the standard deviation, over customers, of a sum of residuals [n] that add up to 0."""
    total = np.bincount(np.unique(customer, return_inverse=True)[1], residual)
    return sqrt(float(total @ total) * len(total) / max(len(total) - 1, 1))
