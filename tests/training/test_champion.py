"""Champion beside challenger on planted scores: differences, and every customer that changes level."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from tests.training.test_fairness import EVENTS, held_out
from training.champion.comparison import CHALLENGER, CHAMPION, ModelComparison, PairedFigure, compare_models
from training.models.held_out import HeldOut
from training.report.comparison import findings, plot, rows
from training.statistics.interval import Interval

CUSTOMERS = 600


def sides(noise: float, seed: int = 1) -> tuple[HeldOut, HeldOut]:
    """Two models of the same customers, of which the champion has so much noise in its scores."""
    rng = np.random.default_rng(seed)
    label = (rng.random(CUSTOMERS) < 0.25).astype(np.int64)
    sex, known = np.full(CUSTOMERS, "M"), label[:, None] + rng.normal(0, 0.6, (CUSTOMERS, EVENTS))
    other = known + rng.normal(0, noise, (CUSTOMERS, EVENTS)) if noise else known
    return tuple(held_out(sex, label, 1 / (1 + np.exp(1 - 2 * each))) for each in (known, other))


@pytest.fixture(scope="module")
def found() -> ModelComparison:
    challenger, champion = sides(2.0)
    return compare_models(
        challenger, replace(champion, thresholds={"medium": 0.25, "high": 0.6}), 7, seed=3, notes=("a note",)
    )


def test_a_planted_better_challenger_is_better_in_every_ranking(found: ModelComparison) -> None:
    by_name = {pair.name: pair for pair in found.pairs}
    for name in ("ROC AUC", "average precision", "Brier score"):
        assert by_name[name].finding == "better"
        assert by_name[name].difference.value == pytest.approx(
            by_name[name].challenger.value - by_name[name].champion.value
        )
    assert by_name["Brier score"].difference.high < 0, "lower is better"
    assert (found.customers, found.events, found.left_out, found.notes) == (600, 600 * EVENTS, 7, ("a note",))
    assert found.thresholds[CHAMPION] == {"medium": 0.25, "high": 0.6} != found.thresholds[CHALLENGER]
    assert any(
        line.startswith("The challenger is measurably better in ROC AUC, average precision")
        for line in findings(found)
    )


def test_the_same_model_twice_differs_in_nothing() -> None:
    challenger, champion = sides(0.0)
    same = compare_models(challenger, champion, 0, seed=3)
    assert {pair.finding for pair in same.pairs} == {"no measurable difference"}
    assert all(pair.difference.low == pair.difference.high == 0 for pair in same.pairs[:3])
    assert all(move.champion == move.challenger or not move.customers for move in same.last_levels)
    lines = list(findings(same))
    assert lines[0] == "In no figure is there a measurable difference between the two."
    assert "No customer's level after the last event differs." in lines


def test_every_customer_is_in_one_cell_and_cells_are_those_of_a_loop(found: ModelComparison) -> None:
    challenger, champion = sides(2.0)
    levels = {}
    for name, side, medium, high in ((CHALLENGER, challenger, 0.3, 0.5), (CHAMPION, champion, 0.25, 0.6)):
        score = side.score.reshape(CUSTOMERS, EVENTS).max(axis=1)
        levels[name] = np.where(score >= high, "HIGH", np.where(score >= medium, "MEDIUM", "LOW"))
    label = challenger.rows.label.reshape(CUSTOMERS, EVENTS)[:, 0]
    for move in found.highest_levels:
        own = (levels[CHAMPION] == move.champion) & (levels[CHALLENGER] == move.challenger)
        assert (move.customers, move.positives) == (own.sum(), label[own].sum())
    for moves in (found.last_levels, found.highest_levels, found.recommended):
        assert sum(move.customers for move in moves) == CUSTOMERS
        assert sum(move.positives for move in moves) == label.sum() == found.positives
    assert [name for name, _ in rows(found.last_levels)] == ["LOW", "MEDIUM", "HIGH"]
    gained = next(move for move in found.recommended if (move.champion, move.challenger) == ("no", "yes"))
    assert (
        f"recommends {gained.customers:,} customers whom the champion does not" in list(findings(found))[-1]
    )


def test_shares_of_few_customers_are_too_few_to_say_and_have_wilsons_interval() -> None:
    challenger, champion = sides(2.0)
    rare = replace(challenger, thresholds={"medium": 0.3, "high": float(np.sort(challenger.score)[-3])})
    told = {pair.name: pair for pair in compare_models(rare, champion, 0, seed=3).pairs}
    precision = told["precision of HIGH at any time"]
    assert precision.of is not None and precision.of <= 3 and precision.finding == "too few to say"
    assert precision.challenger.low < 0.6 and precision.challenger.high - precision.challenger.low > 0.3
    nobody = replace(challenger, thresholds={"medium": 2.0, "high": 3.0})
    same = list(findings(compare_models(nobody, nobody, 0, seed=3)))
    assert same[-1] == "Neither recommends anybody."
    assert (
        list(findings(compare_models(challenger, challenger, 0, seed=3)))[-1]
        == "Both recommend the same customers."
    )


def test_labels_of_events_are_compared_by_events() -> None:
    challenger, champion = (replace(side, by_event=True) for side in sides(2.0))
    told = compare_models(challenger, champion, 0, seed=3)
    assert told.about == "events" and told.pairs[0].finding == "better"


def test_it_is_json_and_a_plot(found: ModelComparison) -> None:
    assert msgspec.json.decode(msgspec.json.encode(found), type=ModelComparison) == found
    assert plot(found).startswith("<svg") and plot(found) == plot(found)
    worse = PairedFigure(
        "ROC AUC", Interval(0.8, 0.7, 0.9), Interval(0.7, 0.6, 0.8), Interval(-0.1, -0.2, -0.01)
    )
    assert worse.finding == "worse"
