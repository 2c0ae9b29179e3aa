"""The model chosen, from rows to bytes: the same for the same seed, honest about customers it saw and about noise."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from export.onnx import Scorer, convert, parity
from tests.training.test_calibrate import calibration_error
from tests.training.test_fit import history
from training.data.splits import set_apart
from training.models.candidates import CANDIDATES
from training.models.parameters import Parameters
from training.models.selection import select_model

QUICK = Parameters(folds=3, trees=30, leaves=15, rows_per_leaf=10, learning_rate=0.1)


def quick(candidate, **changes):
    return replace(QUICK, candidates=(candidate,), **changes)


@pytest.fixture(scope="module", params=CANDIDATES)
def chosen(request):
    vectors, label, customers = history(2, customers=600)
    return (
        request.param,
        select_model(vectors, label, customers, quick(request.param), seed=4),
        (vectors, label, customers),
    )


def test_the_same_seed_gives_the_same_scores_and_bytes(chosen):
    candidate, first, data = chosen
    again = select_model(*data, quick(candidate), seed=4)
    assert again.out_of_fold.tobytes() == first.out_of_fold.tobytes()
    assert again.facts == first.facts
    assert convert(again.model, 5) == convert(first.model, 5)
    assert select_model(*data, quick(candidate), seed=5).out_of_fold.tobytes() != first.out_of_fold.tobytes()


def test_it_is_exported_as_it_is(chosen):
    candidate, found, (vectors, *_) = chosen
    converted = convert(found.model, 5)
    assert parity(found.model, converted, vectors) < 3e-6
    assert Scorer(converted).score(vectors) == pytest.approx(
        found.model.predict_proba(vectors)[:, 1], abs=1e-5
    )
    assert found.candidate == candidate and found.facts["trials"] == [] and found.facts["folds"] == 3
    assert found.facts["parameters"] == quick(candidate).start(candidate)


def test_held_out_scores_are_signal_and_probabilities(chosen):
    """Each by learner and sigmoid of other customers; the share of bad customers is what they say it is."""
    _, found, (_, label, _) = chosen
    weight = found.rows.weight
    assert found.calibration.rises
    assert roc_auc_score(label, found.out_of_fold, sample_weight=weight) > 0.7
    assert np.average(found.out_of_fold, weights=weight) == pytest.approx(
        np.average(label, weights=weight), abs=0.02
    )
    assert calibration_error(found.out_of_fold, label, weight, bins=5) < 0.05
    for fold in range(3):
        rows = found.rows.fold == fold
        order = np.argsort(found.raw[rows], kind="stable")
        assert (np.diff(found.out_of_fold[rows][order]) >= 0).all(), "calibrating changes no order"


@pytest.mark.parametrize("candidate", CANDIDATES)
def test_noise_gives_scores_near_the_base_rate(candidate):
    vectors, label, customers = history(6, customers=600, signal=0.0)
    found = select_model(vectors, label, customers, quick(candidate, trees=100, leaves=31), seed=0)
    weight = found.rows.weight
    base = np.average(label, weights=weight)
    assert np.sqrt(np.average((found.out_of_fold - base) ** 2, weights=weight)) < 0.05
    assert 0.4 < roc_auc_score(label, found.out_of_fold, sample_weight=weight) < 0.6


def test_the_stand_in_has_learned_nothing_of_customers_set_apart():
    """The model itself knows all by heart, each by the fingerprint in feature 0."""
    vectors, label, customers = history(1, signal=0.0)
    apart = set_apart(customers, 0.3)
    by_heart = quick("hist_gradient_boosting", trees=100, leaves=31, rows_per_leaf=1, learning_rate=0.3)
    found = select_model(vectors, label, customers, by_heart, seed=0, apart=apart)

    def auc(model, rows):
        return roc_auc_score(label[rows], model.predict_proba(vectors[rows])[:, 1])

    assert auc(found.model, apart) > 0.9 and auc(found.stand_in, ~apart) > 0.9
    assert 0.3 < auc(found.stand_in, apart) < 0.7


def test_weights_of_classes_are_undone_by_calibration():
    data = history(2, customers=600)
    plain, balanced = (
        select_model(*data, quick("hist_gradient_boosting", balanced=b), seed=4) for b in (False, True)
    )
    weight = plain.rows.weight
    base = np.average(data[1], weights=weight)
    assert np.average(balanced.raw, weights=weight) > base + 0.08, "no probabilities of the population"
    assert np.average(balanced.out_of_fold, weights=weight) == pytest.approx(base, abs=0.02)
    assert plain.calibration.intercept > balanced.calibration.intercept + 0.5


def test_tuning_chooses_among_candidates_on_some_of_the_customers():
    data = history(3, customers=1_500)
    asked = replace(QUICK, candidates=("logistic_regression", "xgboost"), trials=2, tuning_rows=1_000)
    said = []
    found = select_model(*data, asked, seed=1, progress=said.append)
    assert [trial.candidate for trial in found.trials] == ["logistic_regression"] * 2 + ["xgboost"] * 2
    assert {each.candidate for each in found.compared} == set(asked.candidates)
    for each in found.compared:
        top = max((t for t in found.trials if t.candidate == each.candidate), key=lambda trial: trial.mean)
        assert each.parameters == top.parameters, "each is tuned before they are compared"
    assert (found.candidate, found.parameters) == (found.compared[0].candidate, found.compared[0].parameters)
    assert 500 < found.tuned_on["rows"] < 2_000 < len(data[1]), "few customers have most rows"
    assert found.tuned_on["customers"] < len(found.rows.customer_label) == 1_500
    about = f"{found.tuned_on['rows']:,} rows of {found.tuned_on['customers']:,} customers"
    assert said[0] == f"tuning on {about}" and f"comparing 2 learners on {about}" in said
    assert sum(each.startswith("trial ") for each in said) == 4
    assert "seconds" not in found.facts["trials"][0]
    assert len(found.out_of_fold) == len(data[1]), "scores are of all rows"
