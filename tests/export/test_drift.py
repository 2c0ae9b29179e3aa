"""PSI of many columns at once is that of each alone, counted in one go or in parts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.drift import LEAST_SHARE, Columns, Verdict, are_many, psi, verdict
from export.reference import freeze

VALUES = st.lists(st.sampled_from([np.nan, -1.0, 0.0, 0.0, 1.0, 2.0, 7.5, 3e38]), min_size=1, max_size=40)


def plainly(then, now):
    """The definition, over the bins that training's deciles make."""
    edges = sorted({np.nanquantile(then, k / 10, method="inverted_cdf") for k in range(1, 10)} - {np.nan})
    edges = [edge for edge in edges if edge < np.nanmax(then)]
    bins = [(low, high) for low, high in zip([-np.inf, *edges], [*edges, np.inf], strict=True)]
    shares = [
        [*(((low < side) & (side <= high)).mean() for low, high in bins), np.isnan(side).mean()]
        for side in (then, now)
    ]
    old, new = (np.maximum(side, LEAST_SHARE) for side in shares)
    return ((new - old) * np.log(new / old)).sum()


def test_it_is_the_definition():
    rng = np.random.default_rng(5)
    then, now = rng.lognormal(2, 2, 4_000), 2 * rng.lognormal(2, 2, 3_000)
    then[::9], now[::5] = np.nan, np.nan
    assert psi(freeze(then), now) == pytest.approx(plainly(then, now), rel=1e-12)


@given(VALUES, VALUES, VALUES, st.integers(0, 40))
def test_columns_side_by_side_are_each_their_own(first, second, now, cut):
    bins = [freeze(np.array(each, np.float32)) for each in (first, second)]
    columns, values = Columns(bins), np.array([now, now[::-1]], np.float32).T
    counts = columns.counts(values[:cut]) + columns.counts(values[cut:])
    assert counts.sum(axis=1).tolist() == [len(now)] * 2
    expected = [psi(each, values[:, k]) for k, each in enumerate(bins)]
    assert columns.psi(counts).tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("found", "said"),
    [(0.1, Verdict.STEADY), (0.11, Verdict.LOOK), (0.2, Verdict.LOOK), (0.21, Verdict.DRIFTED)],
)
def test_what_a_figure_says(found, said):
    assert verdict(found) is said


def test_a_fifth_of_the_features_may_follow_the_season():
    assert not are_many(3, 15) and are_many(4, 15)
