"""Planted scores with a known truth, replayed: counts, weeks and times are right, and a report warns where it must."""

import html
import re
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest

from commands.train import recommended_facts, recommended_lines
from export.policy import Target, Terms
from export.policy.settings import HOUR_US
from features.usecase import parse
from tests.training.test_report import evaluation
from tests.training.tiny import TEXT, WHEN, rows
from training.build_bundle import build_bundle
from training.data.labelled_rows import LabelledRows
from training.evaluation.customers import HeldOutCustomers
from training.evaluation.earliness import earliness
from training.evaluation.evaluate import first_sentence
from training.evaluation.figures import SegmentFigures
from training.evaluation.recommendations import outlook, recommendations, replayed, sentence, sustained
from training.models.held_out import HeldOut
from training.policy.thresholds import Cases, choose, facts
from training.report import levels
from training.report.page import page
from training.report.run import Run
from training.report.words import first_lines
from training.statistics.wilson import rate

DAY_US = 24 * HOUR_US
FROM_US = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp()) * 1_000_000  # a Monday
HIGH, LOW = 0.9, 0.1
TERMS = Terms(exit_ratio=0.8, cooldown_us=HOUR_US, in_a_row=2, min_events=3)


def held_out(scores, labels, terms=TERMS, **more):
    """Customers with these scores, one a day; all begin on the same day, some minutes apart."""
    customer = np.repeat(np.arange(len(scores)), [len(each) for each in scores])
    day = np.concatenate([np.arange(len(each)) for each in scores])
    times_us = FROM_US + day * DAY_US + customer * 60_000_000
    n = len(customer)
    history = LabelledRows(
        np.zeros((n, 1), np.float32), np.array(labels)[customer], np.array([f"c{k:03}" for k in customer]), times_us,
        times_us, np.full(n, "payment"), np.arange(n).astype(str), {},
    )  # fmt: skip
    return HeldOut(history, np.concatenate(scores), {"medium": 0.4, "high": 0.8}, b"", terms=terms, **more)


# scores of fourteen days, and whether the customer is positive
SCORES = [
    [LOW] * 2 + [HIGH] * 12,  # recommended at the fourth event, open
    [LOW] * 9 + [HIGH] * 3 + [LOW] * 2,  # recommended at the eleventh, retracted
    [HIGH, LOW] * 7,  # often HIGH, never twice in a row
    [LOW] * 14,
    [LOW] * 3 + [HIGH] * 11,  # recommended at the fifth, wrongly
    [HIGH] * 2,  # too few events
]
LABELS = [1, 1, 1, 0, 0, 0]


def counted(given):
    customers, made = HeldOutCustomers.of(given), replayed(given)
    return recommendations(given, customers, made), made, customers


def test_what_was_planted_is_counted():
    found, made, customers = counted(held_out(SCORES, LABELS))
    assert (found.customers, found.positives, found.crossfitted) == (6, 3, False)
    assert (found.ever.customers, found.ever.rightly) == (3, 2)
    assert (found.ever.precision, found.ever.recall) == (rate(2, 3), rate(2, 3))
    assert (found.open.customers, found.open.rightly, found.retracted, found.held) == (2, 1, 1, 0)
    assert [(week.start, week.cases, week.rightly) for week in found.weeks] == [
        ("2026-03-02", 2, 1), ("2026-03-09", 1, 1)
    ]  # fmt: skip
    assert found.busiest == found.weeks[0] and found.cases == 3
    assert found.cases_per_week == pytest.approx(3 / (13 / 7), rel=0.001)
    assert (found.events_until.median, found.events_before_last.median) == (
        np.mean([4, 11]),
        np.mean([10, 3]),
    )
    assert (found.days_until.median, found.days_before_last.median) == (np.mean([3, 10]), np.mean([10, 3]))
    assert made.last_level.tolist() == [2, 0, 0, 0, 2, 2] and made.highest_level.tolist() == [
        2,
        2,
        2,
        0,
        2,
        2,
    ]
    early = earliness(customers, made)
    assert (early.caught, early.days_before_last.median) == (3, np.median([11, 4, 13])), (
        "the first HIGH is earlier"
    )
    assert sentence(found) == (
        "Replayed over held-out scores, the policy recommends 3 of 6 customers, 2 of them rightly: precision 67% "
        "[21%, 94%], recall 67% [21%, 94%]."
    )
    assert outlook(found) == (
        "A team would get 1.6 cases a week from these customers, 2 in the busiest. 2 recommendations are open after "
        "the customers' last events."
    )


def test_the_circuit_breaker_counts_all_customers_together():
    alike = [[LOW] * 2 + [HIGH] * 5] * 8  # eight within eight minutes
    found, _, _ = counted(held_out(alike, [1, 0] * 4, replace(TERMS, max_per_hour=3)))
    assert found.held == 5 and found.cases == 8, "the next day three more, and then the rest"
    assert [week.cases for week in found.weeks] == [8]
    free, _, _ = counted(held_out(alike, [1, 0] * 4))
    assert (free.held, free.ever.customers) == (0, 8)


def test_who_recommends_nobody_says_so():
    found, _, _ = counted(held_out([[LOW] * 5] * 4, [1, 0, 1, 0]))
    assert (found.cases, found.busiest, found.ever.customers) == (0, None, 0)
    assert np.isnan(found.ever.precision.value) and found.ever.recall.value == 0
    assert sentence(found) == (
        "Replayed over held-out scores, the policy recommends none of 4 customers, 2 of whom are positive."
    )


def test_thresholds_of_other_folds_do_not_flatter_noise():
    """Scores say nothing of who is positive: the best threshold looks good where it was chosen, and nowhere else."""
    terms = Terms(Target("score", 0.01), Target("f_beta", 0.1), in_a_row=1, min_events=0)
    own, others = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        label, score, fold = (
            rng.permutation(np.arange(120) % 3 == 0).astype(int),
            rng.random(120),
            np.arange(120) % 5,
        )
        cases = Cases(label, score, np.arange(120))
        flat = held_out([[each] for each in score], label, terms, models=(b"",) * 5, model_of_row=fold)
        crossfitted = tuple(choose(terms, cases[fold != each]) for each in range(5))
        chosen = replace(flat, thresholds=choose(terms, cases))
        own.append(counted(chosen)[0].ever.precision.value)
        honest, _, _ = counted(replace(chosen, crossfitted=crossfitted))
        assert f"would recommend {honest.flattered.customers} of them" in outlook(honest)
        assert honest.crossfitted and honest.flattered.precision.value == own[-1]
        others.append(honest.ever)
    assert np.mean(own) > 0.6, "twice the base rate, of nothing"
    n, rightly = sum(each.customers for each in others), sum(each.rightly for each in others)
    assert rate(rightly, n).low < 1 / 3 < rate(rightly, n).high


COSTLY = parse(
    TEXT.replace("{recall: 0.9}", "{per_week: 20}").replace(
        "{precision: 0.7}", "{expected_cost: {miss: paid_sum_24h, false_alarm: 9}}"
    )
)


@pytest.fixture(scope="module")
def made():
    return build_bundle(COSTLY, rows(), seed=4, created_at=WHEN)


@pytest.fixture(scope="module")
def run(made):
    return Run.of(made, COSTLY, evaluation())


def test_training_takes_costs_from_a_feature_and_a_capacity_by_the_week(made, run):
    customers, history = HeldOutCustomers.of(made.held_out), made.held_out.rows
    flagged = {level: sustained(made.held_out) >= run.thresholds[level] for level in ("medium", "high")}
    lost = np.zeros(len(customers))
    np.maximum.at(lost, customers.of_row, history.vectors[:, 1].astype(float))
    positive = customers.label == 1
    saved = lost[flagged["high"] & positive].sum() - 9 * (flagged["high"] & ~positive).sum()
    assert run.targets["high"]["value"] == pytest.approx(saved / len(customers), rel=1e-6)
    weeks = np.ptp(history.times_us) / (7 * DAY_US)
    per_week = run.targets["medium"]["value"]
    assert per_week == pytest.approx(flagged["medium"].sum() / weeks) and per_week <= 20
    assert len(made.held_out.crossfitted) == len(made.held_out.models) == 3
    assert "it is the highest value that the feature paid_sum_24h" in page(run)


def warned(run, terms, scores, labels):
    """The run with thresholds chosen on these scores, and the policy replayed over them."""
    given = held_out(scores, labels, terms)
    customers = HeldOutCustomers.of(given)
    cases = Cases(customers.label, sustained(given), np.arange(len(customers)))
    chosen = choose(terms, cases)
    given = replace(given, thresholds=chosen)
    found, made, _ = counted(given)
    names = ("LOW", "MEDIUM", "HIGH")
    ever = [int((made.highest_level == k).sum()) for k in range(3)]
    segments = tuple(
        SegmentFigures(name, 0, 0.0, 0, 0.0, {}, n, 0) for name, n in zip(names, ever, strict=True)
    )
    told = first_sentence(run.evaluation.customers, found)
    judged_by = evaluation(recommendations=found, segments=segments, words=told)
    targets = facts(terms, cases, chosen, seed=1)
    return msgspec.structs.replace(run, evaluation=judged_by, thresholds=chosen, targets=targets)


def everywhere(run, text):
    """Return True if a text is in the first lines of the report, among the warnings of stdout, and in the JSON."""
    shown = [line for line in recommended_lines(run) if line.startswith("WARNING: ")]
    return [text in " ".join(part) for part in (first_lines(run), shown, recommended_facts(run)["warnings"])]


def test_six_positive_customers_are_too_few_to_know(run):
    scores = [[0.5 + 0.01 * k] * 5 for k in range(40)]
    labels = [0] * 34 + [1] * 6
    told = warned(
        run, replace(TERMS, medium=Target("recall", 0.8), high=Target("precision", 0.8)), scores, labels
    )
    assert {levels.status(told, level) for level in ("medium", "high")} == {"cannot be known"}
    assert everywhere(told, "CANNOT BE KNOWN from so few") == [True] * 3
    assert (
        everywhere(told, "HIGH may miss its target. The policy asks: of the customers on this level")
        == [True] * 3
    )
    assert (
        "Of 40 customers held out while the threshold was chosen, 10 sustained it, 6 of them rightly: that is 60.0% "
        in (levels.target(told, "high"))
    )


def test_a_threshold_that_nobody_reaches_is_warned_of(run):
    scores = [[0.2 + 0.01 * k] * 5 for k in range(40)]
    terms = replace(TERMS, medium=Target("score", 0.3), high=Target("score", 0.99))
    told = warned(run, terms, scores, [0, 1] * 20)
    assert everywhere(told, "No customer that judges the model ever reaches HIGH.") == [True] * 3
    assert (
        everywhere(told, "The policy recommends nobody: the off-boarding list would be empty.") == [True] * 3
    )
    assert "none of 40 customers" in first_lines(told)[0]
    assert recommended_facts(told)["recommendations"]["ever"]["precision"]["value"] is None
    shown = html.unescape(re.sub("<[^>]+>", " ", page(told)))
    assert all(warning in shown for warning in levels.warnings(told))
    assert "recommended at some time 0 0 - 0.0% " in " ".join(shown.split())


def test_a_list_that_is_empty_at_the_end_is_warned_of(run):
    scores = [[0.1] * 3 + [0.9] * 4 + [0.1] * 4 for _ in range(6)] + [[0.1] * 11 for _ in range(6)]
    terms = replace(TERMS, medium=Target("score", 0.3), high=Target("score", 0.8))
    told = warned(run, terms, scores, [1] * 6 + [0] * 6)
    assert told.evaluation.recommendations.ever.rightly == 6
    assert everywhere(told, "No recommendation is open after the customers' last events") == [True] * 3


def test_a_target_that_is_reached_is_no_warning(run):
    scores = [[0.1 + 0.002 * k] * 5 for k in range(300)]
    labels = [0] * 150 + [1] * 150
    terms = replace(TERMS, medium=Target("share", 0.6), high=Target("per_week", 100.0))
    told = warned(run, terms, scores, labels)
    assert levels.warnings(told) == []
    assert "The target is reached." in levels.target(told, "medium")
    assert "on average at most 100 customers a week may reach this level" in levels.target(told, "high")


def test_older_runs_say_whether_a_target_was_reached(run):
    old = {"threshold": 0.4, "target": {"precision": 0.8}}
    for reached, status, text in (
        (True, "yes", "is reached"),
        (False, "not reached", "NO THRESHOLD REACHES THIS"),
    ):
        told = msgspec.structs.replace(run, targets={"high": old | {"reached": reached}})
        assert levels.status(told, "high") == status and text in levels.target(told, "high")
        assert levels.is_missed(told, "high") is not reached


def test_costs_are_told_with_what_is_saved(run):
    scores = [[0.1 + 0.002 * k] * 5 for k in range(300)]
    terms = replace(
        TERMS, medium=Target("f_beta", 2.0), high=Target("expected_cost", miss=100.0, false_alarm=5.0)
    )
    told = warned(run, terms, scores, [0] * 150 + [1] * 150)
    assert "the least cost, where a missed positive costs 100 and a false alarm 5" in levels.target(
        told, "high"
    )
    assert "against flagging nobody that saves 50 [" in levels.target(told, "high")
    assert levels.target(told, "high").endswith("So it pays to flag.")
    assert "F-beta is 1 [" in levels.target(told, "medium") and levels.warnings(told) == []
    dear = replace(terms, high=Target("expected_cost", miss=1.0, false_alarm=100.0))
    told = warned(run, dear, scores[:20], [1] * 2 + [0] * 18)
    assert everywhere(told, "HIGH misses its target. The policy asks: the least cost") == [True] * 3
    assert levels.target(told, "high").endswith(
        "NO THRESHOLD SAVES ANYTHING; the one that loses least was taken."
    )


def test_a_threshold_that_nobody_could_sustain_is_told_in_words(run):
    scores = [[0.5] * 2 for _ in range(20)]  # too few events for anybody
    told = warned(run, replace(TERMS, high=Target("recall", 0.5)), scores, [1, 0] * 10)
    assert (
        "Of 20 customers held out while the threshold was chosen, none sustained it. NO THRESHOLD REACHES THIS"
        in (levels.target(told, "high"))
    )
