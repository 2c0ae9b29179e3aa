"""Dirtiness, on demand: what real exports do to rows. All rates are 0 by default.

Dirt changes what is written, never what happened: the clean data underneath are the same for the same seed.
"""

from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from training.generate.calendar import HOUR_US, SECOND_US, Times, readable
from training.generate.lifecycle import StateRows
from training.generate.profiles import TRAITS, Texts, draw_locale, draw_trait

DUPLICATE_LAG_US: Final = 60 * SECOND_US  # redelivered by the next run of an exporter
LATE_LAG_US: Final = 2 * HOUR_US  # mean; long enough to exceed a lateness of one hour often
CLOCK_SKEW_US: Final = 30 * SECOND_US  # largest difference between two systems' clocks
COMES_AGAIN_CHANCE: Final = (
    0.27  # 41 of the real file's 50 repeated customers have two rows, others up to seven
)
MOST_REPEATS: Final = 6
SILENT_IF_SUSPENDED: Final = (
    0.36  # 11 of 79 suspended customers have no transactions, and 138 of the 353 others
)
MAY_BE_MISSING: Final = ("reason_to_use_app", "occupation", "gender", "document_issuing_country", "locale")
REDRAWN: Final = ("kyc_state", "occupation")  # what a customer's later rows may say differently


@dataclass(frozen=True)
class Dirt:
    """Rates between 0 and 1."""

    duplicate_rows: float = 0.0  # exact copies of transaction rows; 0.035 in the real file
    late_rows: float = 0.0  # transaction rows that stand later in the file than their time
    completed_before_created: float = 0.0  # rows whose two clocks disagree; 0.0007 in the real file
    # customers who come again, two to seven times, with another locale, KYC state or occupation; 0.12 in the real file
    repeated_users: float = 0.0
    contradicting_users: float = 0.0  # share of those extra rows that contradict the label; 0.06
    missing_values: float = 0.0  # profile cells emptied, beyond those that are empty anyway
    duplicate_users: float = 0.0  # exact copies of rows of users.csv
    silent_users: float = (
        0.0  # active customers without transactions in the file; 0.39, of the suspended 0.36 times that
    )

    def __post_init__(self) -> None:
        for field in fields(self):
            rate = getattr(self, field.name)
            if not 0 <= rate <= 1:
                raise ValueError(f"Dirt.{field.name} is {rate}; expected a share between 0 and 1")


CLEAN: Final = Dirt()


@dataclass(frozen=True)
class UserRows:
    """Rows of users.csv in file order; `entry` counts first rows before repeated ones, and names their sessions."""

    entry: NDArray[np.int64]
    customer: NDArray[np.int64]
    profiles: dict[str, Texts]
    suspended: NDArray[np.bool_]

    def __getitem__(self, rows: NDArray[np.int64]) -> "UserRows":
        profiles = {name: column[rows] for name, column in self.profiles.items()}
        return UserRows(self.entry[rows], self.customer[rows], profiles, self.suspended[rows])

    def __len__(self) -> int:
        return len(self.entry)


def soil_rows(rows: StateRows, dirt: Dirt, rng: Generator) -> tuple[StateRows, Times]:
    """The rows with duplicates and wrong clocks, and the time at which each reaches the file."""
    rows = _skew_clocks(rows, dirt.completed_before_created, rng)
    copies = np.flatnonzero(rng.random(len(rows)) < dirt.duplicate_rows)
    reached = rows.known_us
    copied = reached[copies] + rng.integers(0, DUPLICATE_LAG_US, len(copies))
    late = rng.random(len(rows)) < dirt.late_rows
    reached = reached + np.where(late, rng.exponential(LATE_LAG_US, len(rows)).astype(np.int64), 0)
    every = np.concatenate([np.arange(len(rows)), copies])
    return rows[every], np.concatenate([reached, copied])


def soil_users(
    profiles: dict[str, Texts], suspended: NDArray[np.bool_], dirt: Dirt, rng: Generator
) -> UserRows:
    """Everyone once in order, some again elsewhere in the file, exact copies last."""
    n = len(suspended)
    extra = np.flatnonzero(rng.random(n) < dirt.repeated_users)
    extra = np.repeat(extra, np.minimum(rng.geometric(1 - COMES_AGAIN_CHANCE, len(extra)), MOST_REPEATS))
    again = _retell({name: column[extra] for name, column in profiles.items()}, suspended[extra], rng)
    contradicted = suspended[extra] ^ (rng.random(len(extra)) < dirt.contradicting_users)
    entry = _scatter(n, len(extra), rng)
    columns = {name: np.concatenate([column, again[name]])[entry] for name, column in profiles.items()}
    rows = UserRows(
        entry=entry,
        customer=np.concatenate([np.arange(n), extra])[entry],
        profiles=_blank(columns, dirt.missing_values, rng),
        suspended=np.concatenate([suspended, contradicted])[entry],
    )
    return rows[
        np.concatenate([np.arange(len(entry)), np.flatnonzero(rng.random(len(entry)) < dirt.duplicate_users)])
    ]


def silence(suspended: NDArray[np.bool_], dirt: Dirt, rng: Generator) -> NDArray[np.bool_]:
    """Choose the customers who have no transactions in the file, whatever they did."""
    rate = dirt.silent_users * np.where(suspended, SILENT_IF_SUSPENDED, 1.0)
    return rng.random(len(suspended)) < rate


def _skew_clocks(rows: StateRows, rate: float, rng: Generator) -> StateRows:
    skewed = (rng.random(len(rows)) < rate) & (rows.completed_us > 0)
    early = readable(rows.created_us - rng.integers(1, CLOCK_SKEW_US, len(rows)))
    return replace(rows, completed_us=np.where(skewed, early, rows.completed_us))


def _scatter(n: int, extra: int, rng: Generator) -> NDArray[np.int64]:
    """The first n in their order, the extra ones at random places among them."""
    return np.argsort(np.concatenate([np.arange(n), rng.random(extra) * n]), kind="stable")


def _retell(profiles: dict[str, Texts], suspended: NDArray[np.bool_], rng: Generator) -> dict[str, Texts]:
    redrawn = {name: draw_trait(TRAITS[name], suspended, rng) for name in REDRAWN}
    locale = draw_locale(profiles["country_of_residence"], suspended, rng)
    return profiles | redrawn | {"locale": locale}


def _blank(profiles: dict[str, Texts], rate: float, rng: Generator) -> dict[str, Texts]:
    blanked = {
        name: np.where(rng.random(len(profiles[name])) < rate, "", profiles[name]) for name in MAY_BE_MISSING
    }
    return profiles | blanked
