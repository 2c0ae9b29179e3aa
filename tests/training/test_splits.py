"""Splits share no customer and look at nothing that was not known yet."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.document import BadUseCase
from features.usecase import load, parse
from tests.training.test_train import DAY_US, TEXT
from training.fit import BadHistory
from training.history import History
from training.splits import Way, set_apart, split


def history(n=2_000, customers=80, delay_days=5, seed=3):
    rng = np.random.default_rng(seed)
    times_us = np.sort(rng.integers(0, 60 * DAY_US, n))
    return History(
        vectors=np.zeros((n, 1), np.float32),
        label=rng.integers(0, 2, n),
        customers=np.array([f"c{i}" for i in rng.integers(0, customers, n)]),
        times_us=times_us,
        known_us=times_us + delay_days * DAY_US,
        event_ids=np.arange(n).astype(str),
        protected={},
    )


@given(st.sampled_from(["time", "both"]), st.floats(0.1, 0.6), st.integers(0, 9))
def test_what_is_learned_was_known_before_what_is_judged(way, test, delay_days):
    rows = history(delay_days=delay_days)
    found = split(rows, Way(way, test))
    assert found.judge.any() and found.learn.any()
    assert rows.known_us[found.learn].max() < rows.times_us[found.judge].min()
    if way == "both":
        assert not set(rows.customers[found.learn]) & set(rows.customers[found.judge])


def test_by_group_all_rows_are_on_both_sides_and_folds_keep_customers_apart():
    found = split(history(), Way("group", 0.25))
    assert found.learn.all() and found.judge.all() and found.cut_us is None
    assert found.words.startswith(
        "group: every row is judged by a model that never saw its customer (2,000 rows"
    )


def test_the_choice_is_told_in_words():
    found = split(history(), Way("both", 0.25))
    assert "known before 1970-02-1" in found.words and "of other customers" in found.words


def test_the_same_customers_are_set_apart_whoever_else_is_there():
    customers = np.array([f"c{i}" for i in range(4_000)])
    apart = set_apart(customers, 0.25)
    assert 0.22 < apart.mean() < 0.28
    assert (set_apart(customers[::-3], 0.25) == apart[::-3]).all()
    assert not (set_apart(customers, 0.1) & ~apart).any(), "a smaller share is part of it"
    assert not set_apart(customers, 0.0).any()


def test_a_side_with_one_class_is_refused():
    rows = history()
    rows.label[rows.times_us > 30 * DAY_US] = 0
    with pytest.raises(BadHistory, match="found 0 customers with a positive label to judge by"):
        split(rows, Way("time", 0.25))


def test_the_usual_way_depends_on_whose_label_it_is():
    assert Way.of(load("usecases/offboarding.yaml"), None).way == "group"
    assert Way.of(load("usecases/card_fraud.yaml"), None).way == "both"


@pytest.mark.parametrize(
    ("section", "error"),
    [
        ({"by": "luck"}, "model.split.by: 'luck' is not one of group, time, both"),
        ({"test": 1.5}, "model.split.test: 1.5 is not a share between 0 and 1"),
        ({"share": 0.1}, "model.split.share: 'share' is not one of by, test"),
    ],
)
def test_errors_name_file_path_value_and_expectation(section, error):
    with pytest.raises(BadUseCase) as told:
        Way.of(parse(TEXT, "x.yaml"), section)
    assert str(told.value).startswith("x.yaml: ") and error in str(told.value)
