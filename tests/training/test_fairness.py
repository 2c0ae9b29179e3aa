"""Fairness by groups: planted unequal treatment is found, chance is not taken for it, and small groups say nothing."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats.contingency import relative_risk

from export.policy import Terms
from features.usecase import Grouping, PersonField, UseCase, parse
from tests.training.tiny import payments
from training.champion.evidence import contrasts
from training.champion.gates import Contrast
from training.data.labelled_rows import LabelledRows
from training.evaluation.customers import HeldOutCustomers
from training.evaluation.fairness import ALIKE, APART, MAYBE, OUTCOMES, REFERENCE, SMALL, absent, fairness
from training.evaluation.groups import groups
from training.evaluation.recommendations import replayed
from training.evaluation.treatment import Fairness
from training.models.held_out import HeldOut
from training.report.fairness import findings
from training.statistics.interval import Interval
from training.statistics.ratios import lower_over_higher, ratio, times

TEXT = payments(
    "sex: [F, M, X], born: {type: date, optional: true}",
    """\
features:
  customer:
    attributes: {age: {from: customer.born, as: age}}
  event: [amount]
label: {from: customer.state, positive: [SUSPENDED]}
protected: [customer.sex]
""",
)
USE_CASE = parse(TEXT)
DAY_US = 86_400_000_000
HIGH = 0.5
TERMS = Terms(in_a_row=2, min_events=0)
EVENTS = 4  # of each customer


def held_out(
    sex: np.ndarray, label: np.ndarray, score: np.ndarray, born: np.ndarray | None = None
) -> HeldOut:
    """EVENTS a customer: `score` [customers, EVENTS]."""
    n = len(sex)
    customer = np.repeat(np.arange(n), EVENTS)
    times_us = np.tile(np.arange(EVENTS) * DAY_US, n) + 20_000 * DAY_US
    people = {"customer.sex": sex[customer]}
    people["customer.born"] = (np.full(n, "1990-01-01") if born is None else born)[customer]
    rows = LabelledRows(
        np.zeros((len(customer), 2), np.float32), label[customer], np.array([f"c{k:05}" for k in customer]), times_us,
        times_us, np.full(len(customer), "payment"), np.arange(len(customer)).astype(str), people,
    )  # fmt: skip
    return HeldOut(rows, score.ravel(), {"medium": 0.3, "high": HIGH}, b"", terms=TERMS)


def measured(found: HeldOut, use_case: UseCase = USE_CASE) -> tuple[Fairness, ...]:
    return fairness(use_case, found, HeldOutCustomers.of(found), replayed(found))


def drawn(rates: dict[str, tuple[int, float]], seed: int) -> HeldOut:
    """Customers by sex: how many, and with which chance of a HIGH score at each of all their events."""
    rng = np.random.default_rng(seed)
    sex = np.concatenate([np.full(n, name) for name, (n, _) in rates.items()])
    chance = np.concatenate([np.full(n, share) for n, share in rates.values()])
    flagged = rng.random(len(sex)) < chance
    label = (rng.random(len(sex)) < 0.2).astype(np.int64)
    return held_out(sex, label, np.repeat(np.where(flagged, 0.9, 0.1)[:, None], EVENTS, axis=1))


def flagged(counts: dict[str, tuple[int, int]]) -> HeldOut:
    """Customers by sex: how many, and how many of them are HIGH with all their events. Every fifth is positive."""
    sex = np.concatenate([np.full(n, name) for name, (n, _) in counts.items()])
    high = np.concatenate([np.arange(n) < count for n, count in counts.values()])
    label = (np.arange(len(sex)) % 5 == 0).astype(np.int64)
    return held_out(sex, label, np.repeat(np.where(high, 0.9, 0.1)[:, None], EVENTS, axis=1))


def test_figures_are_those_of_a_loop_over_customers() -> None:
    rng = np.random.default_rng(3)
    sex, label = rng.choice(["M", "F", ""], 400, p=[0.5, 0.4, 0.1]), (rng.random(400) < 0.3).astype(np.int64)
    score = np.where(rng.random((400, EVENTS)) < 0.25, 0.9, 0.05)
    by_sex, _ = measured(held_out(sex, label, score))
    assert (by_sex.field, by_sex.reference, by_sex.known) == ("customer.sex", "M", int((sex != "").sum()))
    assert [group.group for group in by_sex.groups] == ["M", "F", "unknown"]
    for group in by_sex.groups:
        own = [k for k in range(400) if sex[k] == group.group.replace("unknown", "")]
        ever = [k for k in own if any(value >= HIGH for value in score[k])]
        in_a_row = [
            k for k in own if any(score[k, e] >= HIGH and score[k, e + 1] >= HIGH for e in range(EVENTS - 1))
        ]
        negative = [k for k in own if not label[k]]
        counts = {each.outcome: (each.count, each.n) for each in group.outcomes}
        assert (group.n, group.positives) == (len(own), int(label[own].sum()))
        assert counts["HIGH at any time"] == (len(ever), len(own))
        assert len(in_a_row) <= counts["recommended"][0] <= len(ever), (
            "a level is kept for a day, and counts too"
        )
        assert counts["HIGH although negative"] == (len(set(ever) & set(negative)), len(negative))
        hits = [k for k in ever if label[k]]
        assert group.precision.value == pytest.approx(len(hits) / len(ever))
        assert group.false_negative_rate.value == pytest.approx(1 - len(hits) / group.positives)


def test_planted_unequal_treatment_is_found_and_equal_treatment_is_not() -> None:
    unequal, _ = measured(drawn({"M": (1_500, 0.1), "F": (900, 0.3), "X": (10, 0.9)}, 1))
    (reference, other) = unequal.groups
    assert (unequal.reference, reference.group, unequal.small, unequal.small_customers) == (
        "M",
        "M",
        ("X",),
        10,
    )
    assert {each.finding for each in reference.outcomes} == {REFERENCE}
    assert {each.finding for each in other.outcomes} == {APART}
    for each in other.outcomes:
        assert each.ratio is not None and 1.25 < each.ratio.low < 3 < each.ratio.high < 6
    apart = 0
    for seed in range(40):
        equal, _ = measured(drawn({"M": (300, 0.15), "F": (200, 0.15), "X": (60, 0.15)}, seed))
        apart += any(each.finding == APART for group in equal.groups for each in group.outcomes)
    assert apart <= 2, "fewer than one in twenty, although each time eight rates are compared"


def test_a_difference_that_may_be_chance_and_one_within_four_fifths_are_called_so() -> None:
    found, _ = measured(flagged({"M": (400, 40), "F": (120, 18)}))
    ever = found.groups[1].outcomes[0]
    assert ever.ratio is not None and ever.ratio.value == pytest.approx(1.5) and ever.finding == MAYBE
    close, _ = measured(flagged({"M": (401, 80), "F": (400, 84)}))
    assert close.groups[1].outcomes[0].finding == ALIKE


def test_small_groups_are_too_small_to_say_and_none_of_forty_has_an_interval() -> None:
    found, _ = measured(flagged({"M": (200, 50), "F": (40, 0)}))
    ever = found.groups[1].outcomes[0]
    assert (ever.count, ever.n, ever.finding) == (0, 40, APART), "8 would be expected at everybody's rate"
    assert ever.ratio is not None and ever.ratio.value == ever.ratio.low == 0 < ever.ratio.high < 0.8
    rare, _ = measured(flagged({"M": (200, 10), "F": (40, 0)}))
    ever = rare.groups[1].outcomes[0]
    assert (ever.ratio, ever.finding, rare.comparisons) == (None, SMALL, 0), "fewer than 2 would be expected"
    assert [line for _, line in findings(rare)] == [
        "No group is large enough to be compared with M, the largest one."
    ]
    assert contrasts((rare,)) == ()
    (_, other), _ = (each.groups for each in measured(flagged({"M": (400, 0), "F": (200, 60)})))
    assert other.outcomes[0].finding == APART, "nobody of the reference is HIGH, and 40 would be expected"


def test_a_field_without_values_is_absent_and_compares_nothing() -> None:
    found = drawn({"M": (100, 0.2), "F": (100, 0.2)}, 1)
    people = {
        "customer.sex": np.full(len(found.rows), ""),
        "customer.born": found.rows.people["customer.born"],
    }
    fields = measured(replace(found, rows=replace(found.rows, people=people)))
    assert absent(fields) == ("customer.sex",) and fields[0].reference == ""
    assert {each.finding for group in fields[0].groups for each in group.outcomes} == {SMALL}


def test_age_is_compared_in_groups_since_a_feature_is_made_of_it() -> None:
    sex, label = np.full(300, "M"), (np.arange(300) % 4 == 0).astype(np.int64)
    born = np.array(["2000-06-01"] * 150 + ["1950-06-01"] * 100 + [""] * 50)
    score = np.repeat(np.where(np.arange(300) % 3 == 0, 0.9, 0.1)[:, None], EVENTS, axis=1)
    _, by_age = measured(held_out(sex, label, score, born))
    assert (by_age.field, by_age.is_protected, by_age.features) == ("customer.born", False, ("age",))
    assert [(group.group, group.n) for group in by_age.groups] == [
        ("18-24", 150),
        ("65+", 100),
        ("unknown", 50),
    ]
    assert by_age.reference == "18-24"


def test_ages_and_quartiles_have_names_that_say_their_bounds() -> None:
    age = PersonField("customer", "born", Grouping.AGE, False)
    at_us = np.full(8, np.datetime64("2026-01-02", "us").astype(np.int64))
    born = [
        "2010-01-01",
        "2008-01-01",
        "2001-01-03",
        "2001-01-01",
        "1960-06-01",
        "2027-01-01",
        "1880-01-01",
        "",
    ]
    expected = ["under 18", "18-24", "18-24", "25-34", "65+", "unknown", "unknown", "unknown"]
    assert groups(age, np.array(born), at_us).tolist() == expected
    years = replace(age, grouping=Grouping.YEARS)
    assert groups(years, np.array(["17", "49.9", "50", "", "130"]), at_us[:5]).tolist() == [
        "under 18", "35-49", "50-64", "unknown", "unknown",
    ]  # fmt: skip
    income = replace(age, grouping=Grouping.QUARTILE)
    values = np.array([*(str(float(k)) for k in range(1, 101)), ""])
    names, counts = np.unique(groups(income, values, np.zeros(101, np.int64)), return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == {
        "up to 25": 25, "above 25 to 50": 25, "above 50 to 75": 25, "above 75": 25, "unknown": 1,
    }  # fmt: skip
    assert groups(income, np.array(["1", "2", ""]), at_us[:3]).tolist() == ["1", "2", "unknown"]


def chi_square(theta: float, count: int, of: int, other_count: int, other_of: int) -> float:
    """Koopman's statistic with the likeliest share found by search instead of his formula."""

    def unlikely(other: float) -> float:
        share = theta * other
        return -(
            count * np.log(share) + (of - count) * np.log1p(-share)
            + other_count * np.log(other) + (other_of - other_count) * np.log1p(-other)
        )  # fmt: skip

    other = minimize_scalar(unlikely, bounds=(1e-9, min(1, 1 / theta) - 1e-9), options={"xatol": 1e-12}).x
    share = theta * other
    return float(
        (count - of * share) ** 2 / (of * share * (1 - share))
        + (other_count - other_of * other) ** 2 / (other_of * other * (1 - other))
    )


def test_the_interval_of_a_ratio_ends_where_koopmans_test_rejects() -> None:
    for counts in ((36, 40, 16, 80), (7, 34, 1, 34), (1, 34, 7, 34), (90, 400, 150, 500)):
        found = ratio(*counts)
        for end in (found.low, found.high):
            assert chi_square(end, *counts) == pytest.approx(1.959964**2, rel=1e-3)
    large, theirs = ratio(900, 4_000, 1_500, 5_000), relative_risk(900, 4_000, 1_500, 5_000)
    interval = theirs.confidence_interval(0.95)
    assert large.value == theirs.relative_risk
    assert (large.low, large.high) == pytest.approx((interval.low, interval.high), rel=1e-3)


def test_ratios_of_nobody_have_an_end_at_least() -> None:
    none, all_others, neither = ratio(0, 40, 20, 80), ratio(20, 80, 0, 40), ratio(0, 40, 0, 40)
    assert none.value == none.low == 0 < none.high < 0.6
    assert all_others.low == pytest.approx(1 / none.high) and all_others.high == np.inf
    assert times(all_others) == f"at least {all_others.low:.2f} times"
    assert (neither.low, neither.high) == (0.0, np.inf) and np.isnan(neither.value)


def test_the_interval_of_a_ratio_holds_the_truth_as_often_as_it_says() -> None:
    rng, inside = np.random.default_rng(5), 0
    for count, other in rng.binomial([60, 90], [0.1, 0.2], (2_000, 2)).tolist():
        each = ratio(count, 60, other, 90)
        inside += each.low <= 0.5 <= each.high
    assert 0.94 <= inside / 2_000 <= 0.965


def test_the_lower_rate_is_over_the_higher_one_whichever_group_it_is_of() -> None:
    assert lower_over_higher(Interval(2.0, 1.25, 4.0)) == Interval(0.5, 0.25, 0.8)
    assert lower_over_higher(Interval(0.5, 0.25, 0.8)) == Interval(0.5, 0.25, 0.8)
    assert lower_over_higher(Interval(1.25, 0.5, 4.0)) == Interval(0.8, 0.25, 1.0)
    assert Contrast("a", "b", "c", "d", Interval(0.0, 0.0, 0.5)).lower.high == 0.5


def test_outcomes_are_those_that_a_person_would_notice() -> None:
    assert OUTCOMES == (
        "HIGH at any time",
        "HIGH after the last event",
        "recommended",
        "HIGH although negative",
    )
