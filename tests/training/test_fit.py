"""Fitting and measuring: customers are never shared, noise is called noise, the same seed the same model."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from training.data.labelled_rows import BadHistory
from training.models.parameters import Parameters
from training.models.selection import select_model as choose_model
from training.statistics.metrics import Ranking, average_precision, brier, measure, roc_auc

QUICK = Parameters(
    candidates=("hist_gradient_boosting",), trees=40, leaves=7, rows_per_leaf=10, learning_rate=0.1
)


def history(seed, customers=300, signal=1.0):
    """Rows of few busy and many quiet customers; every customer has a fingerprint of its own in feature 0."""
    rng = np.random.default_rng(seed)
    busy = np.minimum(rng.zipf(1.6, customers), 400)
    names = np.array([f"customer-{i:04d}" for i in range(customers)])
    bad = (rng.random(customers) < 0.2).astype(np.int64)
    row = rng.permutation(np.repeat(np.arange(customers), busy))
    vectors = rng.normal(size=(len(row), 5)).astype(np.float32)
    vectors[:, 0] = row
    vectors[:, 1] += signal * bad[row]
    vectors[:, 2] += signal * bad[row] * rng.random(len(row))
    vectors[rng.random(vectors.shape) < 0.05] = np.nan
    return vectors, bad[row], names[row]


def test_noise_is_called_noise():
    """Every customer can be told by feature 0: a split that shares customers would score near 1."""
    vectors, label, customers = history(1, signal=0.0)
    by_heart = replace(QUICK, trees=100, leaves=31, rows_per_leaf=1, learning_rate=0.3)
    fitted = choose_model(vectors, label, customers, by_heart, seed=0)
    assert roc_auc_score(label, fitted.model.predict_proba(vectors)[:, 1]) > 0.9, "it can be learned by heart"
    found = measure(label, fitted.out_of_fold, fitted.rows.weight, fitted.rows.customer, seed=0)
    assert 0.4 < found["roc_auc"]["value"] < 0.6
    assert found["roc_auc"]["low"] < 0.5 < found["roc_auc"]["high"]


def test_signal_is_found():
    vectors, label, customers = history(2, signal=2.0)
    fitted = choose_model(vectors, label, customers, QUICK, seed=0)
    found = measure(label, fitted.out_of_fold, fitted.rows.weight, fitted.rows.customer, seed=0)
    assert found["roc_auc"]["low"] > 0.8
    assert found["brier"]["value"] < 0.12 < 0.2 * 0.8, "better than always saying the base rate"


def test_the_same_seed_gives_the_same_model():
    data = history(3)
    first, second, other = (choose_model(*data, QUICK, seed) for seed in (5, 5, 6))
    assert first.out_of_fold.tobytes() == second.out_of_fold.tobytes()
    assert first.out_of_fold.tobytes() != other.out_of_fold.tobytes()


def test_a_busy_customer_weighs_no_more_than_a_quiet_one():
    """A thousand rows of one bad customer sit among good customers' single rows: they must not win there."""
    rng = np.random.default_rng(4)
    quiet = 200
    vectors = np.concatenate(
        [rng.normal(0, 0.1, (quiet, 1)), rng.normal(3, 0.1, (quiet, 1)), np.zeros((1000, 1))]
    )
    label = np.concatenate([np.zeros(quiet), np.ones(quiet), np.ones(1000)]).astype(np.int64)
    customers = np.concatenate([np.arange(2 * quiet), np.full(1000, 999)])
    fitted = choose_model(vectors.astype(np.float32), label, customers, QUICK, seed=0)
    assert fitted.model.predict_proba(np.zeros((1, 1), np.float32))[0, 1] < 0.5
    assert fitted.rows.weight[customers == 999].sum() == pytest.approx(1)


@pytest.mark.parametrize("label", [np.zeros(20, np.int64), np.ones(20, np.int64), np.arange(20) == 3])
def test_one_class_cannot_be_learned(label):
    with pytest.raises(BadHistory, match=r"found \d customers with a (positive|negative) label"):
        choose_model(np.zeros((20, 2), np.float32), label.astype(np.int64), np.arange(20), QUICK, seed=0)


def test_a_column_without_values_is_no_obstacle():
    vectors, label, customers = history(5)
    vectors[:, 3] = np.nan
    assert np.isfinite(choose_model(vectors, label, customers, QUICK, seed=0).out_of_fold).all()


def test_metrics_equal_scikit_learn_s():
    rng = np.random.default_rng(6)
    label = rng.integers(0, 2, 500)
    score = np.round(rng.random(500), 1)  # many ties
    weight = rng.random(500)
    ranking = Ranking.of(label, score)
    assert roc_auc(ranking, weight) == pytest.approx(roc_auc_score(label, score, sample_weight=weight))
    assert average_precision(ranking, weight) == pytest.approx(
        average_precision_score(label, score, sample_weight=weight)
    )
    assert brier(ranking, weight) == pytest.approx(brier_score_loss(label, score, sample_weight=weight))


def test_intervals_draw_customers_not_rows():
    """Repeating every customer's row a hundred times adds no knowledge."""
    rng = np.random.default_rng(7)
    label, customer = rng.integers(0, 2, 100), np.arange(100)
    score = rng.random(100) + 0.3 * label
    once = measure(label, score, np.ones(100), customer, seed=0)["roc_auc"]
    label, score, customer = (np.repeat(column, 100) for column in (label, score, customer))
    again = measure(label, score, np.full(10_000, 0.01), customer, seed=0)["roc_auc"]
    assert again == pytest.approx(once)
    assert once["high"] - once["low"] > 0.1
