"""Recommendations of the policy, replayed over held-out scores: levels and recommendations through time.

A recommendation is right if the customer is positive. Overrides are left out, and only customers whose outcome is known
are there, so the circuit breaker sees their recommendations alone.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import numpy as np

from export.policy import Transition
from training.arrays import Floats, Mask
from training.evaluation.customers import HeldOutCustomers
from training.evaluation.earliness import DAY_US, until_first
from training.evaluation.figures import CaseWeek, DecisionFigures, Recommendations
from training.evaluation.weeks import EPOCH, MONDAY_US, WEEK_US
from training.models.held_out import HeldOut
from training.policy.replay import Decisions, Timeline, decisions, sustained_scores
from training.statistics.interval import Interval
from training.statistics.wilson import rate


def replayed(held_out: HeldOut) -> Decisions:
    """Replay the policy over held-out scores; customers are numbered as in `held_out.customer`.

    By folds each customer meets thresholds that others gave, so that no figure is flattered by them. `last_level`,
    `highest_level`, `is_open` and `ever(Transition.RECOMMENDED)` of what is returned are by customer.
    """
    timeline = Timeline.of(held_out.rows, held_out.customer)
    return decisions(
        held_out.terms, timeline, held_out.score[timeline.order], _thresholds(held_out, timeline)
    )


def sustained(held_out: HeldOut) -> Floats:
    """Return the scores [customers] that thresholds apply to: see training.policy.replay.sustained_scores."""
    timeline = Timeline.of(held_out.rows, held_out.customer)
    return sustained_scores(held_out.terms, timeline, held_out.score[timeline.order])


def _thresholds(held_out: HeldOut, timeline: Timeline) -> Mapping[str, float] | Mapping[str, Floats]:
    if not held_out.crossfitted or held_out.model_of_row is None:
        return held_out.thresholds
    of_row = held_out.model_of_row[timeline.order]
    return {
        level: np.array([each[level] for each in held_out.crossfitted])[of_row]
        for level in held_out.thresholds
    }


def recommendations(held_out: HeldOut, customers: HeldOutCustomers, decided: Decisions) -> Recommendations:
    """Count what was decided; `made` is what `replayed` gives."""
    positive = customers.label == 1
    flattered = replayed(replace(held_out, crossfitted=())) if held_out.crossfitted else None
    weeks = _weeks(decided, positive)
    cases = decided.transition == Transition.RECOMMENDED
    span_us = max(float(np.ptp(held_out.rows.times_us)), DAY_US)
    return Recommendations(
        customers=len(positive),
        positives=int(positive.sum()),
        crossfitted=bool(held_out.crossfitted),
        flattered=None if flattered is None else _decided(flattered.ever(Transition.RECOMMENDED), positive),
        ever=_decided(decided.ever(Transition.RECOMMENDED), positive),
        open=_decided(decided.is_open, positive),
        held=int(decided.ever(Transition.HELD).sum()),
        retracted=int(decided.ever(Transition.RETRACTED).sum()),
        cases=int(cases.sum()),
        cases_per_week=float(cases.sum() / (span_us / WEEK_US)),
        busiest=max(weeks, key=lambda week: week.cases) if cases.any() else None,
        weeks=weeks,
        **until_first(decided, decided.first, positive),
    )


def _decided(chosen: Mask, positive: Mask) -> DecisionFigures:
    n, rightly = int(chosen.sum()), int((chosen & positive).sum())
    return DecisionFigures(n, rightly, rate(rightly, n), rate(rightly, int(positive.sum())))


def _weeks(decided: Decisions, positive: Mask) -> tuple[CaseWeek, ...]:
    week = (decided.timeline.time_us - MONDAY_US) // WEEK_US
    starts, of = np.unique(week, return_inverse=True)
    case = decided.transition == Transition.RECOMMENDED
    right = case & positive[decided.timeline.customer]
    counts = [np.bincount(of[rows], minlength=len(starts)).tolist() for rows in (case, right)]
    days = [EPOCH + timedelta(microseconds=int(each) * WEEK_US + MONDAY_US) for each in starts]
    return tuple(CaseWeek(f"{day:%Y-%m-%d}", *each) for day, *each in zip(days, *counts, strict=True))


def sentence(recommended: Recommendations) -> str:
    """Say what the recommendations are worth, for the first lines of a report."""
    ever = recommended.ever
    if not ever.customers:
        return (
            f"Replayed over held-out scores, the policy recommends none of {recommended.customers:,} customers, "
            f"{recommended.positives:,} of whom are positive."
        )
    return (
        f"Replayed over held-out scores, the policy recommends {ever.customers:,} of {recommended.customers:,} "
        f"customers, {ever.rightly:,} of them rightly: precision {_percent(ever.precision)}, recall "
        f"{_percent(ever.recall)}."
    )


def outlook(recommended: Recommendations) -> str:
    """Say what a team would get, and what the bundle's thresholds would do; empty where nobody is recommended."""
    if recommended.busiest is None:
        return ""
    return (
        f"A team would get {recommended.cases_per_week:.1f} cases a week from these customers, "
        f"{recommended.busiest.cases:,} in the busiest. "
        f"{_open(recommended.open.customers)} after the customers' last events.{_flattered(recommended)}"
    )


def _open(n: int) -> str:
    if n < 2:
        return f"{'One' if n else 'No'} recommendation is open"
    return f"{n:,} recommendations are open"


def _flattered(recommended: Recommendations) -> str:
    """Say what the bundle's thresholds would do, if each customer met those of other folds; else empty."""
    if recommended.flattered is None:
        return ""
    return (
        f" These figures are by thresholds that other customers gave. The bundle's thresholds, chosen on all of these "
        f"customers, would recommend {recommended.flattered.customers:,} of them, "
        f"{recommended.flattered.rightly:,} rightly."
    )


def _percent(share: Interval) -> str:
    return f"{share.value:.0%} [{share.low:.0%}, {share.high:.0%}]"
