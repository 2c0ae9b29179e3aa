"""Thresholds on planted scores: what each target asks for, and how sure it is that it is reached."""

from dataclasses import replace

import numpy as np
import pytest

from export.policy import Target, Terms
from training.policy.targets import MARGIN, MIN_FLAGGED, enough
from training.policy.thresholds import Cases, choose, facts
from training.statistics.wilson import rate


def cases(label, score, **more):
    return Cases(np.array(label), np.array(score, float), np.arange(len(label)), **more)


# the first ten are all positive, then each ten has two positives less: 30 of 60
LABEL = np.concatenate([np.repeat([1, 0], [10 - 2 * k, 2 * k]) for k in range(6)])
PLANTED = cases(LABEL, 1 - np.arange(60) / 100)
LOW = Target("score", 0.05)


def high(target, given=PLANTED):
    terms = Terms(medium=LOW, high=target)
    found = choose(terms, given)
    return found["high"], facts(terms, given, found, seed=1)["high"]


@pytest.mark.parametrize(
    ("target", "flagged", "rightly"),
    [
        (Target("precision", 0.8), 35, 28),
        (Target("precision", 0.9), 26, 24),
        (Target("precision", 1.0), 18, 18),  # of the second ten the first eight are positive
        (Target("recall", 0.5), 15, 15),
        (Target("recall", 1.0), 42, 30),
        (Target("share", 0.25), 15, 15),
        (Target("score", 0.805), 20, 18),
        (Target("f_beta", 1.0), 34, 28),
        (Target("f_beta", 0.2), 18, 18),
        (Target("expected_cost", miss=1.5, false_alarm=1.0), 34, 28),
        (Target("expected_cost", miss=1.0, false_alarm=20.0), 18, 18),
        (Target("per_week", 10.0), 20, 18),  # in two weeks
    ],
    ids=str,
)
def test_each_target_has_its_threshold(target, flagged, rightly):
    threshold, told = high(target, replace(PLANTED, weeks=2.0))
    assert (PLANTED.score >= threshold).sum() == told["flagged"] == flagged
    assert told["rightly"] == rightly and told["target"] == target.asked
    assert (told["n"], told["positives"]) == (60, 30)
    assert told["precision"] == pytest.approx(rightly / flagged)
    assert (told["recall"], told["share"]) == pytest.approx((rightly / 30, flagged / 60))


def test_the_cost_of_a_miss_may_be_each_customer_s_amount():
    amount = np.where(np.arange(60) < 12, 1.0, 100.0)
    given = replace(PLANTED, losses={"balance": amount})
    target = Target("expected_cost", miss="balance", false_alarm=25.0)
    _, told = high(target, given)
    spared, false = np.cumsum(LABEL * amount), np.cumsum(1 - LABEL)
    best = int(np.argmax(spared - 25 * false))
    assert told["flagged"] == best + 1
    assert told["value"] == pytest.approx((spared - 25 * false)[best] / 60), "saved against flagging nobody"
    assert told["low"] < told["value"] < told["high"] and told["reached"] == "yes"


def test_a_capacity_is_meant_for_all_customers_and_some_of_them_take_their_part():
    _, whole = high(Target("per_week", 10.0), replace(PLANTED, weeks=2.0))
    half = replace(PLANTED, weeks=2.0)[np.arange(60) % 2 == 0]
    _, part = high(Target("per_week", 10.0), half)
    assert (whole["flagged"], part["flagged"]) == (20, 10) and half.part == 0.5


SURE = np.tile([1, 1, 1, 1, 0], 12)


@pytest.mark.parametrize(
    ("label", "target", "reached"),
    [
        # 6 positive customers: whatever is found on them may be chance
        (np.r_[np.ones(5), 0, 1, np.zeros(50)], Target("precision", 0.6), "cannot be known"),
        (np.r_[np.ones(6), np.zeros(50)], Target("recall", 0.8), "cannot be known"),
        (np.r_[np.ones(6), np.zeros(50)], Target("precision", 0.9), "cannot be known"),
        # 48 of 60 flagged are positive, 80 % [68 %, 88 %]
        (np.r_[SURE, np.zeros(100)], Target("precision", 0.8), "yes"),
        (np.r_[SURE, np.zeros(100)], Target("recall", 0.8), "yes"),
        # one in two at best, among a hundred
        (np.tile([1, 0], 50), Target("precision", 0.9), "not reached"),
        (np.r_[np.zeros(12), np.ones(3)], Target("expected_cost", miss=1.0, false_alarm=9.0), "not reached"),
        (np.r_[1, 0, 1, 0, np.zeros(30)], Target("expected_cost", miss=1.5, false_alarm=1.0), "cannot be known"),
        (np.r_[SURE, np.zeros(100)], Target("f_beta", 1.0), "yes"),
        (np.r_[np.ones(2), np.zeros(9), 1], Target("f_beta", 1.0), "cannot be known"),
        (np.r_[SURE, np.zeros(100)], Target("per_week", 20.0), "yes"),
        (np.r_[SURE, np.zeros(100)], Target("per_week", 2.0), "cannot be known"),
        (np.r_[SURE, np.zeros(100)], Target("share", 0.2), "yes"),
        (np.r_[SURE, np.zeros(100)], Target("score", 0.999), "yes"),
    ],
    ids=str,
)  # fmt: skip
def test_a_target_is_reached_or_not_or_cannot_be_known(label, target, reached):
    given = cases(label.astype(int), np.linspace(0.9, 0.1, len(label)))
    assert high(target, given)[1]["reached"] == reached


def test_a_share_of_customers_has_wilsons_interval():
    """Every draw of ten positives of ten says all; Wilson says that it may be 72 %."""
    given = cases(np.r_[np.ones(10), np.zeros(40)].astype(int), np.linspace(0.9, 0.1, 50))
    _, told = high(Target("precision", 0.95), given)
    assert told["flagged"] == MIN_FLAGGED and told["value"] == pytest.approx(1.0)
    assert told["low"] == pytest.approx(rate(10, 10).low) and told["reached"] == "cannot be known"


def test_a_precision_is_asked_of_so_many_that_it_cannot_be_much_worse():
    for share in (0.5, 0.8, 0.95):
        n = enough(share)
        assert rate(share * n, n).low >= share - MARGIN
        assert n == MIN_FLAGGED or rate(share * (n - 1), n - 1).low < share - MARGIN
    assert enough(0.8) == 39


def test_the_interval_of_a_threshold_is_that_of_other_customers():
    """The truth is known: positives are N(0.6, 0.1), so half of them lie above 0.6."""
    inside = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        label = (rng.random(200) < 0.3).astype(int)
        score = np.clip(rng.normal(0.3 + 0.3 * label, 0.1), 0.01, 0.99)
        told = facts(
            Terms(LOW, Target("recall", 0.5)), cases(label, score), {"medium": 0.05, "high": 0.6}, seed
        )
        inside.append(told["high"]["threshold_low"] <= 0.6 <= told["high"]["threshold_high"])
    assert sum(inside) >= 17, "of 20, 19 are expected"


def test_events_of_one_customer_are_drawn_together():
    label, score = np.tile([1, 1, 1, 1, 0], 40), np.linspace(0.9, 0.1, 200)
    alone = cases(label, score)
    few = replace(alone, customer=np.arange(200) // 25)
    wide, narrow = (high(Target("f_beta", 1.0), given)[1] for given in (few, alone))
    assert wide["threshold_high"] - wide["threshold_low"] > narrow["threshold_high"] - narrow["threshold_low"]


def test_medium_never_lies_above_high_and_what_that_costs_is_told():
    terms = Terms(medium=Target("precision", 0.9), high=Target("recall", 1.0))
    found = choose(terms, PLANTED)
    assert found["medium"] == found["high"]
    assert facts(terms, PLANTED, found, 1)["medium"]["reached"] != "yes"


def test_where_nobody_sustains_a_score_there_is_no_threshold_to_choose():
    nobody = cases([1, 0, 1, 0], [0.0, 0.0, 0.0, 0.0])
    threshold, told = high(Target("recall", 0.5), nobody)
    assert (threshold, told["flagged"], told["precision"], told["reached"]) == (1.0, 0, None, "not reached")
    assert told["recall"] == 0.0
