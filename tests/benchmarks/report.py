"""Figures of one run: a table beside their limits, a JSON file, and the comparison with an earlier file.

A row is a name, a value, a unit and its setting: everything that somebody needs to measure it again. Where runs are
short there are several, and the row's value is their median.
"""

import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table

ASSESS = "assess_events_per_s"
# What `assess` is measured against: how many times as fast it is, or what part of a limit it reaches.
BESIDE_ASSESS = (
    "textbook_zset_events_per_s",
    "limit_redis_cas_keys_per_s",
    "limit_onnx_rows_per_s",
    "limit_decode_events_per_s",
    "limit_beam_elements_per_s",
    "limit_beam_batched_events_per_s",
)
ASSESS_MANY = "assess_many_events_per_s"
BESIDE_ASSESS_MANY = ("limit_redis_many_keys_per_s",)
BESIDE_REPLAY = ("polars_replay_events_per_s",)
BESIDE_REPLAY_ALL = ("polars_replay_all_cores_events_per_s",)
STAGE = "_stage_"  # in the names of rows that only --profile shows
SHOWN_DIGITS = 4


class Row(NamedTuple):
    """One figure. Of several runs, `value` is the median and `setting` is that of the run which had it."""

    name: str
    value: float
    unit: str
    setting: str
    runs: Sequence[float] = ()  # the value of each run, in order; empty: there was one


class Report(msgspec.Struct, frozen=True):
    """The content of bench.json."""

    date: str
    command: str
    commit: str
    machine: Mapping[str, str]
    rows: list[Row]


def report(rows: Sequence[Row]) -> Report:
    """Return the rows with where, when and how they were measured."""
    return Report(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        command=f"python -m tests.benchmarks {' '.join(sys.argv[1:])}".strip(),
        commit=_commit(),
        machine=machine(),
        rows=list(rows),
    )


def medians(runs: Sequence[Sequence[Row]]) -> list[Row]:
    """Return the rows of several runs as one row a name: the lower median, and the value of each run."""
    if len(runs) == 1:
        return list(runs[0])
    by_name: dict[str, list[Row]] = {}
    for row in (row for rows in runs for row in rows):
        by_name.setdefault(row.name, []).append(row)
    return [_median(rows) for rows in by_name.values()]


def _median(rows: Sequence[Row]) -> Row:
    values = [row.value for row in rows]
    middle = statistics.median_low(values)
    return rows[values.index(middle)]._replace(runs=values)


def machine() -> dict[str, str]:
    """Describe the machine that the figures were measured on."""
    load = " ".join(f"{part:.1f}" for part in os.getloadavg())
    return {
        "cpu": _cpu(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "system": platform.platform(),
        "load": f"{load} (1, 5, 15 minutes, at the end)",
    }


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def write(found: Report, file: Path) -> None:
    """Write the file atomically."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    temporary.replace(file)


def read(file: Path) -> Report:
    """Read the report of an earlier run."""
    return msgspec.json.decode(file.read_bytes(), type=Report)


def show(found: Report, before: Report | None = None, stages: bool = True) -> None:
    """Print the table; with an earlier report also what changed. `stages`: also the rows of single stages."""
    values = {row.name: row.value for row in found.rows}
    earlier = {row.name: row.value for row in before.rows} if before else {}
    table = Table(
        title=f"{found.machine['cpu']}, {found.machine['cores']} cores, Python {found.machine['python']}"
    )
    table.add_column("name", no_wrap=True)
    for title in ("value", "unit", "runs", "beside it", *(["before", "change"] if before else [])):
        table.add_column(title, justify="left" if title == "unit" else "right", no_wrap=True)
    table.add_column("setting", overflow="fold")
    for row in (row for row in found.rows if stages or STAGE not in row.name):
        change = _change(row, earlier) if before else ()
        beside = _beside(row, values)
        table.add_row(row.name, _shown(row.value), row.unit, _spread(row), beside, *change, row.setting)
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10**SHOWN_DIGITS // 10 else f"{value:.{SHOWN_DIGITS}g}"


def _spread(row: Row) -> str:
    """Describe the runs that the row's value is the median of."""
    if not row.runs:
        return ""
    return f"median of {len(row.runs)}: {_shown(min(row.runs))} to {_shown(max(row.runs))}"


def _beside(row: Row, values: Mapping[str, float]) -> str:
    """Return the ratio of assess (or replay) to this figure."""
    beside = (
        (ASSESS, BESIDE_ASSESS),
        (ASSESS_MANY, BESIDE_ASSESS_MANY),
        ("replay_events_per_s", BESIDE_REPLAY),
        ("replay_all_cores_events_per_s", BESIDE_REPLAY_ALL),
    )
    for name, others in beside:
        if row.name in others and name in values and row.value:
            return f"{name.partition('_')[0]} is {values[name] / row.value:.2f} x"
    return ""


def _change(row: Row, earlier: Mapping[str, float]) -> tuple[str, str]:
    before = earlier.get(row.name)
    return (_shown(before), f"{row.value / before - 1:+.1%}") if before else ("", "")
