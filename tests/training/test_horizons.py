"""Promises of scores against what came: planted turning points, whose truth is known for any length of history."""

from dataclasses import replace

import numpy as np
import pytest

from features.usecase import parse
from tests.training.test_fairness import TEXT, USE_CASE
from training.champion.evidence import distances
from training.data.labelled_rows import LabelledRows
from training.evaluation.customers import HeldOutCustomers
from training.evaluation.horizons import mean, promise, ratio_of_means
from training.evaluation.promises import Promise
from training.models.held_out import HeldOut
from training.report.promise import findings
from training.statistics.interval import Interval

DAY_US = 86_400_000_000
FROM_US = 20_000 * DAY_US
DAYS = 60
EVER = 0.3  # share of customers that turn positive, at a time drawn evenly over DAYS; they then stop


def held_out(constant: float | None = None, customers: int = 1_200, by_event: bool = False) -> HeldOut:
    """An event every three days. Scores are the true probability of turning before the end, or one constant."""
    rng = np.random.default_rng(4)
    turns = np.where(rng.random(customers) < EVER, rng.uniform(1, DAYS, customers), np.inf)
    customer, day = (
        each.ravel() for each in np.meshgrid(np.arange(customers), np.arange(0, DAYS, 3), indexing="ij")
    )
    kept = day <= np.minimum(turns[customer], DAYS)
    customer, day = customer[kept], day[kept]
    left = EVER * (DAYS - day) / (DAYS - 1)
    true = left / (1 - EVER + left)
    times_us = FROM_US + day * DAY_US
    n = len(customer)
    rows = LabelledRows(
        np.zeros((n, 2), np.float32), np.isfinite(turns[customer]).astype(np.int64),
        np.array([f"c{k:05}" for k in customer]), times_us, times_us, np.full(n, "payment"),
        np.arange(n).astype(str), {},
    )  # fmt: skip
    score = true if constant is None else np.full(n, constant)
    return HeldOut(rows, score, {"medium": 0.2, "high": 0.4}, b"", by_event=by_event)


def found(made: HeldOut) -> Promise:
    return promise(USE_CASE, made, replace(HeldOutCustomers.of(made), weight=np.ones(len(made.score))))


def test_a_model_that_is_right_about_the_whole_history_promises_too_much_for_a_part_of_it() -> None:
    told = found(held_out())
    assert told.days == 57 and not told.has_time
    for each in (*told.by_age, *told.by_left):
        assert each.distance.low < 0 < each.distance.high, "right at every age, and so with any time left"
    week, month = told.shorter
    assert (week.days, month.days, week.customers) == (7, 30, 1_200)
    assert month.observed == pytest.approx(EVER * 29 / 59, abs=0.03) and month.at_the_end == pytest.approx(
        EVER, abs=0.03
    )
    assert month.ratio is not None and month.ratio.low > 1.25, (
        "half of those who turn by the end have not yet"
    )
    assert week.ratio is not None and week.ratio.value > 2 * month.ratio.value
    lines = [line for _, line in findings(told)]
    assert any(line.startswith("After 30 days, ") and "what had come by then" in line for line in lines)
    assert any("shorter than this history, scores say too much as probabilities" in line for line in lines)


def test_a_score_that_does_not_know_how_little_time_is_left_is_found_at_the_end() -> None:
    told = found(held_out(constant=EVER))
    last = told.by_left[0]
    assert (last.words, round(last.predicted, 9)) == ("0 to 7 days", EVER)
    assert last.observed < 0.1 and last.distance.low > 0.15 and last.ratio is not None and last.ratio.low > 2
    assert max(distances(told).values(), key=lambda each: each.low) == last.distance
    assert any(
        line.startswith("0 to 7 days before the end of the history, scores say 30.0%")
        for _, line in findings(told)
    )


def test_labels_of_events_leave_nothing_open_until_the_end() -> None:
    told = found(held_out(by_event=True))
    assert told.by_left == () and told.shorter == () and len(told.by_age) == 3


def test_a_label_with_a_time_counts_from_then() -> None:
    """Labels that are known twenty days after the last event move what had come by day 30."""
    made = held_out()
    dated = parse(
        TEXT.replace("time: published", "time: [said_at]").replace(
            "user_id: string, state", "said_at: time, user_id: string, state"
        )
    )
    last_us = np.zeros(1_200, np.int64)
    np.maximum.at(last_us, made.customer, made.rows.times_us)
    rows = replace(made.rows, known_us=np.maximum(made.rows.times_us, last_us[made.customer] + 20 * DAY_US))
    told = promise(dated, replace(made, rows=rows), HeldOutCustomers.of(made))
    assert told.has_time and told.shorter[1].positives < found(made).shorter[1].positives / 2


def test_intervals_are_about_those_of_a_bootstrap_over_customers() -> None:
    made = held_out()
    label, customer = made.rows.label.astype(np.float64), made.customer
    weight = 1.0 / np.bincount(customer)[customer]
    rng, draws = np.random.default_rng(1), []
    for _ in range(400):
        drawn = weight * np.bincount(rng.integers(0, 1_200, 1_200), minlength=1_200)[customer]
        draws.append((np.average(made.score - label, weights=drawn), (drawn @ made.score) / (drawn @ label)))
    low, high = np.percentile(np.array(draws), (2.5, 97.5), axis=0)
    for told, ends in (
        (mean(made.score - label, weight, customer), (low[0], high[0])),
        (ratio_of_means(made.score, label, weight, customer), (low[1], high[1])),
    ):
        assert isinstance(told, Interval)
        assert told.high - told.low == pytest.approx(ends[1] - ends[0], rel=0.15)
        assert told.low < told.value < told.high
    assert ratio_of_means(made.score[:9], np.zeros(9), np.ones(9), np.arange(9)) is None
