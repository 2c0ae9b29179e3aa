"""Distances over training's bins are their definitions; what chance and one's own customers give is no drift."""

from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from export.distributions.distance import (
    CHI_SQUARE_99,
    LEAST_SHARE,
    SMOOTHING,
    divergence,
    kolmogorov_smirnov,
)
from export.distributions.drift import BinnedColumns, DriftVerdict, are_many, distance, psi, verdict
from export.distributions.independence import Worth, spread_of_models, worth
from export.distributions.reference import BINS, PLACES, Bins, RowSource, expected, freeze, places, reference

VALUES = st.lists(st.sampled_from([np.nan, -1.0, 0.0, 0.0, 1.0, 2.0, 7.5, 3e38]), min_size=1, max_size=40)
DAY_US = 86_400_000_000


def plainly(then, now):
    """The definition, over the bins that training's deciles make and what lies outside them."""
    edges = sorted({np.nanquantile(then, k / 10, method="inverted_cdf") for k in range(1, 10)} - {np.nan})
    edges = [edge for edge in edges if edge < np.nanmax(then)]
    low, high = np.nextafter(np.nanmin(then), -np.inf), np.nanmax(then)
    bounds = [-np.inf, low, *edges, high, np.inf]
    shares = [
        [*(((a < side) & (side <= b)).mean() for a, b in pairwise(bounds)), np.isnan(side).mean()]
        for side in (then, now)
    ]  # fmt: skip
    old, new = (np.maximum(side, LEAST_SHARE) for side in shares)
    return ((new - old) * np.log(new / old)).sum()


def counted(bins, values):
    return np.bincount(places(bins, np.asarray(values, np.float64)), minlength=PLACES)


def compared(bins, values, rows=None, **rest):
    return distance(
        bins, counted(bins, values), Worth(rows or len(values), PLACES, rows or len(values)), **rest
    )


def judged(bins, values, **rest):
    found = compared(bins, values, **rest)
    return verdict(found.index, found.index_by_chance, found.never_seen)


def test_it_is_the_definition():
    rng = np.random.default_rng(5)
    then, now = rng.lognormal(2, 2, 4_000), 2 * rng.lognormal(2, 2, 3_000)
    then[::9], now[::5] = np.nan, np.nan
    assert psi(freeze(then), now) == pytest.approx(plainly(then, now), rel=1e-12)
    assert compared(freeze(then), now).index == pytest.approx(plainly(then, now), rel=1e-12)


@given(VALUES, VALUES, VALUES, st.integers(0, 40))
def test_columns_side_by_side_are_each_their_own(first, second, now, cut):
    bins = [freeze(np.array(each, np.float32)) for each in (first, second)]
    columns, values = BinnedColumns(bins), np.array([now, now[::-1]], np.float32).T
    counts = columns.counts(values[:cut]) + columns.counts(values[cut:])
    assert counts.sum(axis=1).tolist() == [len(now)] * 2
    alone = [psi(each, values[:, k]) for k, each in enumerate(bins)]
    assert columns.index(counts).tolist() == pytest.approx(alone, abs=1e-12)
    for k, each in enumerate(bins):
        assert columns.places(values)[:, k].tolist() == places(each, values[:, k]).tolist()


@pytest.mark.parametrize(
    ("index", "by_chance", "expected"),
    [
        (0.1, 0, DriftVerdict.STEADY), (0.11, 0, DriftVerdict.LOOK),
        (0.2, 0, DriftVerdict.LOOK), (0.21, 0, DriftVerdict.DRIFTED),
        (0.3, 0.31, DriftVerdict.STEADY), (0.3, 0.29, DriftVerdict.DRIFTED),
    ],
)  # fmt: skip
def test_a_verdict_is_by_the_index_unless_chance_gives_as_much(index, by_chance, expected):
    assert verdict(index, by_chance) is expected


def test_a_tenth_of_the_features_may_follow_the_season():
    assert not are_many(3, 30) and are_many(4, 30)


@pytest.mark.parametrize(
    ("then", "now"),
    [
        (np.zeros(2_000), np.r_[np.zeros(1_800), np.ones(200)]),  # another value than the constant
        (np.zeros(2_000), np.r_[np.zeros(1_800), np.full(200, np.nan)]),  # missing, and never was
        (np.arange(2_000), np.r_[np.arange(0, 2_000, 2), np.full(120, -5.0)]),  # below all
        (np.arange(2_000), np.r_[np.arange(0, 2_000, 2), np.full(120, 1e9)]),  # above all
        (np.full(2_000, np.nan), np.r_[np.full(1_800, np.nan), np.ones(200)]),  # there, and never was
    ],
)
def test_values_that_training_never_saw_are_drift(then, now):
    assert judged(freeze(np.asarray(then, float)), now) is DriftVerdict.DRIFTED
    assert compared(freeze(np.asarray(then, float)), now).never_seen > 0.05 or np.isnan(then).all()


def test_a_few_values_never_seen_are_worth_a_look_and_not_what_training_was_too_small_to_see():
    now = np.r_[np.zeros(1_960), np.ones(40)]
    assert judged(freeze(np.zeros(2_000)), now) is not DriftVerdict.STEADY
    small = msgspec.structs.replace(freeze(np.zeros(100)), customers=100.0)
    assert compared(small, now).never_seen == 0


def test_a_reference_of_an_older_bundle_is_read_and_knows_its_constant():
    text = b'{"edges": [], "shares": [1.0], "missing": 0.0, "median": 3.0}'
    bins = msgspec.json.decode(text, type=Bins)
    assert judged(bins, np.full(600, 3.0)) is DriftVerdict.STEADY
    assert judged(bins, np.r_[np.full(500, 3.0), np.full(100, 4.0)]) is DriftVerdict.DRIFTED
    ranged = msgspec.json.decode(b'{"edges": [1.0], "shares": [0.5, 0.5], "missing": 0.0}', type=Bins)
    assert compared(ranged, [0.0, 2.0, 1e9]).never_seen == 0, "its range is not known"


def test_kl_is_the_divergence_of_smoothed_shares_and_ks_a_lower_bound():
    rng = np.random.default_rng(3)
    then, now = rng.normal(0, 1, 5_000), rng.normal(0.3, 1.2, 4_000)
    bins, found = freeze(then), compared(freeze(then), now)
    old, new = expected(bins) + SMOOTHING, counted(bins, now) / len(now) + SMOOTHING
    assert found.divergence == pytest.approx(stats.entropy(new, old), rel=1e-12)
    exact = stats.ks_2samp(then, now).statistic
    assert exact - 1 / BINS < found.ks <= exact + 1e-12
    assert found.ks > found.ks_by_chance
    assert compared(bins, rng.normal(0, 1, 4_000)).ks < found.ks_by_chance * 1.2
    missing = np.where(rng.random(4_000) < 0.4, np.nan, now)
    assert compared(bins, missing).ks == pytest.approx(found.ks, abs=0.02), "of the values that are there"
    assert kolmogorov_smirnov(np.zeros(3), np.ones(3) / 3) == 0
    assert divergence(new / new.sum(), new / new.sum()) == 0


def test_the_table_of_chi_square_is_chi_square():
    assert CHI_SQUARE_99[1:].tolist() == pytest.approx(stats.chi2.ppf(0.99, np.arange(1, 13)), abs=1e-3)


def customers_of(rng, n, rows, alike=1.0):
    """n customers of `rows` values each, around a mean of their own."""
    mean = np.repeat(rng.normal(0, alike, n), rows)
    return mean + rng.normal(0, 0.3, n * rows), np.repeat(np.arange(n), rows)


def test_what_is_called_chance_comes_without_change_in_one_of_a_hundred_samples():
    """Rows of a customer are alike: taken for independent, they would nearly always show a change."""
    rng, beyond, naively = np.random.default_rng(8), [], []
    for _ in range(150):
        (then, owners), (now, others) = customers_of(rng, 200, 25), customers_of(rng, 60, 25)
        bins = freeze(then)
        trained = worth(places(bins, then), owners, PLACES)
        bins = msgspec.structs.replace(bins, effective=trained.rows, freedom=trained.freedom)
        place = places(bins, now)
        found = distance(bins, np.bincount(place, minlength=PLACES), worth(place, others, PLACES))
        beyond.append(found.index > found.index_by_chance)
        naive = compared(msgspec.structs.replace(bins, effective=5_000.0, freedom=None), now)
        naively.append(naive.index > naive.index_by_chance)
    assert np.mean(beyond) < 0.05
    assert np.mean(naively) > 0.9


def test_independent_rows_are_worth_themselves_and_copies_nothing():
    rng = np.random.default_rng(1)
    place = rng.integers(0, 10, 3_000)
    alone, copied = (worth(np.repeat(place, n), np.repeat(np.arange(3_000), n), PLACES) for n in (1, 5))
    assert (alone.rows, copied.rows) == pytest.approx((3_000, 3_000), rel=0.02)
    assert alone.freedom == pytest.approx(9, rel=0.02)
    assert worth(np.zeros(90, int), np.repeat(np.arange(30), 3), PLACES).rows == pytest.approx(30)
    assert worth(place, np.zeros(3_000, int), PLACES) == (1, 1, 1)


def test_models_of_few_customers_differ_and_their_scores_do_not_alarm():
    """Each fold's model scores a little higher or lower; so will the one that is kept."""
    rng, customers, fold = np.random.default_rng(4), np.arange(900), np.arange(900) % 3
    shift = np.array([-0.6, 0.0, 0.6])
    score = rng.normal(0, 1, 900) + shift[fold]
    origin = RowSource(customers, np.zeros(900, np.int64), fold, (0,))
    made = reference(["a"], score[:, None].astype(np.float32), score, origin=origin)
    strangers = rng.normal(0.6, 1, 900)
    assert made.score_models > 0.003
    assert judged(made.score, strangers) is not DriftVerdict.STEADY
    assert judged(made.score, strangers, models=made.score_models) is DriftVerdict.STEADY
    same = rng.permutation(score)
    assert spread_of_models(places(freeze(same), same), customers, fold, PLACES) < made.score_models / 3


def history(rng, days=60, rows=60):
    """A count over 30 days that fills up: by day, of as many customers."""
    day = np.repeat(np.arange(days), rows)
    count = rng.poisson(0.4 * np.minimum(day + 1, 30)).astype(np.float32)
    return count, day * DAY_US + rng.integers(0, DAY_US, len(day)), np.tile(np.arange(rows), days)


def test_bins_hold_what_a_filled_window_shows():
    """A store in use is filled, so training's first weeks are not what it is compared with."""
    rng = np.random.default_rng(6)
    count, times_us, customers = history(rng)
    settled = rng.poisson(12, 3_000).astype(np.float32)
    assert judged(freeze(count), settled) is DriftVerdict.DRIFTED, "as it was"
    made = reference(
        ["a"], count[:, None], count, origin=RowSource(customers, times_us, customers % 3, (30 * DAY_US,))
    )
    assert judged(made.features["a"], settled, rows=60) is DriftVerdict.STEADY
    assert judged(made.features["a"], 2 * settled, rows=60) is DriftVerdict.DRIFTED
    assert made.features["a"].median == freeze(count).median, "medians are of all rows"
    short = reference(
        ["a"], count[:, None], count, origin=RowSource(customers, times_us, customers % 3, (90 * DAY_US,))
    )
    assert made.features["a"].filled and not short.features["a"].filled


def test_single_days_of_training_say_what_is_usual_of_a_day():
    rng = np.random.default_rng(6)
    day = np.repeat(np.arange(28), 200)
    weekend = (day % 7 >= 5).astype(np.float32)
    plain = rng.random(len(day)).astype(np.float32)
    origin = RowSource(np.arange(len(day)), day * DAY_US, day % 3, (0, 0))
    found = reference(["weekend", "plain"], np.column_stack((weekend, plain)), plain, origin=origin).features
    assert judged(found["weekend"], np.ones(500)) is DriftVerdict.DRIFTED, "a Sunday is unlike a week"
    assert psi(found["weekend"], np.ones(500)) <= found["weekend"].usual_day + 1e-9
    assert found["plain"].usual_day < 0.2
    few = RowSource(np.arange(600), day[:600] * DAY_US, day[:600] % 3, (0,))
    assert reference(["a"], plain[:600, None], plain[:600], origin=few).score.usual_day is None, (
        "three days are too few"
    )
