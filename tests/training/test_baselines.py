"""Baselines without a model, measured on the customers that judge it; a model that is no better says so."""

from dataclasses import replace

import numpy as np
import pytest

from tests.training.test_evaluation import USE_CASE, held_out, history
from tests.training.test_gates import GOOD
from training.champion.gates import GateSettings, judge, judge_without_champion
from training.evaluation.baselines import baselines, leads, warning
from training.evaluation.customers import HeldOutCustomers
from training.statistics.interval import Interval


@pytest.fixture(scope="module")
def rows():
    return history()


def measured(found, by_customer=True):
    told, notes = baselines(USE_CASE, found, HeldOutCustomers.of(found), by_customer, 1)
    assert notes == ()
    return {each.name: each for each in told}


def test_all_customers_are_judged_by_rules_that_have_not_seen_them(rows):
    told = measured(held_out(rows))
    rate, alone, rule, model = told.values()
    assert next(iter(told)) == "the base rate" and list(told)[2:] == ["a rule of 3 questions", "the model"]
    assert list(told)[1].startswith("paid_") and "_24h alone, the higher the worse" in list(told)[1]
    assert rate.roc_auc == Interval(0.5, 0.5, 0.5) and model.lead is None
    share = HeldOutCustomers.of(held_out(rows)).label.mean()
    assert rate.average_precision.value == pytest.approx(share), "of all customers, not of a half"
    for each in (rate, alone, rule):
        apart = model.average_precision.value - each.average_precision.value
        assert each.lead.value == pytest.approx(apart) and each.lead.low < apart < each.lead.high
    assert rate.lead.low > 0.3 and alone.roc_auc.low > 0.5


def test_of_a_long_history_drawn_rows_make_as_good_a_rule(rows, monkeypatch):
    whole = measured(held_out(rows))["a rule of 3 questions"]
    monkeypatch.setattr("training.evaluation.baselines.MOST_LEARNED", int(rows.label.sum()) // 2)
    few = measured(held_out(rows))["a rule of 3 questions"]
    assert few != whole
    assert few.roc_auc.value == pytest.approx(whole.roc_auc.value, abs=0.1)


def test_rules_find_nothing_in_noise():
    told = measured(held_out(history(signal=0.0)))
    for each in list(told.values())[1:3]:
        assert 0.35 < each.roc_auc.value < 0.65, (
            "a rule judged by customers that it has seen would find something"
        )


def test_a_feature_that_is_low_for_the_bad_is_found_in_its_direction_and_the_missing_are_good():
    rows = history(signal=0.0)
    found = held_out(rows)
    rows.vectors[:, 6] = np.where(rows.label == 1, -1, np.where(np.arange(len(rows)) % 2, 1, np.nan))
    told = measured(found, by_customer=False)
    assert told["amount alone, the lower the worse"].average_precision.value == 1.0


def by_the_card(rows):
    """The label is what one feature says, so a card with one question knows all that can be known."""
    bad = rows.label.astype(np.float32)
    rows.vectors[:, 6] = bad + np.random.default_rng(5).normal(0, 0.3, len(bad)).astype(np.float32)
    return rows


def test_a_model_that_is_no_better_than_a_card_says_so_and_does_not_pass():
    rows = by_the_card(history(signal=0.0))
    bad = rows.label + np.random.default_rng(6).normal(0, 2.0, len(rows.label))
    told = tuple(measured(replace(held_out(rows), score=1 / (1 + np.exp(-bad)))).values())
    said = warning(told)
    assert said.startswith(
        "The model is not measurably better than a rule of 3 questions: on the same customers"
    )
    assert said.endswith("The rule does as well, and anybody can read it.")
    evidence = replace(GOOD, leads=leads(told))
    failed = [gate.name for gate in judge(GateSettings(), evidence) if not gate.passed]
    assert (
        failed
        == ["baselines"]
        == [gate.name for gate in judge_without_champion(GateSettings(), evidence) if not gate.passed]
    )
    assert all(gate.passed for gate in judge(GateSettings(baselines=-1.0), evidence)), (
        "a use case may allow it"
    )


def test_a_model_that_is_better_says_nothing_of_it():
    """Its features say nothing, so a card with questions about them cannot do what it does."""
    rows = history(signal=0.0)
    noise = np.random.default_rng(6).normal(0, 1.0, len(rows.label))
    told = tuple(measured(replace(held_out(rows), score=1 / (1 + np.exp(-rows.label - noise)))).values())
    assert warning(told) == "" and set(leads(told)) == {"the base rate", "a rule of 3 questions"}


def test_one_positive_customer_is_too_few_for_baselines(rows):
    label = (rows.customers == rows.customers[np.argmax(rows.label)]).astype(np.int64)
    found = held_out(replace(rows, label=label))
    told, notes = baselines(USE_CASE, found, HeldOutCustomers.of(found), True, 1)
    assert told == () and notes[0].startswith("Baselines are left out")
