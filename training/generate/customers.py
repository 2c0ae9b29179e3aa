"""The customers: who is suspended, by which typology, when each joined and left, how active each is.

Suspended customers leave when they are suspended; some of the others leave too, so that silence alone says little.
"""

from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from training.generate.calendar import DAY_US, Times, at_hours
from training.generate.profiles import CRYPTO_REASONS, Texts
from training.generate.typologies import LOOK_ALIKES, NORMAL, PATTERNS, TYPOLOGIES, Pattern

SUSPENDED_SHARE: Final = 0.18  # 79 of 432 in the real files
JOINED_DURING_SHARE: Final = 0.30  # a growing bank
LEFT_DURING_SHARE: Final = 0.15  # customers who just stop using the account
ACTIVITY_SIGMA: Final = 1.0  # of the logarithm: the busiest customers have hundreds of rows a month
IDLE_SHARE: Final = 0.10
IDLE_ACTIVITY: Final = 0.04
INTENSITY_SIGMA: Final = 0.75  # of bursts: some are hard to see
SHORTEST_LIFE_SHARE: Final = 0.12  # of the observed time, between joining and suspension


@dataclass(frozen=True)
class GeneratedCustomers:
    """Columns of customers; `pattern` points into `PATTERNS`, times are microseconds."""

    number: NDArray[np.int32]
    suspended: NDArray[np.bool_]
    pattern: NDArray[np.int8]
    joined_us: Times
    left_us: Times
    burst_us: Times
    burst_end_us: Times
    activity: NDArray[np.float64]
    intensity: NDArray[np.float64]
    likes_crypto: NDArray[np.bool_]

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.int64] | slice) -> Self:
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))

    def __len__(self) -> int:
        return len(self.number)


def draw_labels(customers: int, rng: Generator) -> NDArray[np.bool_]:
    """Exactly the suspended share, in random places."""
    return rng.permutation(np.arange(customers) < round(customers * SUSPENDED_SHARE))


def draw_customers(
    suspended: NDArray[np.bool_], reasons: Texts, start_us: Times, end_us: Times, rng: Generator
) -> GeneratedCustomers:
    """Lives and bursts within each customer's [start, end)."""
    n = len(suspended)
    pattern = np.where(suspended, _draw_pattern(TYPOLOGIES, n, rng), _draw_pattern(LOOK_ALIKES, n, rng))
    joined, left = _draw_lives(suspended, start_us, end_us, rng)
    burst, burst_end = _draw_bursts(pattern, suspended, joined, left, rng)
    return GeneratedCustomers(
        number=np.arange(n, dtype=np.int32),
        suspended=suspended,
        pattern=pattern.astype(np.int8),
        joined_us=joined,
        left_us=left,
        burst_us=burst,
        burst_end_us=burst_end,
        activity=_draw_activity(n, rng) * np.array([p.other_activity for p in PATTERNS])[pattern],
        intensity=rng.lognormal(0, INTENSITY_SIGMA, n),
        likes_crypto=np.isin(reasons, CRYPTO_REASONS),
    )


def _draw_pattern(choices: tuple[Pattern, ...], n: int, rng: Generator) -> NDArray[np.int64]:
    shares = [pattern.share for pattern in choices]
    code = [PATTERNS.index(pattern) for pattern in (*choices, NORMAL)]
    return rng.choice(code, n, p=[*shares, max(1 - sum(shares), 0.0)])


def _draw_activity(n: int, rng: Generator) -> NDArray[np.float64]:
    activity = rng.lognormal(0, ACTIVITY_SIGMA, n)
    return np.where(rng.random(n) < IDLE_SHARE, activity * IDLE_ACTIVITY, activity)


def _draw_lives(
    suspended: NDArray[np.bool_], start_us: Times, end_us: Times, rng: Generator
) -> tuple[Times, Times]:
    """Draw when each customer joined and left. Suspension is decided in office hours; leaving is just the last day."""
    n, period = len(suspended), end_us - start_us
    shortest = (period * SHORTEST_LIFE_SHARE).astype(np.int64)
    last = start_us + shortest + (rng.random(n) * (period - shortest)).astype(np.int64)
    suspended_at = np.clip(at_hours(last, "office", rng), start_us + shortest, end_us - 1)
    stays = rng.random(n) >= LEFT_DURING_SHARE
    left = np.where(suspended, suspended_at, np.where(stays, end_us, last))
    joined_late = start_us + (rng.random(n) * (left - shortest - start_us)).astype(np.int64)
    return np.where(rng.random(n) < JOINED_DURING_SHARE, joined_late, start_us), left


def _draw_bursts(
    pattern: NDArray[np.int64], suspended: NDArray[np.bool_], joined: Times, left: Times, rng: Generator
) -> tuple[Times, Times]:
    """A burst ends with the suspension, or for the others anywhere in their life; it starts at a midnight."""
    days = np.array([p.days for p in PATTERNS], np.float64)[pattern]
    length = (rng.uniform(days[:, 0], days[:, 1]) * DAY_US).astype(np.int64)
    anywhere = joined + (rng.random(len(pattern)) * (left - joined)).astype(np.int64)
    end = np.where(suspended, left, np.minimum(anywhere + length, left))
    return np.maximum((end - length) // DAY_US * DAY_US, joined), end
