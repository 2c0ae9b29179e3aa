"""Splits share no customer and look at nothing that was not known yet."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.usecase import BadUseCase, load, parse
from tests.training.tiny import DAY_US, TEXT
from training.data.labelled_rows import BadHistory, LabelledRows
from training.data.splits import SplitSettings, set_apart, split_rows


def history(n=2_000, customers=80, delay_days=5, seed=3):
    rng = np.random.default_rng(seed)
    times_us = np.sort(rng.integers(0, 60 * DAY_US, n))
    return LabelledRows(
        vectors=np.zeros((n, 1), np.float32),
        label=rng.integers(0, 2, n),
        customers=np.array([f"c{i}" for i in rng.integers(0, customers, n)]),
        times_us=times_us,
        known_us=times_us + delay_days * DAY_US,
        event_types=np.full(n, "sale"),
        event_ids=np.arange(n).astype(str),
        people={},
    )


@given(st.sampled_from(["time", "both"]), st.floats(0.1, 0.6), st.integers(0, 9))
def test_what_is_learned_was_known_before_what_is_judged(way, test, delay_days):
    rows = history(delay_days=delay_days)
    found = split_rows(rows, SplitSettings(way, test))
    assert found.held_out.any() and found.learn.any()
    assert rows.known_us[found.learn].max() < rows.times_us[found.held_out].min()
    if way == "both":
        assert not set(rows.customers[found.learn]) & set(rows.customers[found.held_out])


@given(st.sampled_from(["time", "both"]), st.integers(5, 20), st.integers(5, 20))
def test_days_to_learn_from_and_to_judge_by_are_whole_days(way, test, learn):
    """The last day is whole although its last event is before midnight; what is learned was known in time."""
    rows = history(delay_days=7)
    end_us = (int(rows.times_us.max()) // DAY_US + 1) * DAY_US
    cut_us = end_us - test * DAY_US
    asked = SplitSettings(way, test_us=test * DAY_US, train_us=learn * DAY_US)
    found = split_rows(rows, asked)
    assert found.cut_us == cut_us
    assert rows.times_us[found.held_out].min() >= cut_us
    learned = (rows.times_us >= cut_us - (7 + learn) * DAY_US) & (rows.times_us < cut_us - 7 * DAY_US)
    if way == "time":
        assert (found.learn == learned).all()
    assert not (found.learn & ~learned).any()
    assert (found.final == (rows.times_us >= end_us - learn * DAY_US)).all()
    assert f"in the {learn} days before" in found.description


def test_customers_known_to_be_positive_are_left_out_from_the_next_day_on():
    rows = history(n=3_000, customers=400)
    asked = SplitSettings("time", test_us=20 * DAY_US, train_us=10 * DAY_US)
    whole = split_rows(rows, asked)
    found = split_rows(rows, replace(asked, exclude_known_positives=True))
    expected = []
    for i in np.flatnonzero(whole.held_out):
        midnight_us = rows.times_us[i] // DAY_US * DAY_US
        expected.append(not any(
            rows.customers[j] == rows.customers[i] and rows.label[j] == 1
            and whole.cut_us - 10 * DAY_US <= rows.known_us[j] < midnight_us
            for j in range(len(rows))
        ))  # fmt: skip
    assert found.held_out[whole.held_out].tolist() == expected and 0 < sum(expected) < len(expected)
    assert not found.held_out[~whole.held_out].any() and (found.learn == whole.learn).all()
    assert "without customers already known to be positive" in found.description


def test_by_group_all_rows_are_on_both_sides_and_folds_keep_customers_apart():
    found = split_rows(history(), SplitSettings("group", 0.25))
    assert found.learn.all() and found.held_out.all() and found.cut_us is None
    assert found.description.startswith(
        "group: every row is judged by a model that never saw its customer (2,000 rows"
    )


def test_the_choice_is_told_in_words():
    found = split_rows(history(), SplitSettings("both", 0.25))
    assert "known before 1970-02-1" in found.description and "of other customers" in found.description


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
        split_rows(rows, SplitSettings("time", 0.25))


def test_the_usual_way_depends_on_whose_label_it_is():
    assert SplitSettings.of(load("usecases/offboarding.yaml"), None).by == "group"
    assert SplitSettings.of(load("usecases/card_fraud.yaml"), None).by == "both"


@pytest.mark.parametrize(
    ("section", "error"),
    [
        ({"by": "luck"}, "model.split.by: 'luck' is not one of group, time, both"),
        ({"test": 1.5}, "model.split.test: 1.5 is not a share between 0 and 1"),
        ({"test": "7"}, "model.split.test: '7' is not a duration such as 5m, 24h or 30d"),
        ({"train": 7, "by": "time"}, "model.split.train: 7 is not a duration"),
        ({"train": "7d"}, "model.split.train: it needs a cut in time; set by: time or both"),
        (
            {"by": "group", "exclude_known_positives": True},
            "model.split.exclude_known_positives: it needs a cut in time",
        ),
        ({"share": 0.1}, "model.split.share: 'share' is not one of by, test"),
    ],
)
def test_errors_name_file_path_value_and_expectation(section, error):
    with pytest.raises(BadUseCase) as told:
        SplitSettings.of(parse(TEXT, "x.yaml"), section)
    (fault,) = told.value.faults
    assert str(fault).startswith("x.yaml: ") and error in str(fault)
