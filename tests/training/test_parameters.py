"""The `model` section of a use case: what it means, and what is said about a wrong one."""

import pytest

from features.usecase import BadUseCase, parse
from tests.training.tiny import TEXT
from training.models.candidates import CANDIDATES
from training.models.objectives import Objective
from training.models.parameters import Parameters

FULL = """model:
  candidates: [xgboost, logistic_regression]
  metric: {expected_cost: {miss: 100, false_alarm: 2.5}}
  trials: 12
  tuning_rows: 5000
  columns: 0.5
  l2: 0
"""


def test_parameters_are_read_and_checked():
    assert Parameters.of({}) == Parameters()
    assert Parameters.of({"trees": 30, "balanced": True, "l2": 0}) == Parameters(
        trees=30, balanced=True, l2=0.0
    )


def test_a_file_says_everything():
    found = parse(TEXT.replace("model: {candidates: [hist_gradient_boosting], trees: 30, folds: 3}\n", FULL))
    assert Parameters.of(found.model) == Parameters(
        candidates=("xgboost", "logistic_regression"),
        metric=Objective("expected_cost", (100.0, 2.5)),
        trials=12,
        tuning_rows=5000,
        columns=0.5,
        l2=0.0,
    )


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("average_precision", Objective("average_precision")),
        ({"recall_at_fpr": 0.01}, Objective("recall_at_fpr", (0.01,))),
        ({"f_beta": 2}, Objective("f_beta", (2.0,))),
    ],
)
def test_metrics_are_read(metric, expected):
    assert Parameters.of({"metric": metric}).metric == expected


def test_one_candidate_needs_no_list():
    assert Parameters.of({"candidates": "xgboost"}).candidates == ("xgboost",)


@pytest.mark.parametrize("candidate", CANDIDATES)
def test_declared_hyper_parameters_stand_before_defaults(candidate):
    defaults = dict(CANDIDATES[candidate].defaults)
    assert Parameters().start(candidate) == defaults | {"balanced": False}
    declared = Parameters(trees=7, l2=3.0, columns=0.4, balanced=True).start(candidate)
    own = {name: value for name, value in (("trees", 7), ("l2", 3.0), ("columns", 0.4)) if name in defaults}
    assert declared == defaults | own | {"balanced": True}


def test_candidates_are_searched_around_their_defaults():
    for candidate in CANDIDATES.values():
        assert set(candidate.space) | {"trees"} == set(candidate.defaults) | {"trees"}
        for name, each in candidate.space.items():
            assert each.low <= candidate.defaults[name] <= each.high


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"tree": 3}, "model.*: 'tree' is not one of .*did you mean trees"),
        ({"trees": 0}, "model.trees: 0 is not a whole number of at least 1"),
        ({"trees": 1.5}, "model.trees: 1.5 is not a whole number of at least 1"),
        ({"leaves": 1}, "model.leaves: 1 is not a whole number of at least 2"),
        ({"rows_per_leaf": 0}, "model.rows_per_leaf: 0 is not a whole number of at least 1"),
        ({"rows_per_customer": 0}, "model.rows_per_customer: 0 is not a whole number of at least 1"),
        ({"folds": 1}, "model.folds: 1 is not a whole number of at least 2"),
        ({"trials": -1}, "model.trials: -1 is not a whole number of at least 0"),
        ({"tuning_rows": 10}, "model.tuning_rows: 10 is not a whole number of at least 1000"),
        ({"learning_rate": 0}, "model.learning_rate: 0 is not a number above 0"),
        ({"l2": -1}, "model.l2: -1 is not a number of at least 0"),
        ({"candidates": "xgboost", "child_weight": -1}, "model.child_weight: -1 is not a number of at least 0"),
        ({"candidates": "xgboost", "columns": 1.1}, "model.columns: 1.1 is not above 0 and at most 1"),
        ({"balanced": "yes"}, "model.balanced: 'yes' is not true or false"),
        ({"candidates": []}, "model.candidates: .* is not a list of at least one of logistic_regression, "),
        ({"candidates": ["xgbost"]}, r"model.candidates\[0\]: 'xgbost' is not one of .*did you mean xgboost"),
        ({"candidates": ["xgboost", "xgboost"]}, r"model.candidates\[0\]: xgboost is there twice"),
        (
            {"candidates": ["hist_gradient_boosting"], "columns": 0.5},
            "model.columns: hist_gradient_boosting has no columns; .* random_forest, xgboost",
        ),
        (
            {"candidates": "logistic_regression", "trees": 5},
            "model.trees: logistic_regression has no trees; leave it out, or add one of random_forest, ",
        ),
        ({"metric": "auc"}, "model.metric: 'auc' is not one of average_precision, recall_at_fpr, "),
        ({"metric": "f_beta"}, "model.metric: f_beta needs its number: f_beta: 2"),
        ({"metric": "expected_cost"}, r"expected_cost needs its number: expected_cost: \{miss: 100, f"),
        ({"metric": {"recall_at_fpr": 1}}, "model.metric.recall_at_fpr: 1 is not a rate above 0 and below 1"),
        ({"metric": {"f_beta": 0}}, "model.metric.f_beta: 0 is not a number above 0"),
        ({"metric": {"f_bet": 2}}, "model.metric.f_bet: 'f_bet' is not one of .*did you mean f_beta"),
        ({"metric": {"f_beta": 2, "recall_at_fpr": 0.1}}, "model.metric: .* is not average_precision, or one of"),
        ({"metric": {"expected_cost": {"miss": 3}}}, "model.metric.expected_cost: false_alarm is missing"),
        (
            {"metric": {"expected_cost": {"miss": 0, "false_alarm": 1}}},
            "model.metric.expected_cost.miss: 0 is not a number above 0",
        ),
    ],
)  # fmt: skip
def test_wrong_parameters_are_named(section, message):
    with pytest.raises(BadUseCase, match=message):
        Parameters.of(section)
