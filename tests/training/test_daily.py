"""Card precision at k by day against the textbook's few lines; its interval; when it is measured at all."""

from dataclasses import replace

import numpy as np
import pytest

from features.usecase import parse
from tests.training.test_evaluation import DAY_US, FROM_US, TEXT, USE_CASE, held_out, history
from training.evaluation.customers import HeldOutCustomers
from training.evaluation.daily import daily_figures
from training.evaluation.evaluate import evaluate

OF_EVENT = parse(
    TEXT.replace("at: time}", "at: time, bad: boolean}").replace(
        "{from: customer.state, positive: [SUSPENDED]}", "{from: payment.bad, positive: [true]}"
    )
)


@pytest.fixture(scope="module")
def found():
    """Payments of 300 customers over 40 days, some of them fraudulent, whoever pays; no two scores are equal."""
    made = held_out(history(n=8_000))
    rng = np.random.default_rng(4)
    label = (rng.random(len(made.score)) < np.where(made.rows.label, 0.15, 0.02)).astype(np.int64)
    score = made.score + 0.3 * label * rng.random(len(label)) + 1e-3 * rng.random(len(label))
    return replace(made, rows=replace(made.rows, label=label), score=score, by_event=True)


def naive(held_out, k):
    """The mean over days of the share of compromised customers among the k most suspicious ones of the day."""
    rows, is_found, shares = held_out.rows, set(), []
    for day in sorted(set((rows.times_us // DAY_US).tolist())):
        score, is_bad = {}, {}
        for i in np.flatnonzero(rows.times_us // DAY_US == day):
            name = rows.customers[i]
            if name not in is_found:
                score[name] = max(score.get(name, 0), held_out.score[i])
                is_bad[name] = is_bad.get(name, False) or rows.label[i] == 1
        first = sorted(score, key=lambda name: -score[name])[:k]
        caught = [name for name in first if is_bad[name]]
        is_found.update(caught)
        shares.append(len(caught) / k)
    return sum(shares) / len(shares)


def test_it_is_the_textbooks(found):
    told = daily_figures(found, HeldOutCustomers.of(found), 1)
    assert told.days == 40 and set(told.precision_at_k) == {"10", "50", "100"}
    for k, each in told.precision_at_k.items():
        assert each.value == pytest.approx(naive(found, int(k)), abs=1e-12)
        assert each.low < each.value < each.high
        perfect = replace(found, score=found.rows.label.astype(np.float64))
        assert told.best_at_k[k] == pytest.approx(naive(perfect, int(k)), abs=1e-12)
        assert each.value <= told.best_at_k[k]


def test_the_interval_holds_what_other_customers_would_have_given(found):
    """Nearly all of ten halves of the customers lie in the whole's interval once as many are looked at."""
    whole = daily_figures(found, HeldOutCustomers.of(found), 1).precision_at_k["100"]
    names, rng, inside = np.unique(found.rows.customers), np.random.default_rng(8), 0
    for _ in range(10):
        own = np.isin(found.rows.customers, rng.permutation(names)[: len(names) // 2])
        half = replace(found, rows=found.rows[own], score=found.score[own])
        inside += whole.low <= naive(half, 50) <= whole.high
    assert inside >= 7


def test_days_are_those_of_utc_and_a_customer_counts_once_a_day(found):
    times_us = FROM_US + DAY_US * np.array([1, 1, 1, 2]) - np.array([1, 1, 0, 0])
    rows = replace(
        found.rows[np.arange(4)],
        times_us=times_us,
        customers=np.array(["a", "b", "a", "a"]),
        label=np.array([1, 0, 0, 1]),
    )
    few = replace(found, rows=rows, score=np.array([0.9, 0.1, 0.2, 0.8]))
    told = daily_figures(few, HeldOutCustomers.of(few), 1)
    assert (told.days, told.customers, told.positives) == (3, pytest.approx(4 / 3), pytest.approx(2 / 3))
    assert told.precision_at_k == told.best_at_k == {}, "there are not ten customers a day"


def test_scores_that_are_all_alike_find_no_more_than_chance(found):
    alike = replace(found, score=np.full(len(found.score), 0.5))
    told = daily_figures(alike, HeldOutCustomers.of(alike), 1)
    assert told.precision_at_k["10"].value < 2 * told.positives / told.customers


def test_it_is_measured_where_the_label_is_of_events_and_each_event_counts_as_one(found):
    told = evaluate(OF_EVENT, found, 3)
    assert told.daily == daily_figures(found, HeldOutCustomers.of(found), 3)
    assert told.events.base_rate == found.rows.label.mean()
    assert evaluate(USE_CASE, replace(found, by_event=False), 3).daily is None
