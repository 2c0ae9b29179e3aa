"""Scored customers as a table, and the table as a file: CSV or Parquet, one row a customer, highest score first."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from export.levels import Level, Recommendation
from features.times import rfc3339
from pipeline.files import BadFile
from pipeline.files.spreadsheet import write_csv
from pipeline.scoring import NEVER_US, Scored

NO_SCORE = "no scored event"
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
    """Highest level first, then highest score; those without a score last."""
    score = np.nan_to_num(found.highest, nan=-1.0)
    return np.lexsort((np.array(found.customers, object), -score, -found.status["level"].astype(np.int64)))


def table(found: Scored) -> pa.Table:
    """The columns of the file. Empty: the customer has no scored event."""
    n, status = len(found), found.status
    columns = {
        found.use_case.subject: pa.array(found.customers, pa.string()),
        "events": pa.array(found.events),
        "scored_events": pa.array(found.scored),
        "score": _known(found.score),
        "scored_at": _moments(found.scored_us),
        "highest_score": _known(found.highest),
        "highest_score_at": _moments(found.highest_us),
        "level": pa.array(LEVELS[status["level"]].tolist()),
        "off_boarding": pa.array([OFF_BOARDING[each] for each in status["recommendation"].tolist()]),
        "since": _moments(np.where(status["since_us"] == 0, NEVER_US, status["since_us"])),
        "medium_from": pa.array(np.full(n, found.thresholds["medium"])),
        "high_from": pa.array(np.full(n, found.thresholds["high"])),
        "reasons": pa.array(texts(found)),
        "reason_features": pa.array([" ".join(reason.feature for reason in own) for own in found.reasons]),
        "model": pa.array([found.model] * n, pa.string()),
        "fingerprint": pa.array([found.use_case.fingerprint] * n, pa.string()),
    }
    return pa.table(columns).take(pa.array(order(found)))


def texts(found: Scored) -> list[str]:
    """What speaks for the highest score, in words."""
    return [
        " | ".join(map(str, own)) or (NO_REASON if scored else NO_SCORE)
        for own, scored in zip(found.reasons, found.scored.tolist(), strict=True)
    ]


def recommended(found: Scored) -> list[int]:
    """The rows of those whose off-boarding is recommended, the highest score first."""
    is_open = found.status["recommendation"] == Recommendation.OPEN
    return [row for row in order(found).tolist() if is_open[row]]


def off_boarding(found: Scored) -> list[dict[str, Any]]:
    """The off-boarding list, whole."""
    return [
        {
            found.use_case.subject: found.customers[row],
            "highest_score": float(found.highest[row]),
            "level": Level(found.status["level"][row]).name,
            "since": rfc3339(int(found.status["since_us"][row])),
            "reasons": list(map(str, found.reasons[row])),
            "reason_features": [reason.feature for reason in found.reasons[row]],
        }
        for row in recommended(found)
    ]


def listing(found: Scored, most: int) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The first of the off-boarding list for a person: titles, and a row for each with its first reasons."""
    titles = (found.use_case.subject, "highest_score", "level", "since", "first reasons")
    rows = [
        (
            found.customers[row],
            f"{found.highest[row]:.3f}",
            Level(found.status["level"][row]).name,
            rfc3339(int(found.status["since_us"][row]))[:16] + "Z",
            "; ".join(reason.fact for reason in found.reasons[row][:FIRST_REASONS]) or NO_REASON,
        )
        for row in recommended(found)[:most]
    ]
    return titles, rows


def summary(found: Scored) -> dict[str, Any]:
    """How many customers there are, on each level, and whose off-boarding is recommended."""
    levels = np.bincount(found.status["level"], minlength=len(Level)).tolist()
    return {
        "use_case": found.use_case.name,
        "fingerprint": found.use_case.fingerprint,
        "model": found.model,
        "customers": len(found),
        "levels": {level.name: n for level, n in zip(Level, levels, strict=True)},
        "off_boarding_recommended": len(recommended(found)),
        "without_score": int((found.scored == 0).sum()),
        "flat_features": list(found.flat),
    }


def told(facts: Mapping[str, Any]) -> list[str]:
    """The summary for a person."""
    levels = ", ".join(f"{n:,} {name}" for name, n in facts["levels"].items())
    flat = ", ".join(facts["flat_features"])
    return [
        f"{facts['customers']:,} customers: {levels}; off-boarding recommended for "
        f"{facts['off_boarding_recommended']:,}; {facts['without_score']:,} without a scored event",
        f"{facts['events']:,} events, {facts['bad']:,} bad rows, {facts['seconds']:.1f} s; model {facts['model']}",
        *([f"the same for all here, but not in training: {flat}"] if flat else []),
        f"customers: {facts['out']}",
        *([f"page: {facts['report']}"] if facts["report"] else []),
    ]


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


def _known(values: NDArray[np.float32]) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))


def _moments(times_us: NDArray[np.int64]) -> pa.Array:
    return pa.array(times_us, pa.int64(), mask=times_us == NEVER_US).cast(MOMENT)
