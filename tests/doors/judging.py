"""Shared parts of the tests of all doors: files to read, the fate of a row, and whether the table expects it."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.events import decode
from pipeline.files import Chunk
from tests.doors.table import DOORS, NOW_US, USUAL, Case, outcome

Outcomes = Iterator[tuple[Case, str, str]]  # case, what the door was given, what became of it


def parquet(path: Path, columns: Mapping[str, pa.Array]) -> None:
    """A file with these columns, the usual ones beside them."""
    n = len(next(iter(columns.values())))
    usual = {name: pa.array([value] * n) for name, value in USUAL.items()}
    pq.write_table(pa.table({**usual, **columns}), path)


def published(case: Case, chunk: Chunk, row: int) -> str:
    event = decode(DOORS, case.event_type, chunk.bodies[row], NOW_US)
    assert chunk.subjects[row] == event.who  # type: ignore[attr-defined]
    return outcome(case, event)


def wrong(outcomes: Outcomes) -> list[str]:
    """Those that the table does not expect."""
    looked_at = list(outcomes)
    assert len(looked_at) > 100
    return [
        f"{case}: {given[:80]!r} became {became}, expected {case.expected}"
        for case, given, became in looked_at
        if not case.is_answered_by(became)
    ]
