"""The three files: who the customers are, what happened, and (ground truth, never an input) why.

Identifiers come from a generator of their own, so that they cannot know the label.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.random import Generator
from numpy.typing import NDArray

from training.generate.customers import GeneratedCustomers
from training.generate.dirt import Dirt, soil_rows, soil_users
from training.generate.lifecycle import StateRows
from training.generate.profiles import Texts
from training.generate.schema import (
    CATEGORY_IDS,
    DIRECTIONS,
    STATES,
    TRANSACTION_COLUMNS,
    TYPES,
    TYPOLOGY_COLUMNS,
    USER_COLUMNS,
)
from training.generate.transfers import Moves
from training.generate.typologies import NORMAL, PATTERNS
from training.generate.write import (
    Uuids,
    amount_texts,
    choice_texts,
    random_uuids,
    reference_uuids,
    time_texts,
    uuid_texts,
    write_csv,
)

SLICE_ROWS: Final = 200_000  # texts of one slice take about 60 MB
LABELS: Final = ("ACTIVE", "SUSPENDED")
CURRENCY: Final = "EUR"


def write_users(
    path: Path,
    users: Uuids,
    profiles: dict[str, Texts],
    suspended: NDArray[np.bool_],
    dirt: Dirt,
    rng: Generator,
) -> int:
    """One row per customer, more with dirt; returns the number of rows."""
    naming, soiling = rng.spawn(2)
    rows = soil_users(profiles, suspended, dirt, soiling)
    texts = {name: pa.array(column.tolist(), pa.string()) for name, column in rows.profiles.items()}
    texts["user_id"] = uuid_texts(users[rows.customer])
    texts["session_id"] = uuid_texts(random_uuids(rows.entry.max(initial=-1) + 1, naming)[rows.entry])
    texts["user_current_state"] = choice_texts(rows.suspended.astype(np.int8), LABELS)
    write_csv(path, USER_COLUMNS, [[texts[name] for name in USER_COLUMNS]])
    return len(rows)


def write_transactions(
    path: Path, users: Uuids, moves: Moves, rows: StateRows, dirt: Dirt, rng: Generator
) -> int:
    """One row per state, in the order in which they reach the file; returns the number of rows."""
    naming, soiling = rng.spawn(2)
    rows, reached_us = soil_rows(rows, dirt, soiling)
    rows = rows[np.argsort(reached_us, kind="stable")]
    ids = random_uuids(len(moves), naming)
    write_csv(path, TRANSACTION_COLUMNS, _transaction_slices(users, moves, ids, rows))
    return len(rows)


def write_typologies(path: Path, users: Uuids, people: GeneratedCustomers) -> None:
    """Write which customer follows which pattern, and from when; look-alikes are never suspended."""
    who = people[people.pattern != PATTERNS.index(NORMAL)]
    suspended_us = np.where(who.suspended, who.left_us, 0)
    columns = (
        uuid_texts(users[who.number]),
        choice_texts(who.pattern, [pattern.name for pattern in PATTERNS]),
        time_texts(who.burst_us),
        time_texts(suspended_us),
    )
    write_csv(path, TYPOLOGY_COLUMNS, [columns])


def _transaction_slices(users: Uuids, moves: Moves, ids: Uuids, rows: StateRows) -> Iterator[list[pa.Array]]:
    for first in range(0, len(rows), SLICE_ROWS):
        part = rows[first : first + SLICE_ROWS]
        texts = _transaction_texts(users, moves[part.move], ids[part.move], part)
        yield [texts[name] for name in TRANSACTION_COLUMNS]


def _transaction_texts(users: Uuids, moves: Moves, ids: Uuids, rows: StateRows) -> dict[str, pa.Array]:
    return {
        "id": uuid_texts(ids),
        "reference_transaction_id": uuid_texts(reference_uuids(moves.reference)),
        "user_id": uuid_texts(users[moves.customer]),
        "state": choice_texts(rows.state, STATES),
        "type": choice_texts(moves.type, TYPES),
        # the empty text stands last, where NO_CATEGORY points
        "category_id": choice_texts(moves.category % (len(CATEGORY_IDS) + 1), (*CATEGORY_IDS, "")),
        "amount": amount_texts(moves.cents),
        "currency": choice_texts(np.zeros(len(rows), np.int8), (CURRENCY,)),
        "direction": choice_texts(moves.direction, DIRECTIONS),
        "completed_at": time_texts(rows.completed_us),
        "created_at": time_texts(rows.created_us),
    }
