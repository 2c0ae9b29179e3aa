"""Tuning: trials that are the same for the same seed, folds that share nobody, and the better model found."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.ranking import LATEST
from training.data.labelled_rows import BadHistory
from training.models.fit import learning_rows
from training.models.objectives import Objective
from training.models.parameters import Parameters
from training.models.tuning import best_trial, draw_customers, tune


def crossed(seed=1, customers=400, per_customer=3):
    """The label is whether two features agree, which no weighted sum of them says."""
    rng = np.random.default_rng(seed)
    signs = rng.choice([-1, 1], (customers, 2))
    label = ((signs[:, 0] == signs[:, 1]) ^ (rng.random(customers) < 0.1)).astype(np.int64)
    each = np.repeat(np.arange(customers), per_customer)
    vectors = (signs[each] * rng.lognormal(0, 0.3, (len(each), 2))).astype(np.float32)
    return learning_rows(vectors, label[each], each, 3, 200, seed)


def tried(asked, rows=None, seed=3):
    said = []
    return tune(rows or crossed(), asked, seed, said.append), said


@given(
    busy=st.lists(st.integers(1, 6), min_size=8, max_size=40),
    folds=st.integers(2, 5),
    most=st.integers(1, 60),
    seed=st.integers(0, 5),
)
@settings(deadline=None)
def test_folds_and_parts_never_share_a_customer(busy, folds, most, seed):
    customers = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(busy)), busy))
    label = (customers % 3 == 0).astype(np.int64)
    vectors = np.arange(len(customers), dtype=np.float32)[:, None]
    rows = learning_rows(vectors, label, customers, folds, 4, seed)
    few = draw_customers(rows, most, seed)
    for each in (rows, few):
        assert all(len(set(each.fold[each.customer == c])) == 1 for c in set(each.customer.tolist()))
        assert {(f, y) for f in range(each.folds) for y in (0, 1)} == set(
            zip(each.fold, each.label, strict=True)
        )
        assert np.bincount(each.customer, each.weight) == pytest.approx(np.ones(len(each.customer_label)))
    assert np.bincount(few.customer[few.sampled]).max() <= 4
    place = few.vectors[:, 0].astype(int)
    assert (rows.label[place] == few.label).all() and (rows.fold[place] == few.fold).all()
    kept = set(customers[place].tolist())
    for customer in kept:
        rows_of_it = customers[place] == customer
        assert (rows_of_it & few.sampled).sum() == min(busy[customer], 4), "with all its sampled rows"
        assert rows_of_it.sum() == busy[customer] <= LATEST, "and those that its score is made of"


def test_a_part_has_about_as_many_rows_as_asked_and_the_same_share_of_positives():
    rows = crossed(customers=3_000)
    few = draw_customers(rows, 3_000, seed=0)
    assert len(few.label) == pytest.approx(3_000, rel=0.02)
    assert few.customer_label.mean() == pytest.approx(rows.customer_label.mean(), abs=0.01)
    assert len(draw_customers(rows, 10**9, seed=0).label) == len(rows.label)


def test_the_better_candidate_is_found():
    asked = Parameters(
        candidates=("logistic_regression", "hist_gradient_boosting"), trees=30, rows_per_leaf=10
    )
    trials, said = tried(asked)
    assert [trial.candidate for trial in trials] == ["logistic_regression", "hist_gradient_boosting"]
    assert trials[1].mean > trials[0].mean + 0.15
    assert best_trial(trials, asked) is trials[1]
    assert said[-1].startswith("trial 2 of 2: hist_gradient_boosting: average_precision 0.")
    assert said[-1].endswith(f"best {trials[1].mean:.4f} by hist_gradient_boosting")


def test_tuning_leaves_a_bad_start_behind():
    """One tree of two leaves cannot tell whether two features agree."""
    asked = Parameters(
        candidates=("hist_gradient_boosting",), trials=7, trees=1, leaves=2, learning_rate=0.01
    )
    trials, said = tried(asked)
    assert len(trials) == len(said) == 7
    assert dict(trials[0].parameters) == asked.start("hist_gradient_boosting")
    assert best_trial(trials, asked).mean > trials[0].mean + 0.2
    assert all(set(trial.parameters) == set(trials[0].parameters) for trial in trials)
    assert all(trial.seconds > 0 and trial.mean == pytest.approx(np.mean(trial.values)) for trial in trials)


def test_what_is_behind_the_median_is_given_up():
    asked = Parameters(candidates=("logistic_regression",), trials=14)
    trials, _ = tried(asked)
    assert all(trial.is_complete for trial in trials[:5]), "a median of few says nothing"
    given_up = [trial for trial in trials if not trial.is_complete]
    assert given_up and all(len(trial.values) < 3 for trial in given_up)
    assert best_trial(trials, asked).is_complete


@pytest.mark.filterwarnings("error")
def test_two_folds_are_enough():
    rows = learning_rows(crossed().vectors, crossed().label, crossed().customer, 2, 200, 0)
    trials, _ = tried(Parameters(candidates=("logistic_regression",), trials=6), rows)
    assert all(trial.is_complete and len(trial.values) == 2 for trial in trials)


def test_costs_are_made_small():
    asked = Parameters(
        candidates=("logistic_regression", "hist_gradient_boosting"), trees=30, rows_per_leaf=10,
        metric=Objective("expected_cost", (5.0, 1.0)),
    )  # fmt: skip
    trials, _ = tried(asked)
    assert best_trial(trials, asked) is trials[1] and trials[1].mean < trials[0].mean


def test_the_same_seed_gives_the_same_trials():
    asked = Parameters(candidates=("logistic_regression", "xgboost"), trials=3, trees=10)
    first, second, other = (tried(asked, seed=seed)[0] for seed in (5, 5, 6))
    assert [trial.facts for trial in first] == [trial.facts for trial in second]
    assert [trial.facts for trial in first] != [trial.facts for trial in other]


def test_a_fold_without_positive_rows_is_told():
    """Labels by event: one positive row among a customer's thousand may not be drawn to learn from."""
    customers = np.repeat(np.arange(4), 1_000)
    label = np.zeros(4_000, np.int64)
    label[[10, 1_010]] = 1
    with pytest.raises(BadHistory, match=r"fold \d of 2 has no positive row .* fewer `folds` or more"):
        learning_rows(np.zeros((4_000, 1), np.float32), label, customers, 2, 5, 0)
    assert learning_rows(np.zeros((4_000, 1), np.float32), label, customers, 2, 1_000, 0).folds == 2
