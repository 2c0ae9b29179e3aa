"""Earliness: how long before their last event positive customers are flagged first."""

import numpy as np
from numpy.typing import NDArray

from export.policy import Level
from training.arrays import Indices, Mask
from training.evaluation.customers import HeldOutCustomers
from training.evaluation.figures import Earliness, Quantiles
from training.policy.replay import Decisions
from training.statistics.customer_score import places

DAY_US = 86_400_000_000
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)


def quantiles(values: NDArray[np.number]) -> Quantiles:
    """Return the quantiles of values; NaN without any."""
    shares = (
        np.quantile(values.astype(np.float64), SHARES).tolist()
        if len(values)
        else [float("nan")] * len(SHARES)
    )
    return Quantiles(*shares)


def earliness(customers: HeldOutCustomers, made: Decisions) -> Earliness:
    """Measure the time from the first event after which a positive customer is HIGH to its last event."""
    n, positive = len(made.level), customers.label == 1
    first = np.full(len(positive), n, np.intp)
    places = np.flatnonzero(made.level == Level.HIGH)
    np.minimum.at(first, made.timeline.customer[places], places)
    spans = until_first(made, first, positive)
    caught = int((positive & (first < n)).sum())
    return Earliness(
        positives=int(positive.sum()),
        caught=caught,
        events_before_last=spans["events_before_last"],
        days_before_last=spans["days_before_last"],
        share_never_caught=1 - caught / int(positive.sum()),
    )


def until_first(made: Decisions, first: Indices, positive: Mask) -> dict[str, Quantiles]:
    """Return events and days of positive customers until a place [customers] in the timeline, and from it on.

    A place of n means that there is none.
    """
    timeline = made.timeline
    caught = positive & (first < len(timeline.customer))
    number, count = places(timeline.customer) + 1, np.bincount(timeline.customer)
    at, last = first[caught], timeline.last[caught]
    begin_us = np.full(len(positive), np.iinfo(np.int64).max)
    np.minimum.at(begin_us, timeline.customer, timeline.time_us)
    return {
        "events_until": quantiles(number[at]),
        "days_until": quantiles((timeline.time_us[at] - begin_us[caught]) / DAY_US),
        "events_before_last": quantiles(count[caught] - number[at]),
        "days_before_last": quantiles((timeline.time_us[last] - timeline.time_us[at]) / DAY_US),
    }
