"""Importance is held out: what a model only remembers of its customers is worth nothing."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from export.onnx import Calibrated, Sigmoid, convert
from features.usecase import parse
from tests.training.tiny import payments
from training.data.labelled_rows import LabelledRows
from training.evaluation.customers import HeldOutCustomers
from training.evaluation.figures import Importance
from training.evaluation.importance import _from_customers, _thinned, groups_of, importance
from training.models.fit import fit, learning_rows
from training.models.held_out import HeldOut
from training.statistics.customer_score import customer_scores

TEXT = payments(
    "plan: [FREE, PAID, GOLD]",
    """\
features:
  customer:
    aggregates:
      paid: {event: payment, value: amount, statistics: [sum], windows: [24h, 7d]}
      large: {event: payment, where: {amount: {min: 100}}, statistics: [count], windows: [7d]}
    ratios:
      share_large: {numerator: large.count.7d, denominator: paid.count.7d}
      of_day: {numerator: event.amount, denominator: paid.sum.24h}
    attributes:
      plan: {from: customer.plan}
  event: [amount]
label: {from: customer.state, positive: [SUSPENDED]}
""",
)
USE_CASE = parse(TEXT)
SIGNAL, FIRST, SECOND, NOISE = "paid_sum_24h", "plan_FREE", "plan_PAID", "amount"
OVERFITTING = {"trees": 10, "leaves": 512, "rows_per_leaf": 1, "columns": 1.0, "balanced": False}
CUSTOMERS = 500
DAY_US = 86_400_000_000
Array = NDArray[Any]


def history(columns: dict[str, Array], label: Array, customer: Array) -> LabelledRows:
    """Rows whose other features are 0."""
    n = len(label)
    vectors = np.zeros((n, len(USE_CASE.features)), np.float32)
    for name, column in columns.items():
        vectors[:, USE_CASE.features.index(name)] = column
    names, times_us = np.array([f"c{k:04}" for k in customer]), np.arange(n) * DAY_US
    return LabelledRows(
        vectors, label, names, times_us, times_us, np.full(n, "payment"), np.arange(n).astype(str), {}
    )


def planted(seed: int) -> LabelledRows:
    """A strong signal, two weak ones of yes and no, and noise of many values, which trees like best to split."""
    rng = np.random.default_rng(seed)
    label = (rng.permutation(CUSTOMERS) < CUSTOMERS // 3).astype(np.int64)
    weak = [rng.random(CUSTOMERS) < np.where(label, 0.75, 0.25) for _ in range(2)]
    signal, noise = rng.normal(0, 1, CUSTOMERS) + 2 * label, rng.lognormal(0, 2, CUSTOMERS)
    return history(
        {SIGNAL: signal, FIRST: weak[0], SECOND: weak[1], NOISE: noise}, label, np.arange(CUSTOMERS)
    )


def held_out(rows: LabelledRows, seed: int, by_event: bool = False) -> HeldOut:
    """Judged by forests of two folds, each of trees that remember every row they have learned from."""
    dealt = learning_rows(rows.vectors, rows.label, rows.customers, 2, 200, seed, by_event)
    learners = [fit(dealt, dealt.fold != fold, "random_forest", OVERFITTING, seed) for fold in (0, 1)]
    models = tuple(convert(Calibrated(each, Sigmoid()), rows.vectors.shape[1]) for each in learners)
    score, thresholds = np.zeros(len(rows)), {"medium": 0.3, "high": 0.6}
    return HeldOut(rows, score, thresholds, models[0], by_event, models, dealt.fold)


def measured(held_out: HeldOut, seed: int = 1) -> tuple[Sequence[Importance], Sequence[Importance]]:
    return importance(
        USE_CASE, held_out, HeldOutCustomers.of(held_out), held_out.by_event, seed, lambda _: None
    )


def test_a_planted_signal_is_first_and_noise_last_in_20_of_20_seeds() -> None:
    remembered = 0
    for seed in range(20):
        features = [each for each in measured(held_out(planted(seed), seed), seed)[0] if each.drop.value]
        assert (features[0].feature, features[-1].feature) == (SIGNAL, NOISE)
        remembered += features[-1].drop.low > 0
    assert remembered <= 2, "one in forty is expected above its interval"


def by_events(seed: int) -> LabelledRows:
    """An event is bad by its amount alone; a number that each customer keeps tells nothing."""
    rng = np.random.default_rng(seed)
    customer = np.repeat(np.arange(150), 4)
    amount = rng.normal(0, 1, len(customer))
    label = (rng.random(len(customer)) < 1 / (1 + np.exp(5 - 3 * amount))).astype(np.int64)
    return history({SIGNAL: rng.normal(0, 1, 150)[customer], NOISE: amount}, label, customer)


def test_of_events_what_changes_with_each_and_what_a_customer_keeps_are_both_dealt_fairly() -> None:
    features, _ = measured(held_out(by_events(3), 3, by_event=True))
    amount, kept = features[0], next(each for each in features if each.feature == SIGNAL)
    assert amount.feature == NOISE and amount.is_measurable and amount.drop == amount.events
    assert not kept.is_measurable and amount.customers is not None and amount.customers.low > 0


def test_a_feature_of_single_events_and_one_of_the_customer_are_both_seen_by_customers_and_events() -> None:
    rng = np.random.default_rng(4)
    customer = np.repeat(np.arange(150), 4)
    label = (np.arange(150) % 3 == 0).astype(np.int64)
    kept, changing = label + rng.normal(0, 1, 150), 1.5 * label[customer] + rng.normal(0, 1, 600)
    rows = history({FIRST: kept[customer], NOISE: changing}, label[customer], customer)
    features, _ = measured(held_out(rows, 4))
    assert {each.feature for each in features if each.is_measurable} == {FIRST, NOISE}
    for each in features[:2]:
        assert each.drop == each.customers and each.events is not None and each.events.low > 0


def test_a_customer_is_dealt_all_events_of_another_in_their_order() -> None:
    customer = np.random.default_rng(5).integers(0, 9, 200)
    source = _from_customers(customer, np.random.default_rng(6))
    assert (np.sort(np.unique(customer[source])) == np.arange(9)).all(), "nobody is left out"
    for each in range(9):
        dealt = source[customer == each]
        (other,) = set(customer[dealt].tolist())
        rows = np.flatnonzero(customer == other).tolist()
        start = rows.index(dealt[0])
        assert dealt.tolist() == [rows[(start + k) % len(rows)] for k in range(len(dealt))]


def test_a_ratio_is_dealt_with_either_side_and_levels_of_a_category_together() -> None:
    assert {each.name: groups_of(USE_CASE, each) for each in USE_CASE.table} == {
        "paid_sum_24h": ("customer.paid",), "paid_sum_7d": ("customer.paid",), "large_count_7d": ("customer.large",),
        "share_large": ("customer.large", "customer.paid"), "of_day": ("event.amount", "customer.paid"),
        "plan_FREE": ("customer.plan",), "plan_PAID": ("customer.plan",),
        "plan_GOLD": ("customer.plan",), "amount": ("event.amount",),
    }  # fmt: skip
    _, groups = measured(held_out(planted(1), 1))
    falls = {each.group: each.drop for each in groups}
    assert list(falls)[:2] == ["customer.paid", "customer.plan"] and falls["customer.large"].value == 0
    assert falls["customer.plan"].value > 0.1


def test_a_long_history_is_measured_on_the_latest_and_an_even_part_of_the_other_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The events that make a customer's score are all kept, so its score is that of all its events."""
    rng = np.random.default_rng(7)
    customer = rng.integers(0, 50, 3_000)
    label = (np.arange(50) % 4 == 0).astype(np.int64)
    rows = history({SIGNAL: 2 * label[customer] + rng.normal(0, 1, 3_000)}, label[customer], customer)
    monkeypatch.setattr("training.evaluation.importance.MOST_ROWS", 1_000)
    made = held_out(rows, 7)
    kept = _thinned(HeldOutCustomers.of(made))
    assert 900 <= kept.sum() <= 1_000
    for each in range(50):
        own = np.flatnonzero(customer == each)
        assert kept[own[-10:]].all()
        assert np.diff(np.flatnonzero(kept[own[:-10]])).max() <= np.ceil((len(own) - 10) / 10)
    signal = rows.vectors[:, 0].astype(np.float64)
    assert (customer_scores(customer[kept], signal[kept]) == customer_scores(customer, signal)).all()
    features, _ = measured(made)
    assert features[0].feature == SIGNAL and features[0].is_measurable
    assert not any(each.is_measurable for each in features[1:])
