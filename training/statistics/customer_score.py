"""Scores of customers, made of the scores of their events: the only definition in training.

Every figure of customers and every comparison of models takes it from here. Rows are in the order of arrival.
"""

import numpy as np
from numpy.typing import NDArray

from export.ranking import LATEST
from training.arrays import Floats, Indices, Labels


def customer_scores(customer: Indices, score: Floats) -> Floats:
    """Return the score by which each customer is ranked, [customers]: the mean of its latest events' scores.

    `customer` [n] numbers the customers of the rows from 0, none left out; `score` [n] holds what the events scored.
    Of a customer with fewer than LATEST events all count.
    """
    count = np.bincount(customer)
    latest = places(customer) >= count[customer] - LATEST
    total = np.bincount(customer[latest], score[latest], minlength=len(count))
    return np.asarray(total / np.minimum(count, LATEST))


def customer_labels(customer: Indices, label: Labels) -> NDArray[np.int64]:
    """Return 1 for each customer [customers] with a positive row, else 0."""
    labels = np.zeros(int(customer.max()) + 1, np.int64)
    np.maximum.at(labels, customer, label)
    return labels


def highest(group: Indices, score: Floats) -> Floats:
    """Return the highest score of each group of rows, [groups]; groups are numbered from 0, none left out."""
    peaks = np.full(int(group.max()) + 1, -np.inf)
    np.maximum.at(peaks, group, score)
    return peaks


def places(customer: Indices) -> NDArray[np.int64]:
    """Return the place of each row [n] among those of its customer, from 0."""
    order, count = np.argsort(customer, kind="stable"), np.bincount(customer)
    place = np.empty(len(customer), np.int64)
    place[order] = np.arange(len(customer)) - np.repeat(np.cumsum(count) - count, count)
    return place
