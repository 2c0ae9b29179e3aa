"""Normal life: habits that vary in rate, standing payments on their day of the month, and the fees they cause.

Rates are per 30 days for a customer of activity 1. Activity multiplies habits, not rent and salary.
"""

from typing import Final

import numpy as np
from numpy.random import Generator

from training.generate.calendar import DAY_US, WEEKEND_SHIFT_DAYS, Times, at_hours, months_between, weekday
from training.generate.customers import GeneratedCustomers
from training.generate.schema import TYPES
from training.generate.transfers import FollowUp, Leg, Moves, draw_cents, follow, join, movements, play

RATE_PERIOD_US: Final = 30 * DAY_US
HABIT_SIGMA: Final = 0.6  # two equally active customers still differ by habit
CRYPTO_LIFT: Final = (0.55, 2.6)  # share of customers with a crypto habit: others, those who came for crypto

# (leg, share of customers who have the habit)
HABITS: Final = (
    (Leg("CARDS", "OUT", 8.5, 10, 1.1, "shops"), 0.82),
    (Leg("CARDS", "OUT", 0.8, 90, 0.9, "shops"), 0.45),
    (Leg("CARD_TOP_UP", "IN", 2.0, 35, 0.9, round_eur=10), 0.55),
    (Leg("CARD_TOP_UP", "IN", 0.8, 20, 1.0), 0.25),
    (Leg("BANK_TRANSFER", "IN", 1.5, 90, 1.3, "office"), 0.55),
    (Leg("BANK_TRANSFER", "OUT", 1.9, 60, 1.3, "office"), 0.50),
    (Leg("PAYMENTS", "OUT", 1.1, 20, 1.0), 0.30),
    (Leg("PAYMENTS", "IN", 0.9, 20, 1.0), 0.18),
    (Leg("CRYPTO_ON_RAMP", "OUT", 1.9, 40, 1.3), 0.28),
    (Leg("CRYPTO_OFF_RAMP", "IN", 1.2, 60, 1.3), 0.18),
    (Leg("USER_REWARD", "IN", 0.7, 4, 0.7), 0.30),
    (Leg("MANUAL", "IN", 0.5, 25, 0.9, "office"), 0.04),
    (Leg("MANUAL", "OUT", 0.3, 25, 0.9, "office"), 0.02),
)

# (leg once a month, share of customers who have it, first and last possible day of the month)
STANDING: Final = (
    (Leg("BANK_TRANSFER", "IN", 1, 1650, 0.4, "early"), 0.18, 25, 31),  # salary
    (Leg("BANK_TRANSFER", "IN", 1, 480, 0.5, "early"), 0.08, 5, 6),  # family benefits
    (Leg("BANK_TRANSFER", "OUT", 1, 620, 0.4, "early"), 0.10, 1, 6),  # rent
    (Leg("BANK_TRANSFER", "OUT", 1, 32, 0.6, "early"), 0.22, 3, 12),  # telephone, energy
    (Leg("CARDS", "OUT", 1, 11, 0.4, "any", category="subscriptions"), 0.30, 1, 31),
    (Leg("CARDS", "OUT", 1, 6, 0.4, "any", category="subscriptions"), 0.20, 1, 31),
)
STANDING_JITTER: Final = (0.99, 1.01)  # bills vary a little, by month

# type of the movement charged: the fee
FEES: Final = {
    "CRYPTO_ON_RAMP": FollowUp("PROCESSING_FEE", "OUT", 0.65, (0.005, 0.02), 1.0, 0.5, same_reference=True),
    "CRYPTO_OFF_RAMP": FollowUp("PROCESSING_FEE", "OUT", 0.65, (0.005, 0.02), 1.0, 0.5, same_reference=True),
    "CARD_TOP_UP": FollowUp("PROCESSING_FEE", "OUT", 0.45, (0.01, 0.03), 1.0, 0.5, same_reference=True),
    "CARDS": FollowUp("PROCESSING_FEE", "OUT", 0.04, (0.01, 0.03), 2.0, 0.5, same_reference=True),  # abroad
}


def live(people: GeneratedCustomers, start_us: int, end_us: int, rng: Generator) -> Moves:
    """All normal movements of these customers between joining and leaving (fees excepted, see `fees`)."""
    habits = [_habit(leg, share, people, rng) for leg, share in HABITS]
    standing = [
        _standing(leg, share, first, last, people, months_between(start_us, end_us), rng)
        for leg, share, first, last in STANDING
    ]
    return join(habits + standing)


def fees(moves: Moves, rng: Generator) -> Moves:
    """The fees charged for completed movements, each with the reference of its cause."""
    return join(follow(fee, moves[moves.type == TYPES.index(name)], rng) for name, fee in FEES.items())


def _habit(leg: Leg, share: float, people: GeneratedCustomers, rng: Generator) -> Moves:
    lift = np.array(CRYPTO_LIFT)[people.likes_crypto.astype(int)] if leg.type.startswith("CRYPTO") else 1.0
    has_habit = rng.random(len(people)) < share * lift
    months = (people.left_us - people.joined_us) / RATE_PERIOD_US
    times = leg.times * months * people.activity * rng.lognormal(0, HABIT_SIGMA, len(people)) * has_habit
    return play(leg, people.number, people.joined_us, people.left_us, times, rng)


def _standing(
    leg: Leg, share: float, first: int, last: int, people: GeneratedCustomers, months: Times, rng: Generator
) -> Moves:
    holders = people[np.flatnonzero(rng.random(len(people)) < share * np.minimum(people.activity * 2, 1))]
    day = rng.integers(first, last + 1, len(holders)) - 1
    usual_cents = draw_cents(leg, len(holders), rng)
    due = (months[:, None] + day * DAY_US).ravel()
    due += WEEKEND_SHIFT_DAYS[weekday(due)] * DAY_US
    created = at_hours(due, leg.hours, rng)
    cents = np.rint(np.tile(usual_cents, len(months)) * rng.uniform(*STANDING_JITTER, len(due))).astype(
        np.int64
    )
    lives = (created >= np.tile(holders.joined_us, len(months))) & (
        created < np.tile(holders.left_us, len(months))
    )
    return movements(leg, np.tile(holders.number, len(months))[lives], created[lives], cents[lives], rng)
