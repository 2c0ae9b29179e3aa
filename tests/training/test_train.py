"""Training from vectors to a bundle that serving accepts, the same bytes for the same seed."""

from dataclasses import replace

import numpy as np
import pytest

from export import bundle as bundles
from export.learned import contains, decode, hashes
from export.onnx import Scorer
from export.policy import Policy
from export.registry.versions import Registry
from features.usecase import BadUseCase, parse
from tests.training.tiny import TEXT, WHEN, rows
from training.build_bundle import build_bundle
from training.data.labelled_rows import BadHistory
from training.data.splits import SplitSettings
from training.steps import TrainingOptions
from training.train import train


def trained():
    return build_bundle(parse(TEXT), rows(), seed=4, created_at=WHEN).bundle


@pytest.fixture(scope="module")
def bundle():
    return trained()


def test_the_same_seed_gives_the_same_bundle_byte_for_byte(bundle):
    again = trained()
    assert again.model == bundle.model
    assert again == bundle


def test_serving_accepts_what_training_wrote(bundle, tmp_path):
    folder = bundles.save(bundle, str(tmp_path))
    bundles.promote(str(tmp_path), bundle.manifest.id)
    loaded = bundles.load_in_use(str(tmp_path), bundle.manifest.use_case)
    assert loaded == bundle and folder.endswith(bundle.manifest.id)
    bundles.check(loaded, parse(TEXT))
    policy = Policy.of(parse(TEXT).policy, loaded.manifest.thresholds)
    assert 0 < policy.medium <= policy.high < 1
    history = rows()
    score = Scorer(loaded.model).score(history.vectors)
    assert score[history.label == 1].mean() > score[history.label == 0].mean() + 0.3


def test_the_manifest_says_what_was_learned_from_and_how_well(bundle):
    manifest = bundle.manifest
    assert manifest.features == ("paid_count_24h", "paid_sum_24h", "amount")
    assert manifest.fingerprint == parse(TEXT).fingerprint
    assert manifest.training["rows"] == 4_000 and manifest.training["customers"] == 200
    assert manifest.training["positive_customers"] == 40
    assert (manifest.training["from"], manifest.training["to"]) == ("1970-01-01", "1970-01-30")
    assert manifest.training["model"]["parameters"]["trees"] == 30
    for about in ("assessments", "customers"):
        figures = manifest.metrics[about]["roc_auc"]
        assert 0.8 < figures["low"] <= figures["value"] <= figures["high"] <= 1
    assert (
        manifest.metrics["levels"]["high"]["reached"]
        and manifest.metrics["levels"]["high"]["precision"] >= 0.7
    )
    assert manifest.metrics["parity"] <= 1e-6
    assert set(bundle.reference.features) == set(bundle.reference.usual) == set(manifest.features)
    known = contains(decode(bundle.learned_from), hashes([*set(rows().customers.tolist()), "a stranger"]))
    assert known[:-1].all() and not known[-1] and len(bundle.learned_from) == 8 * 200
    assert bundle.use_case_text == TEXT


def test_infinite_features_and_empty_histories_are_refused():
    history = rows()
    history.vectors[7, 1] = np.inf
    with pytest.raises(BadHistory, match="feature paid_sum_24h is infinite"):
        build_bundle(parse(TEXT), history, seed=1, created_at=WHEN)
    with pytest.raises(BadHistory, match="found no scored event"):
        build_bundle(parse(TEXT), history[:0], seed=1, created_at=WHEN)


@pytest.mark.parametrize("way", ["time", "both"])
def test_after_a_cut_a_twin_is_judged_and_the_final_model_learns_from_all(way):
    history = rows()
    made = build_bundle(
        parse(TEXT), history, seed=4, created_at=WHEN, split_settings=SplitSettings(way, 0.25)
    )
    assert made.bundle.manifest.training["rows"] == 4_000
    assert made.bundle.manifest.training["split"] == made.split.description
    assert made.held_out.rows.times_us.min() >= made.split.cut_us
    assert made.held_out.model != made.bundle.model
    assert made.selected.rows.label.sum() == history.label[made.split.learn].sum()
    again = Scorer(made.held_out.model).score(made.held_out.rows.vectors)
    assert np.array_equal(again, made.held_out.score.astype(np.float32))
    ((model, own),) = made.held_out.by_model()
    assert model == made.held_out.model and own.all()
    assert made.bundle.manifest.metrics["customers"]["roc_auc"]["value"] > 0.8


def test_by_folds_every_row_is_judged_by_a_model_that_has_not_learned_from_its_customer():
    made = build_bundle(parse(TEXT), rows(), seed=4, created_at=WHEN)
    held_out, fold = made.held_out, made.selected.rows.fold
    assert len(held_out.by_model()) == len(held_out.models) == 3
    assert sum(own.sum() for _, own in held_out.by_model()) == len(held_out.score)
    for k, (model, own) in enumerate(held_out.by_model()):
        assert (own == (fold == k)).all(), "the fold that it was fitted without"
        again = Scorer(model).score(held_out.rows.vectors[own])
        assert again == pytest.approx(held_out.score[own], abs=1e-6)


def test_noise_and_shuffled_labels_give_an_auc_of_one_half_within_its_interval():
    history = rows()
    labels = np.random.default_rng(8).permutation(200) < 40
    shuffled = labels[np.unique(history.customers, return_inverse=True)[1]].astype(np.int64)
    made = build_bundle(parse(TEXT), replace(history, label=shuffled), seed=4, created_at=WHEN)
    for about in ("assessments", "customers"):
        figures = made.bundle.manifest.metrics[about]["roc_auc"]
        assert figures["low"] < 0.5 < figures["high"]


TUNED = """
  candidates: [logistic_regression, random_forest, xgboost]
  metric: {recall_at_fpr: 0.1}
  trials: 2
  tuning_rows: 1000
  folds: 3
  trees: 20
"""


def test_what_was_tried_is_in_the_manifest_and_again_the_same():
    use_case = parse(TEXT.replace("{candidates: [hist_gradient_boosting], trees: 30, folds: 3}", TUNED))
    first, again = (build_bundle(use_case, rows(), seed=4, created_at=WHEN).bundle for _ in range(2))
    assert again == first
    told = first.manifest.training["model"]
    assert [trial["candidate"] for trial in told["trials"]] == [
        "logistic_regression", "logistic_regression", "random_forest", "random_forest", "xgboost", "xgboost",
    ]  # fmt: skip
    top = max(told["compared"], key=lambda each: each["mean"])
    assert (told["candidate"], told["parameters"]) == (top["candidate"], top["parameters"])
    assert told["tuned_on"]["rows"] < 1_400 and told["calibration"]["rises"]
    assert first.manifest.metrics["parity"] < 3e-6
    assert first.manifest.metrics["assessments"]["brier"]["value"] < 0.16, "better than always the base rate"


def test_a_wrong_model_section_is_told_before_anything_is_replayed(tmp_path, with_registry):
    def replayed():
        pytest.fail("nothing is replayed")
        yield

    with pytest.raises(BadUseCase, match=r"model\.metric: 'auc' is not one of"):
        train(
            parse(TEXT.replace("folds: 3", "metric: auc")),
            replayed(),
            Registry(str(with_registry(tmp_path)), "tiny"),
            TrainingOptions(seed=1, created_at=WHEN),
        )
