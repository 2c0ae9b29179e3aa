"""Replay of the stream's policy over the scores of a history: levels and recommendations, event by event.

Events go through `export.policy.rules.decide` in event-time order across customers, because the circuit breaker counts
the recommendations of all of them. Only zones matter to the policy (export.policy.tables.Zone), so scores whose
thresholds differ by row, as those of folds do, are replayed together as scores of one policy. Overrides are a person's
decisions and are left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from export.policy import (
    Breaker,
    Level,
    Policy,
    Recommendation,
    Terms,
    Transition,
    Zone,
    decide,
    level_after,
    transition,
)
from features.record import STATUS
from training.arrays import Floats, Indices, Mask
from training.data.labelled_rows import LabelledRows
from training.statistics.customer_score import places

LEAST = 1e-6  # a threshold; at 0 it would put everybody on the level
HALVINGS = 26  # of the interval of a customer's thresholds: then it is as narrow as a float32


@dataclass(frozen=True, eq=False)
class Timeline:
    """Scored events [n] of customers numbered from 0, in event-time order, and among equal times as they arrived."""

    order: Indices  # [n] their rows in the history
    customer: Indices  # [n]
    life: NDArray[np.int32]  # [n] numbered from 0: a customer that was forgotten begins a new one
    time_us: NDArray[np.int64]  # [n]
    evidence: NDArray[np.int64]  # [n] the customer's events up to this one, whatever their type

    @classmethod
    def of(cls, history: LabelledRows, customer: Indices) -> "Timeline":
        """Order a history; `customer` [n] numbers its customers. Without numbers of events, rows count instead."""
        order = np.argsort(history.times_us, kind="stable")
        customer = customer[order]
        evidence = places(customer) + 1 if history.events is None else history.events[order]
        return cls(order, customer, _lives(customer, evidence), history.times_us[order], evidence)

    @property
    def last(self) -> Indices:
        """Place of each customer's latest event [customers]."""
        place = np.zeros(int(self.customer.max()) + 1, np.intp)
        np.maximum.at(place, self.customer, np.arange(len(self.customer)))
        return place


@dataclass(frozen=True, eq=False)
class Decisions:
    """Decisions of the policy after each of the n events of a timeline."""

    timeline: Timeline
    transition: NDArray[np.uint8]  # [n] export.policy.tables.Transition
    level: NDArray[np.uint8]  # [n] the customer's level after the event
    status: NDArray[np.void]  # [lives] STATUS after the last event

    def ever(self, kind: Transition) -> Mask:
        """Mark the customers [customers] to whom this happened at any time."""
        happened = np.zeros(len(self.last_level), np.bool_)
        happened[self.timeline.customer[self.transition == kind]] = True
        return happened

    @property
    def is_open(self) -> Mask:
        """Customers [customers] with a recommendation that stands after their last event."""
        life = self.timeline.life[self.timeline.last]
        return np.asarray(self.status["recommendation"][life] == Recommendation.OPEN)

    @property
    def last_level(self) -> NDArray[np.uint8]:
        """Level after each customer's last event [customers]."""
        return self.level[self.timeline.last]

    @property
    def highest_level(self) -> NDArray[np.uint8]:
        """Highest level that each customer ever had [customers]."""
        highest = np.full(len(self.last_level), Level.LOW, np.uint8)
        np.maximum.at(highest, self.timeline.customer, self.level)
        return highest

    @property
    def first(self) -> Indices:
        """Place of the event at which each customer was first recommended [customers]; n if it never was."""
        n = len(self.transition)
        first = np.full(len(self.last_level), n, np.intp)
        places = np.flatnonzero(self.transition == Transition.RECOMMENDED)
        np.minimum.at(first, self.timeline.customer[places], places)
        return first


def decisions(
    terms: Terms, timeline: Timeline, score: Floats, thresholds: Mapping[str, float] | Mapping[str, Floats]
) -> Decisions:
    """Replay the policy of `terms` over the scores [n] of a timeline's events, in its order.

    `thresholds` by level are numbers, or arrays [n] where they differ by row.
    """
    return _walk(terms, timeline, _zones(score, terms.exit_ratio, thresholds))


def sustained_scores(terms: Terms, timeline: Timeline, score: Floats) -> Floats:
    """Return for each customer the highest threshold of HIGH at which it would have been recommended, [customers].

    It is the score that a customer sustained, in the way that the policy asks for: `in_a_row` times, with hysteresis,
    once it had `min_events`. 0 for a customer that no threshold above LEAST recommends. The breaker is left out, as it
    is about all customers together, and MEDIUM is taken to lie below what keeps HIGH. A lower threshold recommends
    whoever a higher one does, so each customer's is found by halving.
    """
    free = replace(terms, max_per_hour=0)
    low = np.full(int(timeline.customer.max()) + 1, LEAST)
    high = np.full(len(low), LEAST)
    np.maximum.at(high, timeline.customer, score)
    never = ~_recommended(free, timeline, score, low)
    at_peak = _recommended(free, timeline, score, high)
    low = np.where(at_peak, high, low)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        reached = _recommended(free, timeline, score, middle)
        low, high = np.where(reached, middle, low), np.where(reached, high, middle)
    return np.where(never, 0.0, low)


def _recommended(terms: Terms, timeline: Timeline, score: Floats, high: Floats) -> Mask:
    """Mark the customers [customers] who are ever recommended, each with its own threshold of HIGH."""
    at = high[timeline.customer]
    below = at * terms.exit_ratio
    return _walk(terms, timeline, _zones(score, terms.exit_ratio, {"medium": below, "high": at})).ever(
        Transition.RECOMMENDED
    )


def _zones(
    score: Floats, exit_ratio: float, thresholds: Mapping[str, float] | Mapping[str, Floats]
) -> NDArray[np.uint8]:
    """Return the Zone of each score [n]; its bounds are those of `Policy.bounds`."""
    medium, high = thresholds["medium"], thresholds["high"]
    bounds = medium * exit_ratio, medium, np.maximum(high * exit_ratio, medium), high
    zone = np.zeros(len(score), np.uint8)
    for bound in bounds:
        zone += score >= bound
    return zone


# any policy whose four bounds differ, and a score in each of its zones
_ANY = Policy(medium=0.25, high=0.75, exit_ratio=0.5)
_SCORE_IN = np.array([0.0, *_ANY.bounds], np.float32)
assert len(_SCORE_IN) == len(Zone)


def _walk(terms: Terms, timeline: Timeline, zone: NDArray[np.uint8]) -> Decisions:
    policy = replace(
        _ANY, cooldown_us=terms.cooldown_us, in_a_row=terms.in_a_row, min_events=terms.min_events,
        max_per_hour=terms.max_per_hour,
    )  # fmt: skip
    status = np.zeros(int(timeline.life.max()) + 1, STATUS)
    outcome = decide(
        policy, status, timeline.life, _SCORE_IN[zone], timeline.time_us, timeline.evidence,
        np.ones(len(zone), np.bool_), breaker=Breaker.of(policy),
    )  # fmt: skip
    return Decisions(timeline, transition(outcome), level_after(outcome), status)


def _lives(customer: Indices, evidence: NDArray[np.int64]) -> NDArray[np.int32]:
    """Number customers and their lives [n]: a new life begins where the number of events begins anew."""
    order = np.argsort(customer, kind="stable")
    same = np.diff(customer[order], prepend=-1) == 0
    begins = ~same | (np.diff(evidence[order], prepend=0) <= 0)
    life = np.empty(len(customer), np.int32)
    life[order] = np.cumsum(begins) - 1
    return life
