"""Aggregates of generated files as an analyst would make them in an hour: a row for each customer, without a date."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

BORN_BEFORE = pd.Timestamp("2024-07-01")  # the first day of what is generated, from which ages are counted
STATISTICS = ["count", "sum", "mean", "max", "std"]
PROFILE = [
    "kyc_state",
    "screening_state",
    "reason_to_use_app",
    "has_biometrics",
    "is_adverse_media_minor",
    "is_pep",
]


def aggregates(folder: Path, customers: Sequence[str]) -> NDArray[np.float64]:
    """Amounts by type, state and direction, shares of these, and the profile: [customers, columns]."""
    moves, users = pd.read_csv(folder / "transactions.csv"), pd.read_csv(folder / "users.csv")
    amounts = moves.groupby("user_id").amount
    parts = [amounts.agg(STATISTICS)]
    for column in ("type", "state", "direction"):
        found = moves.pivot_table(index="user_id", columns=column, values="amount", aggfunc=STATISTICS)
        parts += [found, found["count"].div(amounts.count(), axis=0)]
    users = users.drop_duplicates("user_id", keep="last").set_index("user_id")
    parts.append(pd.get_dummies(users[PROFILE].astype(str)))
    born = pd.to_datetime(users.date_of_birth, errors="coerce")
    parts.append((BORN_BEFORE - born).dt.days.to_frame())
    numbered = [
        part.set_axis(range(part.shape[1]), axis=1).add_prefix(f"{k}_") for k, part in enumerate(parts)
    ]
    return pd.concat(numbered, axis=1).reindex(customers).fillna(0).to_numpy(np.float64)
