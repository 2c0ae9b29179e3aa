"""Each kind of calibrated model and its graph say the same: of missing, huge and tiny values, beside every split."""

import numpy as np
import pytest

from export.onnx import Calibrated, Scorer, Sigmoid, convert, margin, parity
from export.onnx.conversion import ParityError
from export.onnx.parity_vectors import LEAST_ROWS, beside_splits, mixed, probes, splits
from training.models.candidates import CANDIDATES
from training.models.parameters import Parameters

FEATURES = 6
QUICK = Parameters(trees=40, leaves=31, rows_per_leaf=3, child_weight=0.5)
SIGMOIDS = [Sigmoid(), Sigmoid(2.2, -1.3), Sigmoid(1e-3, -3.0)]


def draw(seed, rows):
    """Amounts, seconds since long ago (few float32 apart), a category, nothing, mostly 0, huge and tiny values."""
    rng = np.random.default_rng(seed)
    vectors = rng.lognormal(3, 2, (rows, FEATURES)).astype(np.float32)
    vectors[:, 1] = 6e7 + 4 * rng.integers(0, 5, rows)
    vectors[:, 2] = rng.integers(0, 2, rows)
    vectors[:, 4] *= rng.random(rows) < 0.1
    vectors[:, 5] = rng.choice([-3e38, -1.0, 0.0, 1e-45, 1e-38, 1.0, 3e38], rows)
    vectors[rng.random(vectors.shape) < 0.1] = np.nan
    vectors[:, 3] = np.nan
    return vectors


def learned(candidate, seed=7, rows=2_500):
    vectors = draw(seed, rows)
    odds = np.nan_to_num(np.log(vectors[:, 0])) - 3 + (vectors[:, 1] > 6e7 + 8) - 2 * np.isnan(vectors[:, 2])
    label = (odds + np.random.default_rng(seed).normal(0, 1, rows) > 0.5).astype(np.int64)
    return CANDIDATES[candidate].fit(vectors, label, np.ones(rows), QUICK.start(candidate), seed)


@pytest.fixture(scope="module", params=CANDIDATES)
def learner(request):
    return request.param, learned(request.param)


@pytest.mark.parametrize("sigmoid", SIGMOIDS)
def test_parity_of_every_candidate_with_calibration(learner, sigmoid):
    model = Calibrated(learner[1], sigmoid)
    assert parity(model, convert(model, FEATURES), draw(8, 4_000)) < 3e-6


def test_both_columns_are_probabilities_near_0_and_1_too(learner):
    """Both classes are equally exact: the difference is relative to the smaller probability."""
    import onnxruntime

    model = Calibrated(learner[1], Sigmoid(3.0, -1.0))
    session = onnxruntime.InferenceSession(convert(model, FEATURES), providers=["CPUExecutionProvider"])
    vectors = draw(9, 2_000)
    (found,) = session.run(["probabilities"], {"vector": vectors})
    odds = 3.0 * margin(model.model, vectors) - 1.0
    assert found[:, 1] == pytest.approx(1 / (1 + np.exp(-odds)), rel=1e-4)
    assert found[:, 0] == pytest.approx(1 / (1 + np.exp(odds)), rel=1e-4)
    assert found.dtype == np.float32 and found.shape == (2_000, 2)


def test_ranking_is_the_learner_s(learner):
    """But for margins that are apart by less than float32 sums are exact."""
    vectors = draw(10, 2_000)
    score = Scorer(convert(Calibrated(learner[1], Sigmoid(0.7, -2.0)), FEATURES)).score(vectors)
    in_order = score[np.argsort(margin(learner[1], vectors), kind="stable")]
    assert in_order[-1] > in_order[0] + 0.1
    assert np.diff(in_order).min() > -3e-6


def test_the_same_seed_gives_the_same_bytes(learner):
    name, model = learner
    sigmoid = Sigmoid(1.5, -0.5)
    first, again, other = (
        convert(Calibrated(each, sigmoid), FEATURES) for each in (model, learned(name), learned(name, seed=70))
    )  # fmt: skip
    assert first == again != other


def test_bits_do_not_depend_on_the_batch(learner):
    scorer, vectors = Scorer(convert(Calibrated(learner[1], Sigmoid(1.5, -0.5)), FEATURES)), draw(11, 2_000)
    whole = scorer.score(vectors)
    for size in (1, 7, 64, 999):
        parts = [scorer.score(vectors[start : start + size]) for start in range(0, len(vectors), size)]
        assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_missing_values_are_a_signal(learner):
    """The label fell where feature 2 was missing; a graph that fills holes with a usual value would not say so."""
    vectors = draw(12, 500)
    vectors[:, 2] = 1.0
    scorer = Scorer(convert(Calibrated(learner[1], Sigmoid()), FEATURES))
    there = scorer.score(vectors).mean()
    vectors[:, 2] = np.nan
    assert scorer.score(vectors).mean() < there - 0.1


def test_the_gate_sees_another_calibration(learner):
    model = learner[1]
    with pytest.raises(ParityError, match="the converted model is off by"):
        parity(
            Calibrated(model, Sigmoid()),
            convert(Calibrated(model, Sigmoid(1.0, 0.01)), FEATURES),
            draw(8, 50),
        )


def test_a_forest_is_never_certain():
    rng = np.random.default_rng(1)
    vectors = np.concatenate([rng.normal(-3, 1, 200), rng.normal(3, 1, 200)]).astype(np.float32)[:, None]
    label = np.repeat([0, 1], 200)
    model = CANDIDATES["random_forest"].fit(vectors, label, np.ones(400), QUICK.start("random_forest"), 0)
    assert {0.0, 1.0} <= set(model.predict_proba(vectors)[:, 1])
    assert np.abs(margin(model, vectors)).max() == pytest.approx(np.log((40 + 0.5) / 0.5))


def test_probes_are_many_and_lie_beside_every_split():
    model = Calibrated(learned("hist_gradient_boosting"), Sigmoid())
    converted, vectors = convert(model, FEATURES), draw(13, 30)
    assert len(probes(vectors, converted)) >= LEAST_ROWS
    feature, threshold = splits(converted)
    beside = beside_splits(vectors, converted)
    for k, t in zip(feature[:50], threshold[:50], strict=True):
        assert t in beside[:, k] and np.nextafter(t, np.float32(np.inf)) in beside[:, k]
    new = mixed(vectors)
    assert all(set(new[:, k][~np.isnan(new[:, k])]) <= set(vectors[:, k]) for k in range(FEATURES))
    assert len(mixed(draw(13, LEAST_ROWS + 5))) == 0
