"""Precision of the k most suspicious customers of each day, as a team sees them that looks at so many.

Where the label is an event's, this is the usual figure (card precision@k: Le Borgne et al. 2022, chapter 4). A customer
counts with the highest score of its events of that day (UTC) and is positive if one of them is; a customer found on one
day is not looked at again. The figure is the mean over days.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from training.arrays import Floats, Indices, Mask
from training.evaluation.curves import TOPS, bounds, draw
from training.evaluation.customers import HeldOutCustomers
from training.evaluation.earliness import DAY_US
from training.evaluation.figures import DailyFigures
from training.models.held_out import HeldOut
from training.statistics.customer_score import customer_labels, highest
from training.statistics.interval import Interval
from training.statistics.metrics import REPLICATES

ENOUGH = 4  # times k negatives are kept of a day: no draw of customers with replacement reaches past them


class _RankedDay(NamedTuple):
    """Customers of a day, the most suspicious first; equal scores are in random order."""

    customer: Indices
    positive: Mask

    def first(self, k: int) -> "_RankedDay":
        """Return as many customers as may be among the first k, whoever was found before and whoever is drawn."""
        kept = np.cumsum(~self.positive) <= ENOUGH * k
        return _RankedDay(self.customer[kept], self.positive[kept])

    def perfect(self) -> "_RankedDay":
        """Return the customers as perfect scores would order them."""
        order = np.argsort(~self.positive, kind="stable")
        return _RankedDay(self.customer[order], self.positive[order])


def daily_figures(held_out: HeldOut, customers: HeldOutCustomers, seed: int) -> DailyFigures:
    """Measure the precision of the k most suspicious customers of each day, for each k of TOPS."""
    rng = np.random.default_rng(seed)
    days, everyone = _days(held_out, customers, rng), np.ones(len(customers))
    looked_at = float(np.mean([len(day.customer) for day in days]))
    measured, best = {}, {}
    for k in (k for k in TOPS if k <= looked_at):
        lists = [day.first(k) for day in days]
        drawn = [_precision(lists, k, draw(rng, len(customers))) for _ in range(REPLICATES)]
        measured[str(k)] = Interval(_precision(lists, k, everyone), *bounds(drawn))
        best[str(k)] = _precision([day.perfect() for day in days], k, everyone)
    return DailyFigures(
        days=len(days),
        customers=looked_at,
        positives=float(np.mean([day.positive.sum() for day in days])),
        precision_at_k=measured,
        best_at_k=best,
    )


def _days(held_out: HeldOut, customers: HeldOutCustomers, rng: np.random.Generator) -> list[_RankedDay]:
    """Return the days with events, in order."""
    day = held_out.rows.times_us // DAY_US
    each, row = np.unique(day * len(customers) + customers.of_row, return_inverse=True)
    score, label = highest(row, held_out.score), customer_labels(row, held_out.rows.label)
    day, customer = np.divmod(each, len(customers))
    order = np.lexsort((rng.random(len(each)), -score, day))
    starts = np.flatnonzero(np.diff(day[order], prepend=-1))
    return [_RankedDay(customer[rows], label[rows] > 0) for rows in np.split(order, starts[1:])]


def _precision(days: Sequence[_RankedDay], k: int, times: Floats) -> float:
    """Return the mean precision at k; `times` [customers] is how often each customer is drawn."""
    is_found, shares = np.zeros(len(times), np.bool_), []
    for customer, positive in days:
        there = np.where(is_found[customer], 0, times[customer])
        taken = np.clip(k - (np.cumsum(there) - there), 0, there)
        rightly = positive & (taken > 0)
        is_found[customer[rightly]] = True
        shares.append(taken[rightly].sum() / k)
    return float(np.mean(shares))
