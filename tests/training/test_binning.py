"""Learning on bin codes gives the model that learning on values would have given."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier

from training.models.binning import MAX_BINS, codes, edges, restore


def learner():
    return HistGradientBoostingClassifier(max_iter=30, early_stopping=False, random_state=0)


def draw(rows):
    rng = np.random.default_rng(5)
    vectors = rng.lognormal(2, 2, (rows, 6)).astype(np.float32)
    vectors[:, 1] = rng.integers(0, 4, rows)
    vectors[:, 2] = np.where(rng.random(rows) < 0.5, np.nan, 1.0)  # only missing or not
    vectors[rng.random(vectors.shape) < 0.1] = np.nan
    vectors[:, 5] = np.nan
    label = (np.nan_to_num(vectors[:, 0]) > 9) ^ np.isnan(vectors[:, 2]) ^ (rng.random(rows) < 0.1)
    return vectors, label.astype(np.int64)


def test_restored_splits_say_of_values_what_the_learned_say_of_codes():
    vectors, label = draw(5_000)
    by_column = [edges(column) for column in vectors.T]
    coded = codes(vectors, by_column)
    model = learner().fit(coded, label)
    learned = model.predict_proba(coded)[:, 1]
    restore(model, by_column)
    assert model.predict_proba(vectors)[:, 1].tobytes() == learned.tobytes()
    assert ((learned > 0.5) == label).mean() > 0.85


def test_with_few_values_it_is_scikit_learn_s_own_model():
    vectors, label = draw(3_000)
    vectors = np.round(np.log1p(vectors[:, :5]), 1)  # below 255 values, none of the columns empty
    by_column = [edges(column) for column in vectors.T]
    model = learner().fit(codes(vectors, by_column), label)
    restore(model, by_column)
    expected = learner().fit(vectors, label).predict_proba(vectors)
    assert model.predict_proba(vectors) == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.sampled_from([np.nan, -3e38, -1.0, 0.0, 1e-45, 1.0, 7.5, 3e38]), min_size=1, max_size=50))
def test_no_bin_is_empty(values):
    column = np.array(values, dtype=np.float32)
    upper = edges(column)
    found = codes(column[:, None], [upper])[:, 0]
    expected = set(range(len(upper) + 1)) if not np.isnan(column).all() else {0}
    assert {int(code) for code in found if not np.isnan(code)} == expected


def test_many_values_fill_all_bins():
    column = np.random.default_rng(0).lognormal(0, 3, 20_000).astype(np.float32)
    counts = np.bincount(codes(column[:, None], [edges(column)])[:, 0].astype(int))
    assert len(counts) == MAX_BINS and counts.min() > 0.9 * 20_000 / MAX_BINS
    mostly_zero = np.where(np.arange(20_000) % 10 == 0, column, 0).astype(np.float32)
    assert (np.bincount(codes(mostly_zero[:, None], [edges(mostly_zero)])[:, 0].astype(int)) > 0).all()
