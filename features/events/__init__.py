"""Events: JSON bodies and rows of files into typed values, and batches of them as arrays in arrival order."""

from features.events.batch import Batch, make_batch
from features.events.bulk_decoding import decode_all
from features.events.columns import DAY_US, THURSDAY, Columns
from features.events.decoding import decode, event_id, event_ids, event_time_us, named_ids, to_json
from features.events.file_rows import (
    ISO_DATE,
    WHOLE_NUMBER,
    Cell,
    columns_of,
    from_row,
    reader,
    refuse_broken,
)
from features.events.presence import FieldUse, Presence, fields_of
from features.events.structs import (
    MAX_EVENT_BYTES,
    BadEvent,
    Codec,
    Event,
    codecs,
    days,
    known_codec,
    too_large,
)

__all__ = [
    "DAY_US",
    "ISO_DATE",
    "MAX_EVENT_BYTES",
    "THURSDAY",
    "WHOLE_NUMBER",
    "BadEvent",
    "Batch",
    "Cell",
    "Codec",
    "Columns",
    "Event",
    "FieldUse",
    "Presence",
    "codecs",
    "columns_of",
    "days",
    "decode",
    "decode_all",
    "event_id",
    "event_ids",
    "event_time_us",
    "fields_of",
    "from_row",
    "known_codec",
    "make_batch",
    "named_ids",
    "reader",
    "refuse_broken",
    "to_json",
    "too_large",
]
