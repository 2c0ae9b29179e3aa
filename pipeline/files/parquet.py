"""Parquet: values keep the type they are stored with, nothing is guessed from text (arrow.py)."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from features.usecase import EventType, UseCase
from pipeline.files import arrow
from pipeline.files.source import CHUNK_ROWS, Rows


def columns(_use_case: UseCase, path: Path) -> list[str]:
    return list(pq.read_schema(path).names)


def rows(use_case: UseCase, event_type: EventType, path: Path) -> Iterator[Rows]:
    """Yield the rows of the file. Raises BadFile for columns that are missing or of another type."""
    with pq.ParquetFile(path) as file:
        converts = arrow.converts(use_case, event_type, path, file.schema_arrow)
        batches = file.iter_batches(CHUNK_ROWS, columns=[column for column, _ in converts.values()])
        yield from arrow.rows(event_type, converts, batches)
