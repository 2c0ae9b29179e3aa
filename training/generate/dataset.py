"""Generates the files of the off-boarding task, and beside them the truth about who did what.

Customers are drawn at once, their movements in blocks with a generator each, and all rows are sorted by the
time at which they were known. Equal arguments give equal bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence

from training.generate.bursts import misbehave
from training.generate.calendar import DAY_US, midnight_us
from training.generate.customers import GeneratedCustomers, draw_customers, draw_labels
from training.generate.dirt import CLEAN, Dirt, silence
from training.generate.files import write_transactions, write_typologies, write_users
from training.generate.lifecycle import unfold
from training.generate.observation import PERIOD, windows
from training.generate.profiles import draw_profiles
from training.generate.spending import fees, live
from training.generate.transfers import Moves, join
from training.generate.typologies import PATTERNS, TYPOLOGIES
from training.generate.write import random_uuids

BLOCK_CUSTOMERS: Final = 1000  # enough for numpy to be busy, few enough for progress to be seen
FIRST_DAY: Final = date(2024, 7, 1)  # as in the real files
FILE_NAMES: Final = ("users.csv", "transactions.csv", "typologies.csv")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Summary:
    """Counts of what was written; `suspended` counts customers by typology."""

    customers: int
    suspended: dict[str, int]
    user_rows: int
    transaction_ids: int
    transaction_rows: int
    files: tuple[Path, ...]


def generate(
    customers: int,
    days: int,
    seed: int,
    out: Path,
    *,
    dirt: Dirt = CLEAN,
    observation: str = PERIOD,
    start: date = FIRST_DAY,
    progress: Progress | None = None,
) -> Summary:
    """Write users.csv, transactions.csv and typologies.csv into `out`, which is created.

    `progress(done, total)` counts customers. `observation`: see observation.py. Raises ValueError for fewer than one
    customer or day, and for an unknown observation.
    """
    if customers < 1 or days < 1:
        raise ValueError(f"{customers} customers and {days} days; expected at least one of each")
    labels, traits, lives, behaviour, states, naming, user_file, transaction_file, seen, silent = (
        SeedSequence(seed).spawn(10)
    )
    start_us, end_us = midnight_us(start), midnight_us(start) + days * DAY_US

    suspended = draw_labels(customers, _generator(labels))
    profiles = draw_profiles(suspended, start, _generator(traits))
    first_us, last_us = windows(observation, suspended, start_us, end_us, _generator(seen))
    people = draw_customers(suspended, profiles["reason_to_use_app"], first_us, last_us, _generator(lives))
    moves = _draw_moves(people, start_us, end_us, behaviour, progress or _no_progress)
    rows = unfold(moves.created_us, moves.settled_us, moves.path, end_us, _generator(states))
    rows = rows[~silence(suspended, dirt, _generator(silent))[moves.customer[rows.move]]]

    out.mkdir(parents=True, exist_ok=True)
    files = tuple(out / name for name in FILE_NAMES)
    users = random_uuids(customers, _generator(naming))
    user_rows = write_users(files[0], users, profiles, suspended, dirt, _generator(user_file))
    transaction_rows = write_transactions(files[1], users, moves, rows, dirt, _generator(transaction_file))
    write_typologies(files[2], users, people)
    return Summary(
        customers, _count_typologies(people), user_rows, len(np.unique(rows.move)), transaction_rows, files
    )


def _draw_moves(
    people: GeneratedCustomers, start_us: int, end_us: int, seed: SeedSequence, progress: Progress
) -> Moves:
    firsts = range(0, len(people), BLOCK_CUSTOMERS)
    blocks = []
    for first, block_seed in zip(firsts, seed.spawn(len(firsts)), strict=True):
        block = people[first : first + BLOCK_CUSTOMERS]
        blocks.append(_draw_block(block, start_us, end_us, _generator(block_seed)))
        progress(first + len(block), len(people))
    return join(blocks)


def _draw_block(people: GeneratedCustomers, start_us: int, end_us: int, rng: Generator) -> Moves:
    moves = join([live(people, start_us, end_us, rng), misbehave(people, rng)])
    moves = join([moves, fees(moves, rng)])
    return moves[moves.created_us < people.left_us[moves.customer - people.number[0]]]


def _count_typologies(people: GeneratedCustomers) -> dict[str, int]:
    return {pattern.name: int((people.pattern == PATTERNS.index(pattern)).sum()) for pattern in TYPOLOGIES}


def _generator(seed: SeedSequence) -> Generator:
    return Generator(PCG64(seed))


def _no_progress(done: int, total: int) -> None:
    pass
