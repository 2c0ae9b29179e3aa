"""Movements of money, as columns, and the two ways they arise: on their own (a leg) or after another (a follow-up).

A leg is played over a window of time per customer. A follow-up spends, charges or passes on what a completed
movement brought. Both normal life and the typologies are tables of these two.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from training.generate.calendar import WEEKDAY_WEIGHTS, Times, at_hours, readable, weekday
from training.generate.lifecycle import COMPLETES, choose_path, delay_us, settlement
from training.generate.schema import CATEGORIES, CATEGORY, DIRECTIONS, NO_CATEGORY, TYPE

LARGEST_CENTS: Final = 4_000_000  # the account's limit for one movement, 40,000 euros
CATEGORY_CDF: Final = np.cumsum([weight for _, weight in CATEGORIES]) / sum(
    weight for _, weight in CATEGORIES
)
UNCATEGORISED_SHARE: Final = {"CARDS": 0.03}  # merchants without a code
UNCATEGORISED_SHARE_OTHERS: Final = 0.93  # only customers who tag their transfers have one
CARD_CHECK_SHARE: Final = 0.006  # merchants verify a card with a payment of zero
BELOW_LIMIT_SHARE: Final = (0.005, 0.08)  # how far below a limit structured amounts stay


@dataclass(frozen=True)
class Leg:
    """A repeated kind of movement. `times` is per 30 days in normal life, per burst in a typology."""

    type: str
    direction: str
    times: float
    median_eur: float
    sigma: float
    hours: str = "any"
    round_eur: int = 0  # amounts are multiples of this; 0 leaves the cents
    friction: float = 1.0  # multiplies the odds of being refused
    below_eur: tuple[
        int, ...
    ] = ()  # amounts stay just below one of these limits, median and sigma are unused
    category: str = ""  # card payments otherwise draw one


@dataclass(frozen=True)
class FollowUp:
    """A movement that follows a completed one: its chance, its share of the amount, and how soon it comes."""

    type: str
    direction: str
    chance: float
    share: tuple[float, float]
    lag_s: float
    lag_sigma: float = 1.0
    same_reference: bool = False  # a fee refers to what it was charged for
    friction: float = 1.0


@dataclass(frozen=True)
class Moves:
    """Columns of movements, one entry each; all arrays have one length."""

    customer: NDArray[np.int32]
    type: NDArray[np.int8]
    direction: NDArray[np.int8]
    cents: NDArray[np.int64]
    category: NDArray[np.int8]
    created_us: Times
    reference: NDArray[np.uint64]
    path: NDArray[np.int8]
    settled_us: Times

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Self:
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))

    def __len__(self) -> int:
        return len(self.customer)


def join(parts: Iterable[Moves]) -> Moves:
    """All movements in one set of columns, in the order given."""
    columns = zip(
        *(tuple(getattr(part, field.name) for field in fields(Moves)) for part in parts), strict=True
    )
    return Moves(*(np.concatenate(column) for column in columns))


def play(
    leg: Leg,
    customer: NDArray[np.int32],
    start_us: Times,
    end_us: Times,
    times: NDArray[np.float64],
    rng: Generator,
) -> Moves:
    """Movements of one leg: `times` expected per entry, within [start, end), more on busy weekdays and hours."""
    row = np.repeat(np.arange(len(customer)), rng.poisson(times / WEEKDAY_WEIGHTS.mean()))
    start, end = start_us[row], end_us[row]
    day = start + (rng.random(len(row)) * (end - start)).astype(np.int64)
    created = at_hours(day, leg.hours, rng)
    kept = (rng.random(len(row)) < WEEKDAY_WEIGHTS[weekday(created)]) & (created >= start) & (created < end)
    return movements(leg, customer[row[kept]], created[kept], draw_cents(leg, int(kept.sum()), rng), rng)


def movements(leg: Leg, customer: NDArray[np.int32], created: Times, cents: Times, rng: Generator) -> Moves:
    """Movements at given times for given amounts, with their fate."""
    n = len(customer)
    types = np.full(n, TYPE[leg.type], np.int8)
    path = choose_path(types, leg.friction, rng)
    return Moves(
        customer=customer,
        type=types,
        direction=np.full(n, DIRECTIONS.index(leg.direction), np.int8),
        cents=cents,
        category=_draw_category(leg.type, leg.category, n, rng),
        created_us=created,
        reference=rng.integers(0, 2**64, n, np.uint64),
        path=path,
        settled_us=settlement(types, path, created, rng),
    )


def follow(step: FollowUp, moves: Moves, rng: Generator) -> Moves:
    """Movements that follow completed ones, soon after the money was there."""
    cause = moves[COMPLETES[moves.path] & (rng.random(len(moves)) < step.chance) & (moves.cents > 0)]
    share = rng.uniform(*step.share, len(cause))
    cents = np.maximum(np.rint(cause.cents * share).astype(np.int64), 1)
    lag = delay_us(np.full(len(cause), step.lag_s), step.lag_sigma, rng)
    leg = Leg(step.type, step.direction, 0, 0, 0, friction=step.friction)
    moved = movements(leg, cause.customer, readable(cause.settled_us + lag), cents, rng)
    return Moves(**(vars(moved) | {"reference": cause.reference})) if step.same_reference else moved


def draw_cents(leg: Leg, n: int, rng: Generator) -> Times:
    """Amounts of a leg: log-normal or just below a limit, rounded as people round, never above the account's limit."""
    if leg.below_eur:
        eur = rng.choice(np.array(leg.below_eur), n) * (1 - rng.uniform(*BELOW_LIMIT_SHARE, n))
    else:
        eur = rng.lognormal(np.log(leg.median_eur), leg.sigma, n)
    if leg.round_eur:
        eur = np.maximum(np.rint(eur / leg.round_eur), 1) * leg.round_eur
    cents = np.clip(np.rint(eur * 100).astype(np.int64), 1, LARGEST_CENTS)
    checks = rng.random(n) < CARD_CHECK_SHARE * (leg.type == "CARDS")
    return np.where(checks, 0, cents)


def _draw_category(type_name: str, fixed: str, n: int, rng: Generator) -> NDArray[np.int8]:
    drawn = np.searchsorted(CATEGORY_CDF, rng.random(n), side="right").astype(np.int8)
    category = np.full(n, CATEGORY[fixed], np.int8) if fixed else drawn
    absent = rng.random(n) < UNCATEGORISED_SHARE.get(type_name, UNCATEGORISED_SHARE_OTHERS)
    return np.where(absent, np.int8(NO_CATEGORY), category)
