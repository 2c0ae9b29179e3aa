"""Files (CSV, JSONL, Parquet) to events, in constant memory, in file order, nothing dropped in silence.

A row becomes what will be published, or a `BadRow` with its line and why. Lines count from 1 and the header
is a line; rows of a Parquet file count from 1. Times are int64 microseconds since 1970 UTC.
"""

from pipeline.files.reading import Chunk, event_type_of, read
from pipeline.files.source import BadFile, BadRow

__all__ = ["BadFile", "BadRow", "Chunk", "event_type_of", "read"]
