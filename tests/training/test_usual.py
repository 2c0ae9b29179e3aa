"""Usual values count customers, not events: one who is very busy is one of many."""

import numpy as np
import pytest

from export.distributions.reference import Usual, middle, reference, weighted_median
from export.reasons import medians, medians_at_highest
from features.usecase import parse
from training.data.labelled_rows import LabelledRows
from training.data.usual import usual_values

USE_CASE = parse(
    """
use_case: busy
subject: customer
events:
  payment:
    scored: true
    id: [id]
    time: [at]
    entities: {customer: who}
    fields: {id: string, who: string, amount: number, abroad: boolean, at: time}
features:
  customer:
    aggregates:
      paid: {event: payment, value: amount, statistics: [mean], windows: [24h]}
  event: [amount, abroad]
"""
)


def history() -> LabelledRows:
    """A busy customer with 900 events of 500 euros abroad; twenty others with two events each at home."""
    customers = np.repeat(["busy", *(f"c{i}" for i in range(20))], [900] + [2] * 20)
    busy = customers == "busy"
    amount = np.where(busy, 500.0, np.tile([10.0, 30.0], 470))
    mean = np.where(busy, 500.0, np.nan)
    n, moment = len(customers), np.arange(len(customers))
    return LabelledRows(
        np.column_stack([mean, amount, busy]).astype(np.float32), busy.astype(np.int64), customers, moment, moment,
        np.full(n, "payment"), moment.astype(str), {},
    )  # fmt: skip


def test_a_busy_customer_does_not_say_what_is_usual() -> None:
    rows = history()
    score = np.where(rows.vectors[:, 1] == 30, 0.4, 0.2)
    by_customer = usual_values(USE_CASE, rows, score)
    by_event = reference(USE_CASE.features, rows.vectors, score)
    np.testing.assert_equal(medians(by_event, USE_CASE.features), np.array([500, 500, 1], np.float32))
    found = medians(reference(USE_CASE.features, rows.vectors, score, by_customer), USE_CASE.features)
    np.testing.assert_equal(found, np.array([np.nan, 30, 0], np.float32), "most customers have no mean")
    assert by_customer["paid_mean_24h"].missing == pytest.approx(20 / 21)
    assert by_customer["amount"].at_highest == 30, "each of the others scores highest with its 30 euros"
    assert by_customer["amount"].at_last == 30, "the second of each customer's two events"
    assert by_customer["abroad"].at_highest == pytest.approx(1 / 21), "the share of customers, not a median"
    kept = reference(USE_CASE.features, rows.vectors, score, by_customer)
    at_highest = medians_at_highest(kept, USE_CASE.table)
    np.testing.assert_equal(at_highest, np.array([np.nan, 30, 0], np.float32))


def test_an_older_bundle_keeps_the_medians_over_events() -> None:
    rows = history()
    old = reference(USE_CASE.features, rows.vectors, np.zeros(len(rows)))
    assert old.usual == {} and medians(old, ["amount"]).tolist() == [500]
    np.testing.assert_equal(medians_at_highest(old, USE_CASE.table), medians(old, USE_CASE.features))
    part = reference(USE_CASE.features, rows.vectors, np.zeros(len(rows)), {"amount": Usual(0.0, 7.0, 7.0)})
    assert medians(part, ["amount", "abroad"]).tolist() == [7, 1]


def test_the_weighted_median_is_that_of_repeated_values() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        values, times = rng.integers(0, 6, 30).astype(np.float32), rng.integers(1, 5, 30)
        repeated = np.quantile(np.repeat(values, times), 0.5, method="inverted_cdf")
        assert weighted_median(values, times / 7.0) == repeated
    assert weighted_median(np.full(3, np.nan), np.ones(3)) is None
    assert middle(np.array([1, 0, 0, np.nan], np.float32), is_share=True) == pytest.approx(1 / 3)
