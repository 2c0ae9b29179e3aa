"""The replayed policy against a walk of every event through the plain oracle; scores that customers sustained."""

from dataclasses import replace

import numpy as np
import pytest

from export.policy import Policy, Terms, Transition
from export.policy.settings import HOUR_US
from tests.export.policy_oracle import Oracle
from training.data.labelled_rows import LabelledRows
from training.policy.replay import Timeline, decisions, sustained_scores

TERMS = Terms(exit_ratio=0.7, cooldown_us=6 * HOUR_US, in_a_row=3, min_events=4, max_per_hour=2)
THRESHOLDS = {"medium": 0.45, "high": 0.7}


def history(times_us, customers, events=None):
    n = len(times_us)
    return LabelledRows(
        np.zeros((n, 1), np.float32), np.zeros(n, np.int64), customers, times_us, times_us,
        np.full(n, "payment"), np.arange(n).astype(str), {}, events,
    )  # fmt: skip


def sample(seed, n=1_500, customers=25):
    rng = np.random.default_rng(seed)
    times_us = rng.integers(0, 4 * 24 * HOUR_US, n)
    customer = rng.integers(0, customers, n)
    score = np.clip(0.2 + 0.02 * customer + rng.normal(0, 0.15, n), 0.01, 0.99).round(2)
    return Timeline.of(history(times_us, customer.astype(str)), customer), score


def oracle(terms, timeline, score, thresholds):
    """(changes, levels) of one event after the other."""
    plain = Oracle(Policy(**thresholds, exit_ratio=terms.exit_ratio,
                          cooldown_us=terms.cooldown_us, in_a_row=terms.in_a_row,
                          min_events=terms.min_events, max_per_hour=terms.max_per_hour))  # fmt: skip
    rows = zip(timeline.customer, score, timeline.time_us, timeline.evidence, strict=True)
    said = [plain.judge(*map(float, row)) for row in rows]
    return [change for *_, change in said], [level for _, level, _ in said], plain


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_walk_of_every_event_through_the_oracle(seed):
    timeline, rows = sample(seed)
    score = rows[timeline.order]
    assert (np.diff(timeline.time_us) >= 0).all()
    found = decisions(TERMS, timeline, score, THRESHOLDS)
    changes, levels, plain = oracle(TERMS, timeline, score, THRESHOLDS)
    assert [Transition(each).name for each in found.transition] == changes
    assert found.level.tolist() == levels
    assert {"RECOMMENDED", "RETRACTED", "HELD"} <= set(changes), "the breaker trips too"
    customers = range(25)
    assert found.is_open.tolist() == [plain.customers[c].said == "recommended" for c in customers]
    assert found.last_level.tolist() == [plain.customers[c].level for c in customers]
    own = [[k for k, each in enumerate(timeline.customer) if each == c] for c in customers]
    assert found.highest_level.tolist() == [max(levels[k] for k in places) for places in own]
    made = [[k for k in places if changes[k] == "RECOMMENDED"] for places in own]
    assert found.first.tolist() == [min(places, default=len(score)) for places in made]
    assert found.ever(Transition.RECOMMENDED).tolist() == [bool(places) for places in made]


def test_thresholds_that_differ_by_row_are_each_customers_own():
    timeline, rows = sample(7)
    free, score = replace(TERMS, max_per_hour=0), rows[timeline.order]
    sides = THRESHOLDS, {"medium": 0.3, "high": 0.35}
    side = timeline.customer % 2
    mixed = {level: np.array([each[level] for each in sides])[side] for level in THRESHOLDS}
    found = decisions(free, timeline, score, mixed)
    for k, thresholds in enumerate(sides):
        alone = decisions(free, timeline, score, thresholds)
        assert (found.level[side == k] == alone.level[side == k]).all()
        assert (found.transition[side == k] == alone.transition[side == k]).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_score_that_was_sustained_is_the_highest_threshold_that_recommends(seed):
    timeline, rows = sample(seed)
    score = rows[timeline.order]
    free = replace(TERMS, max_per_hour=0)
    sustained = sustained_scores(TERMS, timeline, score)
    peak = np.array([score[timeline.customer == c].max() for c in range(25)])
    assert ((sustained > 0) & (sustained <= peak)).all()
    for threshold in (0.2037, 0.3011, 0.405, 0.5019, 0.6023, 0.7037, 0.8039):
        low = {"medium": threshold * free.exit_ratio, "high": threshold}
        recommended = decisions(free, timeline, score, low).ever(Transition.RECOMMENDED)
        assert (recommended == (sustained >= threshold)).all()


def test_one_score_in_a_row_is_the_highest_there_is():
    timeline, rows = sample(3)
    score = rows[timeline.order]
    sustained = sustained_scores(Terms(in_a_row=1, min_events=0), timeline, score)
    assert sustained.tolist() == [score[timeline.customer == c].max() for c in range(25)]


def test_whoever_has_too_few_events_sustains_no_score():
    customer = np.array([0, 0, 1, 1, 1])
    timeline = Timeline.of(history(np.arange(5) * HOUR_US, customer.astype(str)), customer)
    score = np.array([0.9, 0.9, 0.9, 0.3, 0.2])
    terms = Terms(exit_ratio=1.0, in_a_row=2, min_events=2)
    assert sustained_scores(terms, timeline, score) == pytest.approx([0.0, 0.2], abs=1e-6)


def test_a_customer_that_was_forgotten_begins_anew():
    customer = np.zeros(6, np.intp)
    known = np.array([4, 5, 6, 2, 3, 4])  # the first event of the second life was a profile
    timeline = Timeline.of(history(np.arange(6) * HOUR_US, customer.astype(str), known), customer)
    assert timeline.life.tolist() == [0, 0, 0, 1, 1, 1] and timeline.evidence.tolist() == known.tolist()
    score = np.array([0.9, 0.9, 0.9, 0.1, 0.1, 0.1])
    found = decisions(Terms(in_a_row=2, min_events=4), timeline, score, THRESHOLDS)
    assert found.level.tolist() == [2, 2, 2, 0, 0, 0], "no level is kept"
    assert found.ever(Transition.RECOMMENDED).tolist() == [True] and found.is_open.tolist() == [False]
    assert (found.highest_level.tolist(), found.last_level.tolist()) == ([2], [0])
