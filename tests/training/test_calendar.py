"""Dates alone: histories whose label follows the calendar are told from those where it does not."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation.calendar import calendar_alone, out_of_fold_scores

DAY_US = 86_400_000_000
DAYS = 120
CUSTOMERS = 300
Array = NDArray[Any]


def dates(kind: str, seed: int = 3, n: int = 3_000) -> tuple[Array, Array, Array]:
    """Times, labels and customers [n]; customers come and stay as they like, and a fifth is positive.

    `none`: whoever they are. `stops`: positives leave at some time, all others stay to the end. `waves`: an event is
    positive by its own time, whoever's it is.
    """
    rng = np.random.default_rng(seed)
    customer = np.unique((CUSTOMERS * rng.random(n) ** 1.5).astype(np.int64), return_inverse=True)[1]
    people = int(customer.max()) + 1
    positive = rng.permutation(people) < people // 5
    start = rng.random(people) * DAYS / 2
    end = start + rng.random(people) * (DAYS - start)
    if kind == "stops":
        end = np.where(positive, end, DAYS)
    day = start[customer] + rng.random(n) * (end - start)[customer]
    label = rng.random(n) < np.where(day < DAYS / 2, 0.3, 0.01) if kind == "waves" else positive[customer]
    return (day * DAY_US).astype(np.int64), label.astype(np.int64), customer


def scored(label: Array, customer: Array, strength: float, seed: int = 5) -> Array:
    """Scores of a model that knows customers' labels so well."""
    known = np.random.default_rng(seed).normal(0, 1, int(customer.max()) + 1)
    return known[customer] + strength * label


def test_where_the_label_does_not_follow_the_calendar_dates_tell_nothing() -> None:
    time_us, label, customer = dates("none")
    found = calendar_alone(time_us, label, customer, 1, score=scored(label, customer, 2))
    assert found is not None and found.about == "customers" and not found.is_near
    for alone in (found.all_dates, found.known_dates):
        assert alone.roc_auc.low < 0.5 < alone.roc_auc.high and not alone.tells
        assert alone.model_ahead is not None and alone.model_ahead.low > 0.2


def test_accounts_that_stop_are_ranked_by_dates_and_only_a_strong_model_is_ahead() -> None:
    time_us, label, customer = dates("stops")
    weak = calendar_alone(time_us, label, customer, 1, score=scored(label, customer, 0.5))
    assert weak is not None and weak.all_dates.roc_auc.low > 0.8 and weak.all_dates.is_near
    assert weak.all_dates.model_ahead is not None and weak.all_dates.model_ahead.high < 0
    strong = calendar_alone(time_us, label, customer, 1, score=scored(label, customer, 6))
    assert strong is not None and strong.all_dates.model_ahead is not None
    assert strong.all_dates.model_ahead.low > 0 and strong.all_dates.roc_auc == weak.all_dates.roc_auc


def test_of_events_whose_own_time_tells_the_label_dates_known_when_scoring_are_near() -> None:
    time_us, label, customer = dates("waves")
    found = calendar_alone(time_us, label, customer, 1, by_event=True, score=scored(label, customer, 0.5))
    assert found is not None and found.about == "events"
    assert found.known_dates.roc_auc.low > 0.65 and found.known_dates.is_near and found.known_dates.tells


def test_no_model_of_dates_is_asked_about_a_customer_it_has_learned_from() -> None:
    """Every customer has dates of its own, and a label by chance: whoever remembers them is right about all."""
    rng = np.random.default_rng(2)
    customer = np.repeat(np.arange(200), 10)
    label = (rng.random(200) < 0.3).astype(np.int64)[customer]
    own = np.repeat(rng.random(200), 10)[:, None]
    score = out_of_fold_scores(own, label, customer, 1, by_event=False)
    assert abs(np.corrcoef(score, label)[0, 1]) < 0.15


def test_the_same_seed_gives_the_same_figures_and_one_positive_customer_gives_none() -> None:
    time_us, label, customer = dates("stops", n=800)
    assert calendar_alone(time_us, label, customer, 4) == calendar_alone(time_us, label, customer, 4)
    one = np.where(customer == customer[label == 1][0], label, 0)
    assert calendar_alone(time_us, one, customer, 4) is None


def test_a_long_history_is_judged_by_customers_drawn_with_all_their_events(monkeypatch: Any) -> None:
    monkeypatch.setattr("training.evaluation.calendar.MOST_ROWS", 1_500)
    time_us, label, customer = dates("stops")
    found = calendar_alone(time_us, label, customer, 1)
    assert found is not None and found.all_dates.model_ahead is None and found.all_dates.roc_auc.low > 0.6
