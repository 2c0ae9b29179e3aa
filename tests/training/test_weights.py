"""Weights of rows in learning: one a customer, and little where little was known of it."""

from dataclasses import replace

import numpy as np
import pytest

from training.models.fit import EARLY, learning_rows, learning_weights


def rows(by_event=False):
    customers = np.repeat(np.arange(40), np.arange(1, 41) * 3)
    label = (customers % 4 == 0).astype(np.int64)
    vectors = np.random.default_rng(1).normal(size=(len(customers), 2)).astype(np.float32)
    return learning_rows(vectors, label, customers, 2, 50, 1, by_event)


def test_every_customer_weighs_one_however_many_rows_it_has():
    found = rows()
    weight = learning_weights(found, found.sampled)
    assert np.bincount(found.customer[found.sampled], weight) == pytest.approx(np.ones(40))


def test_first_events_weigh_less_up_to_the_one_that_is_early_no_more():
    found = rows()
    everything = replace(found, sampled=np.ones(len(found.label), np.bool_))
    weight = learning_weights(everything, everything.sampled)[found.customer == 39]
    assert weight / weight.max() == pytest.approx(np.minimum(np.arange(120) + 1, EARLY) / EARLY)


def test_events_with_labels_of_their_own_weigh_alike():
    found = rows(by_event=True)
    assert (learning_weights(found, found.sampled) == 1).all()
