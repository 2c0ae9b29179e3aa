"""Files (CSV, JSONL, Parquet) and tables of BigQuery to events: constant memory, file order, all accounted for.

A row becomes what will be published, or a `BadRow` with its line and why. Lines count from 1 and the header
is a line; rows of Parquet and of a table count from 1. Times are int64 microseconds since 1970 UTC.
"""

from pipeline.files.order import in_event_time
from pipeline.files.reading import Chunk, event_type_of, read
from pipeline.files.source import BadFile, BadRow, Place, place

__all__ = [
    "BadFile",
    "BadRow",
    "Chunk",
    "Place",
    "event_type_of",
    "history",
    "in_event_time",
    "place",
    "read",
    "source",
    "spreadsheet",
]
