"""Each value of the table in values.md gets the one answer that the table has for it, through every door.

Here the stream and files; test_bigquery.py and test_rest.py are of the doors that need servers.
"""

import csv
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from features.events import BadEvent
from pipeline.files import BadFile, Place, read
from pipeline.job.translate import decode as decode_messages
from pipeline.pubsub.message import Message
from tests.doors.judging import Outcomes, parquet, published, wrong
from tests.doors.table import DOORS, NOW_US, USUAL, Case, array, arrow_type, cases, outcome, refused_columns

PROJECT = "local-project"


def test_the_table_is_read_whole() -> None:
    assert len(cases()) > 250 and len(refused_columns()) > 30
    assert len({str(case) for case in cases()}) == len(cases())
    assert {case.field for case in cases()} == set(DOORS.event_types["pay"].fields) - {"id"}


def through_the_stream(_: Path) -> Outcomes:
    written = [case for case in cases() if case.json is not None]
    messages = [
        Message(case.body, {"event_type": case.event_type}, str(i), NOW_US) for i, case in enumerate(written)
    ]
    decoded = decode_messages(DOORS, messages)
    assert decoded.events is not None
    for message, event in zip(decoded.messages, decoded.events.events, strict=True):
        case = written[int(message.message_id)]
        yield case, case.body.decode(), outcome(case, event)
    for reject in decoded.rejects:
        case = written[int(reject.message.message_id)]
        yield case, case.body.decode(), f"{reject.reason}: {reject.detail}"


def through_one_message_at_a_time(_: Path) -> Outcomes:
    for case in cases():
        if case.json is not None:
            decoded = decode_messages(
                DOORS, [Message(case.body, {"event_type": case.event_type}, "1", NOW_US)]
            )
            events = [] if decoded.events is None else decoded.events.events
            rejects = [BadEvent(reject.reason, reject.detail) for reject in decoded.rejects]
            yield case, case.body.decode(), outcome(case, *events, *rejects)


def through_json_lines(folder: Path) -> Outcomes:
    for i, case in enumerate(cases()):
        if case.json is not None:
            path = folder / f"{i}.jsonl"
            path.write_bytes(case.body)
            yield case, case.body.decode(), read_one(case, path, line=1)


def through_csv(folder: Path) -> Outcomes:
    for i, case in enumerate(cases()):
        if case.csv is not None:
            path = folder / f"{i}.csv"
            rows = USUAL | {case.field: case.csv}
            with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
                csv.writer(file).writerows([rows.keys(), rows.values()])
            yield case, case.csv, read_one(case, path, line=2)


def through_parquet(folder: Path) -> Outcomes:
    for i, case in enumerate(cases()):
        for k, (name, value) in enumerate(case.stored):
            path = folder / f"{i}-{k}.parquet"
            parquet(path, {case.field: array(name, [value])})
            yield case, f"{name} {value}", read_one(case, path, line=1)


def read_one(case: Case, path: Place, line: int) -> str:
    """Read the only row of a file, and decode what is published of it as the stream does."""
    (chunk,) = read(DOORS, case.event_type, path, NOW_US)
    if chunk.bad:
        (bad,) = chunk.bad
        assert (bad.line, len(chunk)) == (line, 0)
        return f"{bad.reason}: {bad.detail}"
    return published(case, chunk, 0)


WAYS = [
    through_the_stream, through_one_message_at_a_time, through_json_lines, through_csv, through_parquet,
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_value_gets_its_answer(way: Callable[[Path], Outcomes], tmp_path: Path) -> None:
    assert wrong(way(tmp_path)) == []


@pytest.mark.parametrize(("event_type", "field", "name"), refused_columns())
def test_a_column_of_another_type_is_refused_as_a_whole(
    event_type: str, field: str, name: str, tmp_path: Path
) -> None:
    path = tmp_path / "refused.parquet"
    parquet(path, {field: pa.nulls(1, arrow_type(name))})
    with pytest.raises(BadFile, match=f"column {field} holds .*, expected "):
        list(read(DOORS, event_type, path, NOW_US))
