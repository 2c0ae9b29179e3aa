"""Frozen quantile bins: what they hold for heavy tails, repeated, equal and missing values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.distributions.reference import freeze, reference, shares


def psi(bins, values):
    found, _ = shares(bins.edges, values)
    expected = np.array(bins.shares)
    return float(((found - expected) * np.log(found / expected)).sum())


def test_deciles_see_the_drift_that_equal_widths_hide():
    rng = np.random.default_rng(3)
    amounts = rng.lognormal(3, 1.5, 50_000)
    bins = freeze(amounts)
    assert bins.shares == pytest.approx([0.1] * 10, abs=1e-4)
    assert psi(bins, rng.lognormal(3, 1.5, 50_000)) < 0.01
    assert 0.15 < psi(bins, 2 * amounts) < 0.30


@given(st.lists(st.sampled_from([np.nan, -1.0, 0.0, 0.0, 1.0, 7.5, 3e38]), min_size=1, max_size=60))
def test_shares_add_up_and_no_bin_is_empty(values):
    column = np.array(values, dtype=np.float32)
    bins = freeze(column)
    assert sum(bins.shares) + bins.missing == pytest.approx(1)
    assert len(bins.shares) == len(bins.edges) + 1
    assert list(bins.edges) == sorted(set(bins.edges))
    if not np.isnan(column).all():
        assert min(bins.shares) > 0
        assert bins.median == np.nanquantile(column.astype(float), 0.5, method="inverted_cdf")
    assert bins.missing == pytest.approx(np.isnan(column).mean())


def test_a_column_without_values_has_no_edges():
    nothing, equal = freeze(np.full(3, np.nan)), freeze(np.zeros(5))
    assert nothing.missing == 1 and nothing.median is None
    assert equal.shares == (1.0,) and equal.median == 0
    with pytest.raises(ValueError, match="no values"):
        shares([], np.zeros(0))


def test_every_feature_and_the_score_have_bins():
    vectors = np.arange(20, dtype=np.float32).reshape(10, 2)
    found = reference(["amount", "hour"], vectors, np.linspace(0, 1, 10))
    assert list(found.features) == ["amount", "hour"]
    assert found.features["hour"].edges[0] == 1.0 and len(found.score.edges) == 9
