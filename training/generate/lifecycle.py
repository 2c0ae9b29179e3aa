"""The states of a transaction: which path it takes, how long that takes, and one row per state.

A path is the sequence of states that become known. Only PENDING has no completion time; a path without it
is settled at once, as most are.
"""

from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from training.generate.calendar import SECOND_US, Times, readable
from training.generate.schema import STATE, TYPES

PATHS: Final = (
    ("COMPLETED",),
    ("PENDING", "COMPLETED"),
    ("DECLINED",),
    ("FAILED",),
    ("PENDING", "DECLINED"),
    ("PENDING", "FAILED"),
    ("PENDING", "REVERSED"),
    ("PENDING", "COMPLETED", "REVERSED"),
    ("PENDING", "CANCELLED"),
    ("PENDING",),
)
# per mille of each path, in the order of PATHS
PATH_WEIGHTS: Final = {
    "CARDS": (330, 400, 175, 22, 13, 13, 18, 8, 6, 15),
    "BANK_TRANSFER": (680, 180, 35, 65, 5, 20, 3, 2, 5, 5),
    "CARD_TOP_UP": (330, 240, 220, 130, 20, 40, 2, 6, 2, 10),
    "PROCESSING_FEE": (900, 60, 10, 20, 0, 5, 3, 2, 0, 0),
    "CRYPTO_ON_RAMP": (470, 330, 50, 90, 10, 35, 2, 1, 2, 10),
    "PAYMENTS": (690, 150, 70, 50, 10, 15, 3, 2, 5, 5),
    "CRYPTO_OFF_RAMP": (470, 360, 20, 90, 5, 40, 2, 1, 2, 10),
    "USER_REWARD": (970, 20, 0, 10, 0, 0, 0, 0, 0, 0),
    "MANUAL": (980, 10, 0, 5, 0, 0, 0, 5, 0, 0),
}
# (median seconds, sigma of the logarithm) from PENDING to what follows
PENDING_PACE_S: Final = {
    "CARDS": (15.0 * 3600, 0.95),  # merchants capture overnight
    "BANK_TRANSFER": (7.0 * 3600, 1.5),  # next bank day, weekends longer
    "CARD_TOP_UP": (40.0, 1.2),  # the cardholder answers 3-D Secure
    "PROCESSING_FEE": (60.0, 1.5),
    "CRYPTO_ON_RAMP": (90.0, 1.3),  # a few blocks
    "PAYMENTS": (1800.0, 2.0),
    "CRYPTO_OFF_RAMP": (240.0, 1.4),
    "USER_REWARD": (600.0, 1.0),
    "MANUAL": (3600.0, 1.0),
}
DIRECT_PACE_S: Final = (4.0, 1.3)  # settled by one call to the other side
REVERSAL_PACE_S: Final = (40.0 * 3600, 0.6)  # a refund or recall takes days
LONGEST_DELAY_S: Final = 8 * 24 * 3600.0  # an authorisation lapses after a week

STATE_AT: Final = np.array([[STATE[s] for s in path] + [-1] * (3 - len(path)) for path in PATHS], np.int8)
PAUSES: Final = np.array([path[0] == "PENDING" for path in PATHS])
COMPLETES: Final = np.array([path[-1] == "COMPLETED" for path in PATHS])
REFUSED: Final = np.array([path[-1] in ("DECLINED", "FAILED") for path in PATHS])
_WEIGHTS: Final = np.array([PATH_WEIGHTS[name] for name in TYPES], np.float64)
_PENDING_PACE: Final = np.array([PENDING_PACE_S[name] for name in TYPES])


@dataclass(frozen=True)
class StateRows:
    """One row per state: which transaction, which state, and when it was known (completed is 0 while PENDING)."""

    move: NDArray[np.int64]
    state: NDArray[np.int8]
    created_us: Times
    completed_us: Times

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.int64] | slice) -> Self:
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))

    def __len__(self) -> int:
        return len(self.move)

    @property
    def known_us(self) -> Times:
        """The event time: completion, or creation while PENDING."""
        return np.where(self.completed_us > 0, self.completed_us, self.created_us)


def choose_path(types: NDArray[np.int8], friction: float, rng: Generator) -> NDArray[np.int8]:
    """A path for each transaction; friction multiplies the odds of being refused."""
    cumulative = np.cumsum(_WEIGHTS * np.where(REFUSED, friction, 1.0), axis=1)
    drawn = rng.random(len(types)) * cumulative[types, -1]
    path: NDArray[np.int8] = (drawn[:, None] >= cumulative[types]).sum(axis=1).astype(np.int8)
    return path


def settlement(types: NDArray[np.int8], path: NDArray[np.int8], created_us: Times, rng: Generator) -> Times:
    """Return the time at which the first state after PENDING (or the only one) is known."""
    pauses = PAUSES[path]
    median_s = np.where(pauses, _PENDING_PACE[types, 0], DIRECT_PACE_S[0])
    sigma = np.where(pauses, _PENDING_PACE[types, 1], DIRECT_PACE_S[1])
    return readable(created_us + delay_us(median_s, sigma, rng))


def delay_us(median_s: NDArray[np.float64], sigma: NDArray[np.float64] | float, rng: Generator) -> Times:
    """Log-normal delays. Only milliseconds come from floats: their last bits may differ between machines."""
    seconds = np.minimum(rng.lognormal(np.log(median_s), sigma), LONGEST_DELAY_S)
    return (seconds * 1000).astype(np.int64) * 1000 + rng.integers(1, 1000, len(seconds))


def unfold(
    created_us: Times, settled_us: Times, path: NDArray[np.int8], end_us: int, rng: Generator
) -> StateRows:
    """One row per state of every transaction, without the states that are only known at or after `end_us`."""
    reversal = delay_us(np.full(len(path), REVERSAL_PACE_S[0]), REVERSAL_PACE_S[1], rng)
    reversed_us = readable(settled_us + np.maximum(reversal, SECOND_US))
    first = np.where(PAUSES[path], 0, settled_us)
    second = settled_us
    parts = [
        _rows_at(slot, path, created_us, completed_us)
        for slot, completed_us in enumerate((first, second, reversed_us))
    ]
    rows = StateRows(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(StateRows)))
    return rows[rows.known_us < end_us]


def _rows_at(slot: int, path: NDArray[np.int8], created_us: Times, completed_us: Times) -> StateRows:
    move = np.flatnonzero(STATE_AT[path, slot] >= 0)
    return StateRows(move, STATE_AT[path[move], slot], created_us[move], completed_us[move])
