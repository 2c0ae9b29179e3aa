"""A customer's score: the mean of its latest events' scores, whatever lies between them."""

import numpy as np
import pytest

from export.ranking import LATEST
from training.statistics.customer_score import customer_labels, customer_scores, highest, places


def interleaved(seed=1, customers=40):
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 3 * LATEST, customers)
    customer = rng.permutation(np.repeat(np.arange(customers), counts))
    return customer, rng.random(len(customer))


def test_a_customer_s_score_is_the_mean_of_its_latest_events():
    customer, score = interleaved()
    expected = [score[customer == each][-LATEST:].mean() for each in range(40)]
    assert customer_scores(customer, score) == pytest.approx(expected)
    assert highest(customer, score).tolist() == [score[customer == each].max() for each in range(40)]


def test_places_count_a_customer_s_rows_in_the_order_of_arrival():
    assert places(np.array([1, 0, 1, 1, 0])).tolist() == [0, 0, 1, 2, 1]


def test_one_high_score_long_ago_says_little_of_a_customer_and_many_events_nothing():
    """Ranked by the highest score, a busy customer would come first for its number of events alone."""
    rng = np.random.default_rng(3)
    quiet, busy = np.repeat(np.arange(100), 20), np.repeat(np.arange(100, 200), 500)
    customer = np.concatenate([quiet, busy])
    score = rng.beta(1, 9, len(customer))
    ranked = customer_scores(customer, score)
    assert ranked[:100].mean() == pytest.approx(ranked[100:].mean(), abs=0.02)
    assert highest(customer, score)[100:].mean() > highest(customer, score)[:100].mean() + 0.1


def test_a_customer_with_one_positive_row_is_positive():
    assert customer_labels(np.array([0, 1, 1, 2]), np.array([0, 0, 1, 0])).tolist() == [0, 1, 0]
