"""Scored customers as a table, and the table as a file: CSV or Parquet, one row a customer, highest score first."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from export.policy import Level, Recommendation
from features.times import rfc3339
from pipeline.batch.customer_state import NEVER_US, profile_types
from pipeline.batch.score import Scored
from pipeline.files import BadFile
from pipeline.files.spreadsheet import write_csv

NOT_SCORED = "NOT_SCORED"
NO_SCORE = "not scored: no usable event that is scored"
NO_REASON = "no single feature raises it"
FIRST_REASONS = 2  # that fit on a line
MOMENT = pa.timestamp("us", "UTC")
LEVELS = np.array([each.name for each in Level])
OFF_BOARDING = {  # the words of the column
    Recommendation.NONE: "NONE",
    Recommendation.OPEN: "RECOMMENDED",
    Recommendation.HELD: "HELD",  # it would be recommended, but the breaker is open
}


def order(found: Scored) -> NDArray[np.intp]:
    """Highest level after the last event first, then highest customer's score; those not scored come last."""
    level = np.where(found.is_scored, found.status["level"].astype(np.int64), -1)
    score = np.nan_to_num(found.customer_score, nan=-1.0)
    return np.lexsort((np.array(found.customers, object), -score, -level))


def table(found: Scored) -> pa.Table:
    """The columns of the file.

    `customer_score` ranks customers, as in the model's report: the mean of the latest scores (export.ranking).
    `level` and `off_boarding` are the state after the last event, `score` is that event's; `highest_level` and
    `highest_score` are the highest that there ever were. All of them are empty for a customer that is not scored, but
    for `off_boarding`, which says so. `has_profile` is empty if no event of the use case sets attributes.
    `learned_from`: whether the model has learned from the customer; `scored_by` is then the stand-in, if that has not.
    """
    n, status, is_scored = len(found), found.status, found.is_scored
    columns = {
        found.use_case.subject: pa.array(found.customers, pa.string()),
        "events": pa.array(found.events),
        "scored_events": pa.array(found.scored),
        "customer_score": _known(found.customer_score),
        "score": _known(found.score),
        "scored_at": _moments(found.scored_us),
        "level": _levels(status["level"], is_scored),
        "since": _moments(np.where(is_scored & (status["since_us"] != 0), status["since_us"], NEVER_US)),
        "off_boarding": pa.array(_states(found)),
        "highest_score": _known(found.highest),
        "highest_score_at": _moments(found.highest_us),
        "highest_level": _levels(found.highest_level, is_scored),
        "has_profile": pa.array(_profiles(found), pa.bool_()),
        "learned_from": pa.array(_learned(found)),
        "scored_by": pa.array(
            np.where(found.by_stand_in, "STAND_IN", "MODEL").tolist(), pa.string(), mask=~is_scored
        ),
        "medium_from": pa.array(np.full(n, found.thresholds["medium"])),
        "high_from": pa.array(np.full(n, found.thresholds["high"])),
        "reasons": pa.array(texts(found)),
        "reason_features": pa.array([" ".join(reason.feature for reason in each) for each in found.reasons]),
        "model": pa.array([found.model] * n, pa.string()),
        "fingerprint": pa.array([found.use_case.fingerprint] * n, pa.string()),
    }
    return pa.table(columns).take(pa.array(order(found)))


def _profiles(found: Scored) -> list[bool | None]:
    return found.has_profile.tolist() if profile_types(found.use_case) else [None] * len(found)


def _learned(found: Scored) -> list[str]:
    if found.learned_from is None:
        return ["NOT_KNOWN"] * len(found)
    return np.where(found.learned_from, "YES", "NO").tolist()


def _states(found: Scored) -> list[str]:
    states = found.status["recommendation"].tolist()
    return [
        OFF_BOARDING[state] if is_scored else NOT_SCORED
        for state, is_scored in zip(states, found.is_scored.tolist(), strict=True)
    ]


def texts(found: Scored) -> list[str]:
    """The reasons of each customer's highest score in one text."""
    return [
        " | ".join(map(str, each)) or (NO_REASON if scored else NO_SCORE)
        for each, scored in zip(found.reasons, found.scored.tolist(), strict=True)
    ]


def recommended(found: Scored) -> list[int]:
    """The rows of those whose off-boarding is recommended, the highest customer's score first."""
    is_open = found.with_recommendation(Recommendation.OPEN)
    return [row for row in order(found).tolist() if is_open[row]]


def off_boarding(found: Scored) -> list[dict[str, Any]]:
    """The off-boarding list, whole."""
    return [
        {
            found.use_case.subject: found.customers[row],
            "customer_score": float(found.customer_score[row]),
            "score": float(found.score[row]),
            "level": Level(found.status["level"][row]).name,
            "since": rfc3339(int(found.status["since_us"][row])),
            "highest_score": float(found.highest[row]),
            "highest_level": Level(found.highest_level[row]).name,
            "learned_from": None if found.learned_from is None else bool(found.learned_from[row]),
            "scored_by_stand_in": bool(found.by_stand_in[row]),
            "reasons": list(map(str, found.reasons[row])),
            "reason_features": [reason.feature for reason in found.reasons[row]],
        }
        for row in recommended(found)
    ]


def listing(found: Scored, most: int) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The first of the off-boarding list for a person: titles, and a row for each with its first reasons."""
    scores = ("customer_score", "last_score", "highest_score")
    titles = (found.use_case.subject, *scores, "level", "since", "learned_from", "first reasons")
    learned = _learned(found)
    rows = [
        (
            found.customers[row],
            f"{found.customer_score[row]:.3f}",
            f"{found.score[row]:.3f}",
            f"{found.highest[row]:.3f}",
            Level(found.status["level"][row]).name,
            rfc3339(int(found.status["since_us"][row]))[:16] + "Z",
            "STAND_IN" if found.by_stand_in[row] else learned[row],
            "; ".join(reason.fact for reason in found.reasons[row][:FIRST_REASONS]) or NO_REASON,
        )
        for row in recommended(found)[:most]
    ]
    return titles, rows


def write(rows: pa.Table, file: Path) -> None:
    """Write the file, whole or not at all. Raises BadFile for an ending that is neither.

    In CSV a text that a spreadsheet would run as a formula has an apostrophe before it; Parquet has it as it is.
    """
    kind = check(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    if kind == ".csv":
        write_csv(rows, temporary)
    else:
        pa.parquet.write_table(rows, temporary)
    temporary.replace(file)


def check(file: Path, endings: Sequence[str] = (".csv", ".parquet")) -> str:
    """The file's ending. Raises BadFile if it is none of these."""
    ending = file.suffix.lower()
    if ending not in endings:
        raise BadFile(f"{file}: found the ending {file.suffix!r}, expected {' or '.join(endings)}")
    return ending


def _known(values: NDArray[np.floating]) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))


def _moments(times_us: NDArray[np.int64]) -> pa.Array:
    return pa.array(times_us, pa.int64(), mask=times_us == NEVER_US).cast(MOMENT)


def _levels(levels: NDArray[np.integer], is_scored: NDArray[np.bool_]) -> pa.Array:
    return pa.array(LEVELS[levels].tolist(), pa.string(), mask=~is_scored)
