"""Learners compared: on the same folds, by what decides, with the paired interval of each difference."""

from dataclasses import replace

import numpy as np
import pytest

from tests.training.test_tuning import crossed
from training.models.comparison import compare_learners
from training.models.fit import learning_rows
from training.models.objectives import AVERAGE_PRECISION, Objective
from training.models.parameters import Parameters

ASKED = Parameters(candidates=("logistic_regression", "hist_gradient_boosting"), trees=30, rows_per_leaf=10)
CONTENDERS = [(each, ASKED.start(each)) for each in ASKED.candidates]


def compared(rows, contenders=CONTENDERS, metric=AVERAGE_PRECISION, repeats=2, seed=3):
    said = []
    return compare_learners(rows, contenders, metric, repeats, seed, said.append), said


def test_a_clearly_better_learner_is_chosen_and_its_lead_is_no_chance():
    """No weighted sum of two features says whether they agree."""
    (chosen, other), said = compared(crossed())
    assert (chosen.candidate, other.candidate) == ("hist_gradient_boosting", "logistic_regression")
    assert chosen.difference is None and len(chosen.values) == len(set(chosen.values)) == 2
    assert other.difference.value == pytest.approx(other.mean - chosen.mean)
    assert other.difference.low < other.difference.value < other.difference.high < -0.05
    assert said[0] == "comparing learners, repeat 1 of 2: logistic_regression"
    assert said[-2].endswith(", chosen") and said[-1].endswith(f"difference {other.difference}")


def test_a_difference_by_chance_has_an_interval_around_0():
    """The same learner but for its number of trees, where there is nothing to learn."""
    rng = np.random.default_rng(2)
    customer = np.repeat(np.arange(300), 4)
    label = (np.arange(300) % 4 == 0).astype(np.int64)[customer]
    rows = learning_rows(rng.normal(size=(1_200, 3)).astype(np.float32), label, customer, 3, 50, 1)
    values = ASKED.start("hist_gradient_boosting")
    alike = [("hist_gradient_boosting", values | {"trees": trees}) for trees in (20, 25)]
    (_, other), _ = compared(rows, alike, repeats=1)
    assert other.difference.low < 0 < other.difference.high


def test_the_interval_is_paired():
    """Twins never differ, however much each of them depends on the customers drawn."""
    (_, other), _ = compared(crossed(), [CONTENDERS[1]] * 2)
    assert (other.difference.low, other.difference.value, other.difference.high) == (0, 0, 0)


def test_customers_decide_where_the_label_is_theirs_and_events_where_it_is_an_event_s():
    rows = crossed()
    by_event, _ = compared(replace(rows, by_event=True))
    by_customer, _ = compared(rows)
    assert by_customer[0].values != by_event[0].values


def test_costs_are_made_small():
    (chosen, other), _ = compared(crossed(), metric=Objective("expected_cost", (5.0, 1.0)))
    assert chosen.candidate == "hist_gradient_boosting" and other.difference.low > 0


def test_the_same_seed_compares_alike():
    first, second, third = (compared(crossed(), seed=seed)[0] for seed in (3, 3, 4))
    assert [each.facts for each in first] == [each.facts for each in second]
    assert [each.facts for each in first] != [each.facts for each in third]
