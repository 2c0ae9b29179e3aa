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
from pipeline.customers import NEVER_US, profile_types, scored_types
from pipeline.files import BadFile
from pipeline.files.spreadsheet import write_csv
from pipeline.scoring import Scored

NOT_SCORED = "NOT_SCORED"
NO_SCORE = "not scored: no scored event"
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
    """Highest level after the last event first, then highest score; customers that are not scored come last."""
    level = np.where(found.is_scored, found.status["level"].astype(np.int64), -1)
    score = np.nan_to_num(found.highest, nan=-1.0)
    return np.lexsort((np.array(found.customers, object), -score, -level))


def table(found: Scored) -> pa.Table:
    """The columns of the file.

    `level` and `off_boarding` are the state after the last event, `score` is that event's; `highest_level` and
    `highest_score` are the highest that there ever were. All of them are empty for a customer that is not scored, but
    for `off_boarding`, which says so.
    """
    n, status, is_scored = len(found), found.status, found.is_scored
    columns = {
        found.use_case.subject: pa.array(found.customers, pa.string()),
        "events": pa.array(found.events),
        "scored_events": pa.array(found.scored),
        "score": _known(found.score),
        "scored_at": _moments(found.scored_us),
        "level": _levels(status["level"], is_scored),
        "since": _moments(np.where(is_scored & (status["since_us"] != 0), status["since_us"], NEVER_US)),
        "off_boarding": pa.array(_states(found)),
        "highest_score": _known(found.highest),
        "highest_score_at": _moments(found.highest_us),
        "highest_level": _levels(found.highest_level, is_scored),
        "medium_from": pa.array(np.full(n, found.thresholds["medium"])),
        "high_from": pa.array(np.full(n, found.thresholds["high"])),
        "reasons": pa.array(texts(found)),
        "reason_features": pa.array([" ".join(reason.feature for reason in each) for each in found.reasons]),
        "model": pa.array([found.model] * n, pa.string()),
        "fingerprint": pa.array([found.use_case.fingerprint] * n, pa.string()),
    }
    return pa.table(columns).take(pa.array(order(found)))


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
    """The rows of those whose off-boarding is recommended, the highest score first."""
    is_open = found.with_recommendation(Recommendation.OPEN)
    return [row for row in order(found).tolist() if is_open[row]]


def off_boarding(found: Scored) -> list[dict[str, Any]]:
    """The off-boarding list, whole."""
    return [
        {
            found.use_case.subject: found.customers[row],
            "score": float(found.score[row]),
            "level": Level(found.status["level"][row]).name,
            "since": rfc3339(int(found.status["since_us"][row])),
            "highest_score": float(found.highest[row]),
            "highest_level": Level(found.highest_level[row]).name,
            "reasons": list(map(str, found.reasons[row])),
            "reason_features": [reason.feature for reason in found.reasons[row]],
        }
        for row in recommended(found)
    ]


def listing(found: Scored, most: int) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The first of the off-boarding list for a person: titles, and a row for each with its first reasons."""
    titles = (found.use_case.subject, "highest_score", "last_score", "level", "since", "first reasons")
    rows = [
        (
            found.customers[row],
            f"{found.highest[row]:.3f}",
            f"{found.score[row]:.3f}",
            Level(found.status["level"][row]).name,
            rfc3339(int(found.status["since_us"][row]))[:16] + "Z",
            "; ".join(reason.fact for reason in found.reasons[row][:FIRST_REASONS]) or NO_REASON,
        )
        for row in recommended(found)[:most]
    ]
    return titles, rows


def summary(found: Scored) -> dict[str, Any]:
    """How many customers the files have, on which level, and whose off-boarding is recommended.

    `scored` and `not_scored` add up to `customers`; so do `not_scored` and the counts of `levels` (after the last
    event), or of `highest_levels`. The counts of `rows` add up to the rows of the files.
    """
    use_case, profiles = found.use_case, profile_types(found.use_case)
    return {
        "use_case": use_case.name,
        "fingerprint": use_case.fingerprint,
        "model": found.model,
        "customers": len(found),
        "scored": int(found.is_scored.sum()),
        "not_scored": int((~found.is_scored).sum()),
        "scored_event_types": list(scored_types(use_case)),
        "without_profile": int((~found.has_profile).sum()) if profiles else None,
        "profile_event_types": list(profiles),
        "levels": {level.name: int(found.on(level).sum()) for level in Level},
        "highest_levels": {level.name: int(found.ever_on(level).sum()) for level in Level},
        "off_boarding_recommended": len(recommended(found)),
        "off_boarding_held": int(found.with_recommendation(Recommendation.HELD).sum()),
        "rows": found.rows,
        "flat_features": list(found.flat),
    }


def sentences(facts: Mapping[str, Any]) -> list[str]:
    """The summary for a person."""
    flat = ", ".join(facts["flat_features"])
    return [
        f"{facts['customers']:,} customers in the files: {facts['scored']:,} scored, {not_scored(facts)}",
        *([f"{without_profile(facts)}"] if facts["without_profile"] else []),
        f"level after the last event: {_counts(facts['levels'])}",
        f"highest level ever: {_counts(facts['highest_levels'])}",
        f"off-boarding recommended after the last event: {facts['off_boarding_recommended']:,}",
        f"{_rows(facts['rows'])}; {facts['seconds']:.1f} s; model {facts['model']}",
        *([f"the same for all here, but not in training: {flat}"] if flat else []),
        f"customers: {facts['out']}",
        *([f"page: {facts['report']}"] if facts["report"] else []),
    ]


def not_scored(facts: Mapping[str, Any]) -> str:
    """How many customers are not scored, and why."""
    events = " or ".join(facts["scored_event_types"])
    return f"{facts['not_scored']:,} not scored (no {events} event)"


def without_profile(facts: Mapping[str, Any]) -> str:
    """How many customers have no event that sets attributes."""
    events = " or ".join(facts["profile_event_types"])
    return f"{facts['without_profile']:,} customers without a profile (no {events} event)"


def _counts(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {name}" for name, n in numbers.items())


def _rows(rows: Mapping[str, int]) -> str:
    """What became of the rows of the files."""
    others = {
        "duplicates": "duplicates",
        "too_late": "too late",
        "not_counted": "not counted",
        "refused": "refused",
    }
    parts = [
        f"{rows['applied']:,} counted",
        *(f"{rows[key]:,} {word}" for key, word in others.items() if rows[key]),
    ]
    return f"{sum(rows.values()):,} rows: {', '.join(parts)}"


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


def _levels(levels: NDArray[np.integer], is_scored: NDArray[np.bool_]) -> pa.Array:
    return pa.array(LEVELS[levels].tolist(), pa.string(), mask=~is_scored)
