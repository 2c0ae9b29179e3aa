"""The customer table: one row a scored customer, highest score first; written as CSV or Parquet."""

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
OFF_BOARDING = {  # as the column has them
    Recommendation.NONE: "NONE",
    Recommendation.OPEN: "RECOMMENDED",
    Recommendation.HELD: "HELD",  # it would be recommended, but the breaker is open
}


def order(results: Scored) -> NDArray[np.intp]:
    """Return the order of rows: by level after the last event, then customer score; customers not scored are last."""
    level = np.where(results.is_scored, results.status["level"].astype(np.int64), -1)
    score = np.nan_to_num(results.customer_score, nan=-1.0)
    return np.lexsort((np.array(results.customers, object), -score, -level))


def table(results: Scored) -> pa.Table:
    """Return the customer table.

    `customer_score` ranks customers, as in the model's report: the mean of the latest scores (export.ranking).
    `level` and `off_boarding` are the state after the last event, `score` is that event's; `highest_level` and
    `highest_score` are the highest that there ever were. All of them are empty for a customer that is not scored, but
    for `off_boarding`, which says so. `has_profile` is empty if no event of the use case sets attributes.
    `learned_from` says if the model has learned from the customer; `scored_by` is then the stand-in, if that has not.
    """
    n, status, is_scored = len(results), results.status, results.is_scored
    columns = {
        results.use_case.subject: pa.array(results.customers, pa.string()),
        "events": pa.array(results.events),
        "scored_events": pa.array(results.scored),
        "customer_score": _known(results.customer_score),
        "score": _known(results.score),
        "scored_at": _moments(results.scored_us),
        "level": _levels(status["level"], is_scored),
        "since": _moments(np.where(is_scored & (status["since_us"] != 0), status["since_us"], NEVER_US)),
        "off_boarding": pa.array(_states(results)),
        "highest_score": _known(results.highest),
        "highest_score_at": _moments(results.highest_us),
        "highest_level": _levels(results.highest_level, is_scored),
        "has_profile": pa.array(_profiles(results), pa.bool_()),
        "learned_from": pa.array(_learned(results)),
        "scored_by": pa.array(
            np.where(results.by_stand_in, "STAND_IN", "MODEL").tolist(), pa.string(), mask=~is_scored
        ),
        "medium_from": pa.array(np.full(n, results.thresholds["medium"])),
        "high_from": pa.array(np.full(n, results.thresholds["high"])),
        "reasons": pa.array(texts(results)),
        "reason_features": pa.array(
            [" ".join(reason.feature for reason in each) for each in results.reasons]
        ),
        "model": pa.array([results.model] * n, pa.string()),
        "fingerprint": pa.array([results.use_case.fingerprint] * n, pa.string()),
    }
    return pa.table(columns).take(pa.array(order(results)))


def _profiles(results: Scored) -> list[bool | None]:
    has_profile: list[bool | None] = results.has_profile.tolist()
    return has_profile if profile_types(results.use_case) else [None] * len(results)


def _learned(results: Scored) -> list[str]:
    if results.learned_from is None:
        return ["NOT_KNOWN"] * len(results)
    return ["YES" if is_learned else "NO" for is_learned in results.learned_from.tolist()]


def _states(results: Scored) -> list[str]:
    states = results.status["recommendation"].tolist()
    return [
        OFF_BOARDING[state] if is_scored else NOT_SCORED
        for state, is_scored in zip(states, results.is_scored.tolist(), strict=True)
    ]


def texts(results: Scored) -> list[str]:
    """Return the reasons of each customer's highest score in one text."""
    return [
        " | ".join(map(str, each)) or (NO_REASON if scored else NO_SCORE)
        for each, scored in zip(results.reasons, results.scored.tolist(), strict=True)
    ]


def recommended(results: Scored) -> list[int]:
    """Return the rows of customers whose off-boarding is recommended, the highest customer score first."""
    is_open = results.with_recommendation(Recommendation.OPEN)
    return [row for row in order(results).tolist() if is_open[row]]


def off_boarding(results: Scored) -> list[dict[str, Any]]:
    """Return the whole off-boarding list, as facts for JSON."""
    return [
        {
            results.use_case.subject: results.customers[row],
            "customer_score": float(results.customer_score[row]),
            "score": float(results.score[row]),
            "level": Level(results.status["level"][row]).name,
            "since": rfc3339(int(results.status["since_us"][row])),
            "highest_score": float(results.highest[row]),
            "highest_level": Level(results.highest_level[row]).name,
            "learned_from": None if results.learned_from is None else bool(results.learned_from[row]),
            "scored_by_stand_in": bool(results.by_stand_in[row]),
            "reasons": list(map(str, results.reasons[row])),
            "reason_features": [reason.feature for reason in results.reasons[row]],
        }
        for row in recommended(results)
    ]


def listing(results: Scored, most: int) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the head of the off-boarding list as text: titles, and a row for each customer with its first reasons."""
    scores = ("customer_score", "last_score", "highest_score")
    titles = (results.use_case.subject, *scores, "level", "since", "learned_from", "first reasons")
    learned = _learned(results)
    rows: list[tuple[str, ...]] = [
        (
            results.customers[row],
            f"{results.customer_score[row]:.3f}",
            f"{results.score[row]:.3f}",
            f"{results.highest[row]:.3f}",
            Level(results.status["level"][row]).name,
            rfc3339(int(results.status["since_us"][row]))[:16] + "Z",
            "STAND_IN" if results.by_stand_in[row] else learned[row],
            "; ".join(reason.fact for reason in results.reasons[row][:FIRST_REASONS]) or NO_REASON,
        )
        for row in recommended(results)[:most]
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
    """Return the file's ending. Raises BadFile if it is none of these."""
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
