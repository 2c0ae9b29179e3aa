"""Thresholds of the levels, chosen on held-out customers for the policy's targets, and their uncertainty.

A customer counts with the score that it sustained (training.policy.replay.sustained_scores): the highest threshold at
which the policy would have recommended it. Its highest score would not do, because that grows with the number of its
events, and a single high score leads to nothing. Where the label is an event's, each event counts with its own score.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from export.policy import Target, Terms
from training.arrays import Floats, Indices, Labels, Mask
from training.data.labelled_rows import LabelledRows
from training.models.selection import SelectedModel
from training.policy import targets
from training.policy.replay import LEAST, Timeline, sustained_scores
from training.policy.targets import ThresholdCurve, counted, reached
from training.statistics.customer_score import highest
from training.statistics.interval import Interval
from training.statistics.metrics import INTERVAL, REPLICATES

DAY_US = 86_400_000_000
WEEK_US = 7 * DAY_US
MOST_PLACES = 10_000  # of a curve in a draw; between two of so many lies next to nobody
DRAWN = (
    "precision",
    "recall",
    "share",
    "f_beta",
    "expected_cost",
)  # figures that a bootstrap has an interval of


@dataclass(frozen=True, eq=False)
class Cases:
    """Customers, or events, whose outcome is known [n]."""

    label: Labels  # [n] 0 or 1
    score: Floats  # [n] that the customer sustained, or of the event; 0: no threshold would reach it
    customer: Indices  # [n] numbered from 0; cases of one are drawn together
    weeks: float = 1.0  # that the history lasts
    part: float = 1.0  # of the customers whom a capacity is meant for, those who are here
    losses: Mapping[str, Floats] = field(default_factory=dict)  # [n] by feature that is a cost: its value

    @classmethod
    def of(
        cls,
        terms: Terms,
        history: LabelledRows,
        chosen: SelectedModel,
        features: Sequence[str],
        part: float = 1.0,
    ) -> "Cases":
        """Take the customers, or events, of a history with their held-out scores; a customer's cost is its highest."""
        rows, score = chosen.rows, chosen.out_of_fold
        names = {each.miss for each in (terms.medium, terms.high) if isinstance(each.miss, str)}
        losses = {name: np.fmax(history.vectors[:, features.index(name)], 0.0) for name in sorted(names)}
        weeks = max(float(np.ptp(history.times_us)), DAY_US) / WEEK_US
        if rows.by_event:
            return cls(rows.label, score, rows.customer, weeks, part, losses)
        timeline = Timeline.of(history, rows.customer)
        score = sustained_scores(terms, timeline, score[timeline.order])
        losses = {name: highest(rows.customer, each) for name, each in losses.items()}
        return cls(rows.customer_label, score, np.arange(len(score)), weeks, part, losses)

    def __getitem__(self, rows: Mask) -> "Cases":
        """Return the cases of a mask."""
        losses = {name: each[rows] for name, each in self.losses.items()}
        part = self.part * float(rows.mean())
        return Cases(self.label[rows], self.score[rows], self.customer[rows], self.weeks, part, losses)

    def sorted(self) -> "Cases":
        """Return the cases by falling score."""
        order = np.argsort(-self.score, kind="stable")
        losses = {name: each[order] for name, each in self.losses.items()}
        return Cases(
            self.label[order], self.score[order], self.customer[order], self.weeks, self.part, losses
        )


def choose(terms: Terms, cases: Cases) -> dict[str, float]:
    """Choose thresholds by level; MEDIUM never lies above HIGH."""
    ordered = cases.sorted()
    return _choose(terms, _curves(terms, ordered, np.ones(len(cases.label)), _ends(ordered.score)))


def crossfitted(terms: Terms, cases: Cases, chosen: SelectedModel) -> tuple[dict[str, float], ...]:
    """Choose thresholds for each fold on the customers of the other folds."""
    rows = chosen.rows
    fold = np.zeros(len(rows.customer_label), np.int64)
    fold[rows.customer] = rows.fold
    return tuple(choose(terms, cases[fold[cases.customer] != each]) for each in range(rows.folds))


def facts(terms: Terms, cases: Cases, chosen: Mapping[str, float], seed: int) -> dict[str, dict[str, Any]]:
    """Return by level what the `chosen` thresholds gave on the cases that they were chosen on, for the manifest.

    threshold with its 95 % interval (`threshold_low`, `threshold_high`) over draws of customers in which it is chosen
    again; `target` as asked, the figure it is about (`value`, `low`, `high`: see _interval) and `reached` (yes, not
    reached, cannot be known); n, positives, flagged, rightly, precision, recall, share. Figures that cannot be had are
    None.
    """
    ordered = cases.sorted()
    drawn = _draws(terms, ordered, chosen, seed)
    curves = _curves(terms, ordered, np.ones(len(cases.label)), _ends(ordered.score))
    of_customers = int(cases.customer.max()) + 1 == len(cases.customer)
    return {
        level: _facts(
            getattr(terms, level), curve, chosen[level], [each[level] for each in drawn], of_customers
        )
        for level, curve in curves.items()
    }


def _ends(score: Floats) -> Indices:
    """Return the last places of equal scores, scores falling, as far down as a threshold may lie."""
    ends = np.flatnonzero(np.append(np.diff(score) != 0, True))
    return ends[score[ends] >= LEAST]


def _curves(terms: Terms, ordered: Cases, times: Floats, ends: Indices) -> dict[str, ThresholdCurve]:
    """Return the curve of each level; `times` [n] is how often each case counts, `ends` are the places of the curve."""
    label = ordered.label * times
    true, flagged = np.cumsum(label)[ends], np.cumsum(times)[ends]
    size = float(label.sum()), float(times.sum()), ordered.weeks * ordered.part
    return {
        level: ThresholdCurve(
            ordered.score[ends], true, flagged, _spared(ordered, target, label, true, ends), *size
        )
        for level, target in (("medium", terms.medium), ("high", terms.high))
    }


def _spared(ordered: Cases, target: Target, label: Floats, true: Floats, ends: Indices) -> Floats:
    """Return the cost that flagging the positives spares."""
    if isinstance(target.miss, str):
        return np.cumsum(label * ordered.losses[target.miss])[ends]
    return target.miss * true


def _choose(terms: Terms, curves: Mapping[str, ThresholdCurve]) -> dict[str, float]:
    high = max(targets.threshold(curves["high"], terms.high), LEAST)
    medium = max(targets.threshold(curves["medium"], terms.medium), LEAST)
    return {"medium": min(medium, high), "high": high}


def _place(curve: ThresholdCurve, threshold: float) -> int:
    """Return the last place at or above a threshold; -1 if no score reaches it."""
    return int((curve.threshold >= threshold).sum()) - 1


def _draws(
    terms: Terms, ordered: Cases, chosen: Mapping[str, float], seed: int
) -> list[dict[str, tuple[float, float]]]:
    """Draw customers, and return for each draw and level its own threshold and the figure at the chosen one."""
    rng, drawn = np.random.default_rng(seed), []
    customers, ends = int(ordered.customer.max()) + 1, _thinned(_ends(ordered.score))
    for _ in range(REPLICATES):
        counts = np.bincount(rng.integers(0, customers, customers), minlength=customers)
        times = counts[ordered.customer].astype(np.float64)
        if times @ ordered.label > 0:
            curves = _curves(terms, ordered, times, ends)
            again = _choose(terms, curves)
            drawn.append({k: (again[k], _figure(curves[k], getattr(terms, k), chosen[k])) for k in again})
    return drawn


def _thinned(ends: Indices) -> Indices:
    """Return at most MOST_PLACES of the ends, evenly."""
    if len(ends) <= MOST_PLACES:
        return ends
    return ends[np.linspace(0, len(ends) - 1, MOST_PLACES).astype(np.intp)]


def _figure(curve: ThresholdCurve, target: Target, threshold: float) -> float:
    place = _place(curve, threshold)
    if target.kind not in DRAWN or place < 0 or curve.flagged[place] == 0:
        return np.nan
    return float(curve.figure(target)[place])


def _facts(
    target: Target,
    curve: ThresholdCurve,
    threshold: float,
    drawn: list[tuple[float, float]],
    of_customers: bool,
) -> dict[str, Any]:
    place = _place(curve, threshold)
    flagged, rightly = (int(each[place]) if place >= 0 else 0 for each in (curve.flagged, curve.true))
    low, high = _percentiles([again for again, _ in drawn])
    figure = _interval(target, curve, place, [each for _, each in drawn], of_customers)
    return {
        "threshold": threshold,
        "threshold_low": low,
        "threshold_high": high,
        "target": target.asked,
        "reached": reached(target, figure, flagged, int(curve.positives)),
        "value": _plain(figure.value),
        "low": _plain(figure.low),
        "high": _plain(figure.high),
        "n": int(curve.cases),
        "positives": int(curve.positives),
        "flagged": flagged,
        "rightly": rightly,
        "precision": rightly / flagged if flagged else None,
        "recall": rightly / curve.positives,
        "share": flagged / curve.cases,
    }


def _interval(
    target: Target, curve: ThresholdCurve, place: int, drawn: list[float], of_customers: bool
) -> Interval:
    """Return the figure at a place. Shares of customers have the interval of their counts, which holds for few too.

    Events of one customer are not independent: their shares are as uncertain as draws of customers show, and no less
    than their counts allow. All other figures have the interval of the draws.
    """
    by_counts = counted(target.kind, curve, place)
    if place < 0 or target.kind not in DRAWN or (of_customers and not np.isnan(by_counts.low)):
        return by_counts
    low, high = (np.nan if end is None else end for end in _percentiles(drawn))
    value = float(curve.figure(target)[place])
    return Interval(value, float(np.fmin(low, by_counts.low)), float(np.fmax(high, by_counts.high)))


def _percentiles(drawn: list[float]) -> tuple[float | None, float | None]:
    there = [each for each in drawn if not np.isnan(each)]
    if not there:
        return None, None
    low, high = np.percentile(there, INTERVAL)
    return float(low), float(high)


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else value
