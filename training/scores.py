"""What a customer's score is, made of the scores of its events: the one place that says so.

Every figure of customers, every threshold and every comparison of models takes it from here.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def customer_scores(customer: NDArray[np.intp], score: Floats) -> Floats:
    """Return the score by which each customer is ranked, [customers]: the highest of its events.

    `customer` [n] numbers the customers of the rows from 0, none left out; `score` [n] is in the order in which the
    events arrived.
    """
    return highest(customer, score)


def customer_labels(customer: NDArray[np.intp], label: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return 1 for each customer [customers] with a positive row, else 0."""
    found = np.zeros(int(customer.max()) + 1, np.int64)
    np.maximum.at(found, customer, label)
    return found


def highest(group: NDArray[np.intp], score: Floats) -> Floats:
    """Return the highest score of each group of rows, [groups]; groups are numbered from 0, none left out."""
    found = np.full(int(group.max()) + 1, -np.inf)
    np.maximum.at(found, group, score)
    return found
