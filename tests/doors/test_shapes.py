"""The surroundings of values: headers, repeated and joined columns, bad rows beside good ones, equal ids."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.events import MAX_EVENT_BYTES
from features.usecase import parse
from pipeline.files import BadFile, Chunk, event_type_of, read
from tests.doors.judging import parquet, published
from tests.doors.table import DOORS, NOW_US, USUAL, array, cases
from tests.pipeline.shop import HEADER, SHOP

HEAD = "id,who,at\n"
GOOD = "1,Bob,2024-03-01 10:00:00\n"


def read_whole(path: Path, event_type: str = "pay") -> Chunk:
    (chunk,) = read(DOORS, event_type, path, NOW_US)
    return chunk


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_text(text, encoding, newline="")
    return path


@pytest.mark.parametrize("blank", ["\n", "\r\n\r\n", "\ufeff\n", "\n\n\n"])
def test_empty_lines_before_the_header_are_skipped_and_counted(tmp_path: Path, blank: str) -> None:
    path = written(tmp_path / "pay.csv", blank + HEAD + "\n" + GOOD + "\n2,Bob,soon\n")
    chunk = read_whole(path)
    first = len(blank.splitlines()) + 1
    assert (chunk.ids, [row.line for row in chunk.bad]) == (["1"], [first + 4])
    assert event_type_of(SHOP, written(tmp_path / "visit.csv", blank + "who,page\n")) == "visit"
    with pytest.raises(BadFile, match=f"line {first}: the header lacks who; found id, at"):
        read_whole(written(path, blank + "id,at\n"))


def test_repeated_columns_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pay.parquet"
    once = pa.table({name: pa.array([value]) for name, value in USUAL.items()})
    for repeated in ("who", "unknown"):
        table = pa.Table.from_arrays(
            [*once.columns, *[pa.array(["x"])] * 2], [*once.column_names, "unknown", repeated]
        )
        pq.write_table(table, path)
        with pytest.raises(BadFile, match=f"pay.parquet: it repeats {repeated}; found id, who, at, unknown"):
            read_whole(path)
        names = ",".join([*USUAL, "unknown", repeated])
        with pytest.raises(BadFile, match=f"the header repeats {repeated}; found id, who, at, unknown"):
            read_whole(written(tmp_path / "pay.csv", f"{names}\n"))


def test_the_rows_beside_one_that_no_date_or_time_holds_are_read(tmp_path: Path) -> None:
    path = tmp_path / "pay.parquet"
    parquet(path, {"born": array("date32", ["1990-01-31", "5881580-07-11", "null", "1991-01-31"])})
    dates = read_whole(path)
    assert ([row.line for row in dates.bad], len(dates)) == ([2], 3)
    assert "born: '5881580-07-11' is not a date" in dates.bad[0].detail
    parquet(
        path,
        {
            "at": array(
                "timestamp[ms]", ["56135-05-01T10:00:00", "2024-03-01T10:00:00", "586566-10-13T08:00:00"]
            )
        },
    )
    times = read_whole(path)
    assert ([row.line for row in times.bad], len(times)) == ([1, 3], 1)
    assert "at: '56135-05-01T10:00:00.000Z' is not a time" in times.bad[0].detail


def test_a_text_that_is_not_utf_8_is_one_bad_row_of_its_column(tmp_path: Path) -> None:
    parquet(tmp_path / "pay.parquet", {"note": array("bytes", ['"a"', '"\\udcff"', '" b "'])})
    chunk = read_whole(tmp_path / "pay.parquet")
    assert ([row.line for row in chunk.bad], len(chunk)) == ([2], 2)
    assert chunk.bad[0].detail.startswith("note: '\\udcff' is not a text in Unicode")
    assert b'"note":"b"' in chunk.bodies[1]


def test_a_row_that_the_job_would_find_too_large_is_bad_in_a_file_too(tmp_path: Path) -> None:
    notes = {1: "x" * (MAX_EVENT_BYTES - 200), 2: "x" * MAX_EVENT_BYTES}
    at = "2024-03-01 10:00:00"
    rows = "".join(f"{i},Bob,{at},{note}\n" for i, note in notes.items())
    lines = "".join(f'{{"id":"{i}","who":"Bob","at":"{at}","note":"{note}"}}\n' for i, note in notes.items())
    path = written(tmp_path / "pay.csv", f"id,who,at,note\n{rows}")
    for found in (read_whole(path), read_whole(written(tmp_path / "pay.jsonl", lines))):
        assert found.ids == ["1"] and found.bad[0].reason == "undecodable"
        assert f"bytes; an event has at most {MAX_EVENT_BYTES}" in found.bad[0].detail


def test_the_first_object_of_json_lines_tells_the_fields_whatever_stands_before_it(tmp_path: Path) -> None:
    lines = '\n{"cut off\n[1]\n{"who": "anna", "page": 1e309}\n'
    assert event_type_of(SHOP, written(tmp_path / "visits.jsonl", lines)) == "visit"
    with pytest.raises(BadFile, match="line 2: expected one JSON object a line"):
        event_type_of(SHOP, written(tmp_path / "none.jsonl", "\n[1]\n7\n"))
    with pytest.raises(BadFile, match="nothing is in it"):
        event_type_of(SHOP, written(tmp_path / "empty.jsonl", "\n"))


def test_values_in_one_file_get_the_answers_that_they_get_alone(tmp_path: Path) -> None:
    """The long way of a row must not change the rows around it, nor theirs its own."""
    some = [case for case in cases() if case.event_type == "pay" and case.json is not None]
    path = tmp_path / "pay.jsonl"
    path.write_bytes(
        b"\n".join(case.body.replace(b'"id": "1"', b'"id": "%d"' % i) for i, case in enumerate(some))
    )
    chunk = read_whole(path)
    became = {int(name): published(some[int(name)], chunk, row) for row, name in enumerate(chunk.ids)}
    became |= {row.line - 1: f"{row.reason}: {row.detail}" for row in chunk.bad}
    assert sorted(became) == list(range(len(some)))
    assert [str(case) for i, case in enumerate(some) if not case.is_answered_by(became[i])] == []


def test_a_padded_id_is_the_same_customer_and_event_by_every_door(tmp_path: Path) -> None:
    rows = HEAD + "1 ,Bob   ,2024-03-01 10:00:00\n"
    lines = '{"id":"1 ","who":"Bob   ","at":"2024-03-01 10:00:00"}\n{"id":"1","who":"Bob","at":"2024-03-01 10:00:00"}'
    parquet(
        tmp_path / "pay.parquet", {"who": array("string", ['"Bob   "']), "id": array("string", ['"1  "'])}
    )
    for chunk in (
        read_whole(written(tmp_path / "pay.csv", rows)),
        read_whole(written(tmp_path / "pay.jsonl", lines)),
        read_whole(tmp_path / "pay.parquet"),
    ):
        assert set(zip(chunk.ids, chunk.subjects, strict=True)) == {("1", "Bob")}


SALE = "s1;anna;12,50;;;;;;{};{};"


@pytest.mark.parametrize(
    ("day", "hour", "detail"),
    [
        ("02.01.2024", "", "ordered_at: hour is empty; expected a time of the columns day, hour together"),
        ("", "09:15", "ordered_at: day is empty; expected a time of the columns day, hour together"),
        ("N/A", "-", "ordered_at: missing, expected a time"),
    ],
)
def test_joined_columns_tell_which_of_them_is_empty(tmp_path: Path, day: str, hour: str, detail: str) -> None:
    path = written(tmp_path / "sales.csv", f"{HEADER}\n{SALE.format(day, hour)}\n")
    (chunk,) = read(SHOP, "sale", path, NOW_US)
    assert len(chunk) == 0 and chunk.bad[0].detail.startswith(detail)


def test_an_optional_field_of_several_columns_is_missing_only_if_all_are_empty(tmp_path: Path) -> None:
    text = SHOP.text.replace("columns: {ordered_at: [day, hour]}", 'columns: {"paid at": [day, hour]}')
    shop = parse(text, "shop.yaml")
    head = "sale_id;who;price;ordered_at;"
    row = "s1;anna;1;02.01.2024 10:00;"
    rows = "\n".join(row + parts for parts in ("03.01.2024;09:15", ";", "03.01.2024;", ";09:15"))
    (chunk,) = read(shop, "sale", written(tmp_path / "sales.csv", f"{head}day;hour\n{rows}\n"), NOW_US)
    assert [b"paid at" in body for body in chunk.bodies] == [True, False]
    assert [(bad.line, bad.detail[:23]) for bad in chunk.bad] == [
        (4, "paid at: hour is empty;"), (5, "paid at: day is empty; "),
    ]  # fmt: skip
    with pytest.raises(
        BadFile, match="the header lacks hour, without which paid at has only a part of day, hour"
    ):
        list(read(shop, "sale", written(tmp_path / "sales.csv", f"{head}day\n{row}\n"), NOW_US))


def test_dates_in_columns_of_text_are_written_as_the_file_section_says(tmp_path: Path) -> None:
    shop = parse(SHOP.text.replace("      columns: {ordered_at: [day, hour]}\n", ""), "shop.yaml")
    usual = {"sale_id": "s1", "who": "anna", "ordered_at": "02.01.2024 10:00"}
    columns = {name: pa.array([value] * 4) for name, value in usual.items()}
    births = pa.array(["24/12/1990", "1990-12-24", "-", "24.12.1990"])
    pq.write_table(pa.table({**columns, "price": np.ones(4), "birthday": births}), tmp_path / "sales.parquet")
    (chunk,) = read(shop, "sale", tmp_path / "sales.parquet", NOW_US)
    assert [b'"birthday":"1990-12-24"' in body for body in chunk.bodies] == [True, True, False]
    assert chunk.bad[0].line == 4 and "birthday: '24.12.1990' is not a date" in chunk.bad[0].detail
