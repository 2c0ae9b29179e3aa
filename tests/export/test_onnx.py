"""The converted model says what the trained one says, whatever the vectors and the batch size."""

import pickle

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from export.manifest import BundleMismatch
from export.onnx import Scorer, convert, parity
from export.onnx.conversion import ParityError
from export.onnx.parity_vectors import extremes

FEATURES = 16


def draw(rng, rows):
    """Amounts, counts, seconds since long ago (few float32 apart), shares; a tenth missing."""
    vectors = rng.lognormal(3, 2, (rows, FEATURES)).astype(np.float32)
    vectors[:, 1] = rng.poisson(3, rows)
    vectors[:, 2] = 6e7 + 4 * rng.integers(0, 5, rows)
    vectors[:, 3] = rng.random(rows)
    vectors[rng.random(vectors.shape) < 0.1] = np.nan
    return vectors


@pytest.fixture(scope="module")
def trained():
    rng = np.random.default_rng(7)
    vectors = draw(rng, 4_000)
    odds = np.nan_to_num(vectors[:, 1]) - 3 + (vectors[:, 2] > 6e7 + 8) + rng.normal(0, 1, len(vectors))
    model = HistGradientBoostingClassifier(max_iter=80, random_state=0).fit(vectors, odds > 0.5)
    return model, convert(model, FEATURES), vectors


def test_parity_on_known_new_and_extreme_vectors(trained):
    model, converted, vectors = trained
    new = draw(np.random.default_rng(8), 5_000)
    assert parity(model, converted, np.concatenate([vectors, new])) < 1e-6


def test_extremes_hold_missing_huge_and_zero_vectors(trained):
    tried = extremes(trained[2])
    for wanted in (0.0, np.nan, np.finfo(np.float32).max, np.finfo(np.float32).min):
        assert any(
            np.array_equal(row, np.full(FEATURES, wanted, np.float32), equal_nan=True) for row in tried
        )


def test_neighbouring_float32_values_fall_on_the_trained_side():
    """Every split lies between two adjacent float32 values: rounded to nearest it would move."""
    grid = 2.0**24 + 2 * np.arange(64)
    vectors = np.repeat(grid, 40).astype(np.float32)[:, None]
    label = np.repeat(np.arange(64) % 2, 40)
    model = HistGradientBoostingClassifier(max_iter=20, max_bins=255, random_state=0).fit(vectors, label)
    assert parity(model, convert(model, 1), vectors) < 1e-6


def test_the_gate_names_the_worst_vector(trained):
    model, _, vectors = trained
    other = HistGradientBoostingClassifier(max_iter=3, random_state=0).fit(vectors, vectors[:, 3] > 0.5)
    with pytest.raises(
        ParityError, match=r"vector \d+ of \d+: the converted model is off by .* its values are \["
    ):
        parity(model, convert(other, FEATURES), vectors)


def test_bits_do_not_depend_on_the_batch(trained):
    _, converted, _ = trained
    vectors = draw(np.random.default_rng(9), 3_000)
    scorer = Scorer(converted)
    whole = scorer.score(vectors)
    for size in (1, 2, 7, 64, 1_000):
        parts = [scorer.score(vectors[start : start + size]) for start in range(0, len(vectors), size)]
        assert np.concatenate(parts).tobytes() == whole.tobytes()
    order = np.random.default_rng(1).permutation(len(vectors))
    assert scorer.score(vectors[order]).tobytes() == whole[order].tobytes()


def test_a_scorer_pickles_as_its_model(trained):
    _, converted, vectors = trained
    scorer = Scorer(converted)
    copy = pickle.loads(pickle.dumps(scorer))
    assert copy.score(vectors).tobytes() == scorer.score(vectors).tobytes()


def test_another_width_is_a_mismatch(trained):
    scorer = Scorer(trained[1])
    assert scorer.score(np.zeros((0, FEATURES), np.float32)).shape == (0,)
    for shape in ((3, FEATURES + 1), (FEATURES,)):
        with pytest.raises(BundleMismatch, match="the model expects"):
            scorer.score(np.zeros(shape, np.float32))


def test_a_score_that_is_no_number_is_refused():
    vectors = np.random.default_rng(2).normal(size=(50, 2)).astype(np.float32)
    scorer = Scorer(convert(LogisticRegression().fit(vectors, vectors[:, 0] > 0), 2))
    assert scorer.score(vectors).shape == (50,)
    with pytest.raises(BundleMismatch, match="not a number"):
        scorer.score(np.full((1, 2), np.nan, np.float32))


def test_converting_twice_gives_the_same_bytes(trained):
    model, converted, _ = trained
    assert convert(model, FEATURES) == converted
