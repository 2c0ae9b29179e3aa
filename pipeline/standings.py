"""Scored customers as a table, and the table as a file: CSV or Parquet, one row a customer, highest score first."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from export.levels import Level, Recommendation
from pipeline.files import BadFile
from pipeline.scoring import NEVER_US, Scored

NO_SCORE = "no scored event"
NO_REASON = "no single feature raises it"
MOMENT = pa.timestamp("us", "UTC")
LEVELS, RECOMMENDATIONS = (
    np.array([each.name for each in Level]),
    np.array([each.name for each in Recommendation]),
)


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
        "recommendation": pa.array(RECOMMENDATIONS[status["recommendation"]].tolist()),
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


def summary(found: Scored) -> dict[str, Any]:
    """How many customers there are, on each level, and to be parted with."""
    levels = np.bincount(found.status["level"], minlength=len(Level)).tolist()
    return {
        "use_case": found.use_case.name,
        "fingerprint": found.use_case.fingerprint,
        "model": found.model,
        "customers": len(found),
        "levels": {level.name: n for level, n in zip(Level, levels, strict=True)},
        "recommended": int((found.status["recommendation"] == Recommendation.OPEN).sum()),
        "without_score": int((found.scored == 0).sum()),
        "flat_features": list(found.flat),
    }


def told(facts: Mapping[str, Any]) -> list[str]:
    """The summary for a person."""
    levels = ", ".join(f"{n:,} {name}" for name, n in facts["levels"].items())
    return [
        f"{facts['customers']:,} customers: {levels}; {facts['recommended']:,} to part with, "
        f"{facts['without_score']:,} without a scored event",
        f"{facts['events']:,} events, {facts['bad']:,} bad rows, {facts['seconds']:.1f} s; model {facts['model']}",
        *(
            [f"the same for all here, but not in training: {', '.join(facts['flat_features'])}"]
            if facts["flat_features"]
            else []
        ),
        *(str(facts[name]) for name in ("out", "report") if facts[name]),
    ]


def write(rows: pa.Table, file: Path) -> None:
    """Writes the file, whole or not at all. Raises BadFile for an ending that is neither."""
    kind = check(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    if kind == ".csv":
        pa.csv.write_csv(rows, temporary)
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
