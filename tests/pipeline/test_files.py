"""Every row of a file is an event or a bad row with its line; the quick way reads as the sure one does."""

import csv
import json
import os
import random
import tracemalloc
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.events import BadEvent, event_id, event_time_us, from_row, to_json
from features.usecase import UseCase, load, parse
from pipeline.files import BadFile, BadRow, Chunk, event_type_of, read
from tests.pipeline.shop import HEADER, SHOP, sales_file
from training.generate import Dirt, generate

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("RISKSTREAM_DATA", ROOT.parent / "shared" / "data"))
OFFBOARDING = load(ROOT / "usecases" / "offboarding.yaml")
NOW_US = 1_735_732_800_000_000  # 2025-01-01 12:00 UTC
GOOD = "s1;anna;12,50;3;ja;FOOD;24/12/1990;02.01.2024 10:30;02.01.2024;09:15;-"


def all_of(use_case: UseCase, event_type: str, path: Path, **dated: int) -> Chunk:
    """The file as one chunk."""
    chunks = list(read(use_case, event_type, path, NOW_US, **dated))
    return Chunk(
        bodies=[body for chunk in chunks for body in chunk.bodies],
        ids=[text for chunk in chunks for text in chunk.ids],
        subjects=[text for chunk in chunks for text in chunk.subjects],
        time_us=[int(time) for chunk in chunks for time in chunk.time_us],  # type: ignore[arg-type]
        bad=[row for chunk in chunks for row in chunk.bad],
    )


def sales(folder: Path, *rows: str, **how: str) -> Chunk:
    return all_of(SHOP, "sale", sales_file(folder, *rows, **how))


def us(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[misc, arg-type]


def test_a_row_becomes_the_event_that_its_file_section_describes(tmp_path: Path) -> None:
    found = sales(tmp_path, GOOD)
    assert json.loads(found.bodies[0]) == {
        "sale_id": "s1", "who": "anna", "price": 12.5, "pieces": 3, "gift": True, "kind": "FOOD",
        "birthday": "1990-12-24", "paid at": "02.01.2024 10:30", "ordered_at": "02.01.2024 09:15",
    }  # fmt: skip
    assert (found.ids, found.subjects, found.bad) == (["s1"], ["anna"], [])
    assert found.time_us == [us(2024, 1, 2, 9, 30)]


def test_what_is_wrong_with_a_row_is_told_with_its_line(tmp_path: Path) -> None:
    broken = {
        "s2;anna;12.50;;;;;;02.01.2024;09:15;": "price: '12.50' is not a number of at least 0, written with ','",
        "s2;anna;-1;;;;;;02.01.2024;09:15;": "price: -1.0 is not a number of at least 0",
        "s2;anna;nan;;;;;;02.01.2024;09:15;": "price: 'nan' is not a number",
        "s2;anna;;;;;;;02.01.2024;09:15;": "price: missing, expected a number",
        "s2;anna;1;1,5;;;;;02.01.2024;09:15;": "pieces: '1,5' is not a whole number",
        "s2;anna;1;;yes;;;;02.01.2024;09:15;": "gift: 'yes' is not true or false, written ja or nein",
        "s2;anna;1;;;BOOKS;;;02.01.2024;09:15;": "kind: 'BOOKS' is not one of FOOD, TOYS",
        "s2;anna;1;;;;31/02/1990;;02.01.2024;09:15;": "birthday: '31/02/1990' is not a date",
        "s2;anna;1;;;;;;02.13.2024;09:15;": "ordered_at: '02.13.2024 09:15' is not a time",
        "s2;anna;1;;;;;;N/A;09:15;": "ordered_at: day is empty; expected a time of the columns day, hour together",
        "s2;anna;1;;;;;;-;;": "ordered_at: missing, expected a time",
        "s2;anna;1;;;;;;02.01.2024": "9 columns, expected 11",
        "s2;anna;1;;;;;;02.01.2024;09:15;;;": "13 columns, expected 11",
        "s2;anna;1;;;;;;02.01.2034;09:15;": "is more than 300 s after",
        's2;"an"na;1;;;;;;02.01.2024;09:15;': "no CSV from here to the end of line",
    }
    found = sales(tmp_path, GOOD, *(row for wrong in broken for row in (wrong, GOOD)))
    assert [row.line for row in found.bad] == [3 + 2 * i for i in range(len(broken))]
    for row, expected in zip(found.bad, broken.values(), strict=True):
        assert expected in row.detail
    assert {row.reason for row in found.bad} == {"undecodable", "invalid", "from_future"}
    assert len(found) == 1 + len(broken)


def test_lines_are_those_of_the_file_also_when_quoted_texts_have_several(tmp_path: Path) -> None:
    long = GOOD.removesuffix("-") + '"a note\nof three lines;\n""and quotes"""'
    found = sales(tmp_path, long, "bad;row", "", long, "", "bad;row", GOOD)
    assert [row.line for row in found.bad] == [5, 11]
    assert json.loads(found.bodies[0])["note"] == 'a note\nof three lines;\n"and quotes"'
    assert len(found) == 3


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_lines_may_end_in_any_way(tmp_path: Path, end: str) -> None:
    path = tmp_path / "sales.csv"
    path.write_bytes(end.join((HEADER, GOOD, "bad", GOOD)).encode())
    found = all_of(SHOP, "sale", path)
    assert ([row.line for row in found.bad], len(found)) == ([3], 2)


def test_a_quote_that_never_ends_swallows_nothing_in_silence(tmp_path: Path) -> None:
    found = sales(tmp_path, GOOD, GOOD.replace("anna", '"anna'), *[GOOD] * 5)
    assert len(found) == 1
    assert found.bad == [
        BadRow(3, "undecodable", "no CSV from here to the end of line 8: unexpected end of data")
    ]


def test_a_text_too_long_for_csv_is_a_bad_row_and_reading_goes_on(tmp_path: Path) -> None:
    found = sales(tmp_path, GOOD, GOOD + "x" * 1_200_000, GOOD)
    assert (len(found), found.bad[0].line) == (2, 3)


def test_a_bom_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    assert len(sales(tmp_path, GOOD, encoding="utf-8-sig")) == 1


def test_bytes_of_another_encoding_make_only_their_rows_bad(tmp_path: Path) -> None:
    path = sales_file(tmp_path, GOOD)
    path.write_bytes(path.read_bytes() + GOOD.replace("anna", "zoé").encode("cp1252") + b"\n" + GOOD.encode())
    found = all_of(SHOP, "sale", path)
    assert (len(found), [row.line for row in found.bad]) == (2, [3])
    assert "who" in found.bad[0].detail and "declare the file's encoding" in found.bad[0].detail


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "latin-1"])
def test_the_declared_encoding_is_used(tmp_path: Path, encoding: str) -> None:
    use_case = parse(SHOP.text.replace("encoding: utf-8", f"encoding: {encoding}"), "shop.yaml")
    path = sales_file(tmp_path, GOOD.replace("anna", "zoé"), encoding=encoding)
    assert all_of(use_case, "sale", path).subjects == ["zoé"]


def test_a_header_that_does_not_fit_is_refused_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "sales.csv"
    for header, expected in (
        ("sale_id;who;day;hour", "lacks price"),
        (HEADER.replace(";", ","), "lacks sale_id, who, price, day, hour"),
        (HEADER + ";who", "repeats who"),
    ):
        path.write_text(f"{header}\n{GOOD}\n")
        with pytest.raises(BadFile, match=expected):
            all_of(SHOP, "sale", path)
    path.write_text("\n\n")
    with pytest.raises(BadFile, match="found nothing"):
        all_of(SHOP, "sale", path)
    with pytest.raises(BadFile, match=r"sales\.xls: found the ending '\.xls', expected one of \.csv"):
        all_of(SHOP, "sale", tmp_path / "sales.xls")
    with pytest.raises(BadFile, match="cannot be read"):
        all_of(SHOP, "sale", tmp_path / "none.csv")


CELLS = {
    "sale_id": ["s1", " s 2 ", "", "N/A", "ü", "x" * 201],
    "who": ["anna", "b:c", "-", "\U0001f600"],
    "price": [
        "1",
        "1,5",
        "1.5",
        "-1",
        "1e3",
        "1_0",
        "inf",
        "nan",
        " 2 ",
        "1,",
        ",5",
        "1e999",
        "٣",
        "1,5,5",
        "N/A",
    ],
    "pieces": ["1", "+1", "1.0", "", "1e3", "9" * 18, "9" * 17, "1_0", "-"],
    "gift": ["ja", "nein", "JA", "true", "", "1"],
    "kind": ["FOOD", "food", "", "TOYS "],
    "birthday": ["24/12/1990", "1990-12-24", "19901224", "1990-13-01", "", "1/2/1990"],
    "paid at": ["02.01.2024 10:30", "2024-01-02T10:30:00Z", "2024-01-02 10:30:00", "", "N/A", "yesterday"],
    "day": ["02.01.2024", "", "32.01.2024", "02.01.2040"],
    "hour": ["09:15", "", "9:15", "25:00"],
    "note": ["", "-", "a b", 'say "hi"', "a;b", "a\nb", "\ud800", "{}"],
}


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=st.lists(
        st.fixed_dictionaries({k: st.sampled_from(v) for k, v in CELLS.items()}), min_size=1, max_size=8
    )
)
def test_many_rows_at_once_read_as_one_row_does(tmp_path: Path, rows: list[dict[str, str]]) -> None:
    path = tmp_path / "sales.csv"
    with path.open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        writer = csv.DictWriter(file, list(CELLS), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        expected = [one_row(row) for row in csv.DictReader(file, delimiter=";")]
    found = all_of(SHOP, "sale", path)
    good = [row for row in expected if not isinstance(row, BadEvent)]
    assert list(zip(found.bodies, found.ids, found.time_us, strict=True)) == good
    bad = [(row.reason, row.detail) for row in expected if isinstance(row, BadEvent)]
    assert [(row.reason, row.detail) for row in found.bad] == bad


def one_row(row: Mapping[str, str]) -> tuple[bytes, str, int] | BadEvent:
    try:
        event = from_row(SHOP, "sale", row, NOW_US)
    except BadEvent as error:
        return error
    return to_json(event), event_id(SHOP, "sale", event), event_time_us(event)


def test_generated_files_are_read_as_they_were_written(tmp_path: Path) -> None:
    made = generate(
        60, 60, 11, tmp_path, dirt=Dirt(duplicate_rows=0.03, missing_values=0.1, repeated_users=0.2)
    )
    users = all_of(OFFBOARDING, "customer", tmp_path / "users.csv", published_us=us(2024, 6, 1))
    moves = all_of(OFFBOARDING, "transaction", tmp_path / "transactions.csv")
    assert (users.bad, moves.bad) == ([], [])
    assert (len(users), len(moves)) == (
        made.user_rows,
        made.transaction_rows + moves.ids.__len__() - len(moves.ids),
    )
    assert set(users.time_us) == {us(2024, 6, 1)}
    with (tmp_path / "transactions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert moves.ids == [f"{row['id']}:{row['state']}" for row in rows]
    assert moves.subjects == [row["user_id"] for row in rows]


def test_events_without_a_time_are_dated_now_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "visits.csv"
    path.write_text("who,page\nanna,home\n")
    assert all_of(SHOP, "visit", path).time_us == [NOW_US]
    assert all_of(SHOP, "visit", path, published_us=us(2020, 1, 1)).time_us == [us(2020, 1, 1)]
    late = all_of(SHOP, "visit", path, published_us=NOW_US + 301_000_000)
    assert [row.reason for row in late.bad] == ["from_future"]


def test_json_lines_are_published_as_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "sales.jsonl"
    good = b'{"sale_id": "s1", "who": "anna", "price": 1, "ordered_at": "2024-01-02T08:00:00Z", "more": [1]}'
    lines = [
        b"\xef\xbb\xbf" + good,
        b"",
        b"{",
        b'{"sale_id": "s1"}',
        b"[1]",
        b" " + good + b"\r",
        b"\xff",
        good,
    ]
    path.write_bytes(b"\n".join(lines))
    found = all_of(SHOP, "sale", path)
    assert found.bodies == [good] * 3
    assert [(row.line, row.reason) for row in found.bad] == [
        (3, "undecodable"), (4, "invalid"), (5, "undecodable"), (7, "undecodable"),
    ]  # fmt: skip
    assert found.bad[1].detail == "who: missing, expected a text"


def test_a_line_too_long_for_pubsub_is_bad_and_the_next_one_is_read(tmp_path: Path) -> None:
    path = tmp_path / "visits.jsonl"
    visit = b'{"who": "anna", "page": "%s"}\n'
    with path.open("wb") as file:
        file.writelines(visit % (b"x" * size) for size in (1, 25_000_000, 2, 9_500_000, 3))
    found = all_of(SHOP, "visit", path)
    assert ([row.line for row in found.bad], len(found)) == ([2, 4], 3)


SALES = pa.schema(
    [
        ("sale_id", pa.int64()),
        ("who", pa.dictionary(pa.int32(), pa.string())),
        ("price", pa.decimal128(10, 2)),
        ("pieces", pa.float64()),
        ("gift", pa.bool_()),
        ("kind", pa.string()),
        ("birthday", pa.date32()),
        ("paid at", pa.timestamp("ns")),
        ("ordered_at", pa.timestamp("ms", tz="America/New_York")),
        ("unknown", pa.list_(pa.int8())),
    ]
)
PARQUET_SHOP = parse(SHOP.text.replace("      columns: {ordered_at: [day, hour]}\n", ""), "shop.yaml")


def parquet(folder: Path, rows: Iterable[Mapping[str, Any]], schema: pa.Schema = SALES) -> Path:
    path = folder / "sales.parquet"
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), path)
    return path


def sale(**changed: Any) -> dict[str, Any]:
    usual = {
        "sale_id": 7, "who": "anna", "price": None, "pieces": 3.0, "gift": False, "kind": "TOYS",
        "birthday": date(1990, 12, 24), "paid at": datetime(2024, 1, 2, 10, 30),
        "ordered_at": datetime(2024, 1, 2, 9, 15, tzinfo=UTC),
    }  # fmt: skip
    return {**usual, "price": "12.50", **changed}


def test_parquet_keeps_the_types_it_has(tmp_path: Path) -> None:
    schema = SALES.set(2, pa.field("price", pa.float32()))
    found = all_of(PARQUET_SHOP, "sale", parquet(tmp_path, [sale(price=12.5)], schema))
    assert found.bad == []
    assert json.loads(found.bodies[0]) == {
        "sale_id": "7", "who": "anna", "price": 12.5, "pieces": 3, "gift": False, "kind": "TOYS",
        "birthday": "1990-12-24", "paid at": "2024-01-02T09:30:00.000000Z",  # Paris, as declared
        "ordered_at": "2024-01-02T09:15:00.000000Z",
    }  # fmt: skip


def test_what_parquet_rows_lack_or_exaggerate_is_told_by_row(tmp_path: Path) -> None:
    schema = SALES.set(2, pa.field("price", pa.float64()))
    nan, inf = float("nan"), float("inf")
    rows = [
        sale(price=1.0, pieces=nan, kind="N/A", gift=None),
        sale(price=nan), sale(price=inf), sale(price=1.0, pieces=1.5), sale(price=1.0, pieces=-inf),
        sale(price=1.0, kind="BOOKS"), sale(price=1.0, who=None), sale(price=None),
    ]  # fmt: skip
    found = all_of(PARQUET_SHOP, "sale", parquet(tmp_path, rows, schema))
    assert not {"pieces", "kind", "gift"} & set(json.loads(found.bodies[0]))
    details = [
        "price: missing", "price: 'inf' is not", "pieces: 1.5 is not a whole", "pieces: '-inf' is not",
        "kind: 'BOOKS' is not", "who: missing", "price: missing",
    ]  # fmt: skip
    assert [row.line for row in found.bad] == list(range(2, 9))
    for row, expected in zip(found.bad, details, strict=True):
        assert row.detail.startswith(expected)


@pytest.mark.parametrize(
    ("stored", "codes", "read", "wrong"),
    [
        (pa.int64(), [0, 1, None, 2], ["0", "1"], "'2'"),
        (pa.float64(), [0.0, 1.0, float("nan"), 0.5], ["0", "1"], "0.5"),
        (pa.dictionary(pa.int8(), pa.int64()), [0, 1, None, 7], ["0", "1"], "'7'"),
        (pa.string(), ["0", "1", None, "no"], ["0", "1"], "'no'"),
    ],
)
def test_codes_of_a_category_may_be_stored_as_whole_numbers(
    tmp_path: Path, stored: pa.DataType, codes: list[Any], read: list[str], wrong: str
) -> None:
    shop = parse(PARQUET_SHOP.text.replace("[FOOD, TOYS]", '["0", "1", TOYS]'), "shop.yaml")
    path = tmp_path / "sales.parquet"
    schema = SALES.set(2, pa.field("price", pa.float64()))
    usual = pa.Table.from_pylist([sale(price=12.5)] * len(codes), schema=schema)
    pq.write_table(usual.set_column(5, "kind", pa.array(codes, stored)), path)
    found = all_of(shop, "sale", path)
    assert [json.loads(body).get("kind") for body in found.bodies] == [*read, None]
    (bad,) = found.bad
    assert bad.line == 4 and bad.detail.startswith(f"kind: {wrong} is not one of")


def test_parquet_columns_of_another_type_are_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path, [sale(price="1")], SALES.set(2, pa.field("price", pa.string())))
    with pytest.raises(BadFile, match="column price holds string, expected a number"):
        all_of(PARQUET_SHOP, "sale", path)
    path = parquet(tmp_path, [], SALES.set(5, pa.field("kind", pa.int64())))
    with pytest.raises(BadFile, match="column kind holds int64, expected one of FOOD, TOYS"):
        all_of(PARQUET_SHOP, "sale", path)
    path = parquet(tmp_path, [], SALES.remove(0))
    with pytest.raises(BadFile, match="lacks the columns sale_id"):
        all_of(PARQUET_SHOP, "sale", path)
    (tmp_path / "no.parquet").write_bytes(b"no parquet at all")
    with pytest.raises(BadFile, match="cannot be read"):
        all_of(PARQUET_SHOP, "sale", tmp_path / "no.parquet")


def test_the_event_type_is_told_by_the_columns(tmp_path: Path) -> None:
    generate(5, 5, 1, tmp_path)
    assert event_type_of(OFFBOARDING, tmp_path / "users.csv") == "customer"
    assert event_type_of(OFFBOARDING, tmp_path / "transactions.csv") == "transaction"
    assert event_type_of(SHOP, sales_file(tmp_path, GOOD)) == "sale"
    assert event_type_of(PARQUET_SHOP, parquet(tmp_path, [])) == "sale"
    (tmp_path / "v.jsonl").write_text('\n{"who": "anna", "page": "home"}\n')
    assert event_type_of(SHOP, tmp_path / "v.jsonl") == "visit"


def test_the_columns_may_be_in_quotes_and_separated_as_another_type_is_not(tmp_path: Path) -> None:
    quoted = tmp_path / "quoted.csv"
    quoted.write_text('"sale_id";"who";"price";"day";"hour"\n')
    assert event_type_of(SHOP, quoted) == "sale"  # visits are separated by commas
    (tmp_path / "wrong.csv").write_text('"sale_id"x;"who"x\n')
    with pytest.raises(BadFile, match="line 1: not a header of columns"):
        event_type_of(SHOP, tmp_path / "wrong.csv")


def test_an_event_type_that_cannot_be_told_is_asked_for(tmp_path: Path) -> None:
    both = sales_file(tmp_path, GOOD)
    both.write_text("sale_id;who;price;day;hour;page\n")
    neither = tmp_path / "x.csv"
    neither.write_text("a,b\n")
    assert event_type_of(SHOP, neither, "visit") == "visit"
    with pytest.raises(
        BadFile, match=r"sale and visit fit its columns .*; expected those of one of sale, visit"
    ):
        event_type_of(SHOP, both)
    with pytest.raises(BadFile, match=r"no event type fits its columns \(a, b\)"):
        event_type_of(SHOP, neither)
    with pytest.raises(BadFile, match=r"'sold' is not one of sale, visit \(shop.yaml\)"):
        event_type_of(SHOP, neither, "sold")


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        path = sales_file(tmp_path, *([GOOD] * rows))
        tracemalloc.start()
        assert sum(len(chunk) for chunk in read(SHOP, "sale", path, NOW_US)) == rows
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(40_000) < 1.2 * peak(10_000)


RAPPI = """
use_case: cards
subject: customer
events:
  payment:
    scored: true
    id: ["*"]
    time: [at]
    time_format: ["%d/%m/%Y %H"]
    entities: {customer: ID_USER}
    fields:
      ID_USER: string
      genero: {type: string, optional: true}
      monto: {type: number, min: 0}
      at: time
      dispositivo: string
      establecimiento: {type: string, optional: true}
      tipo_tc: string
      status_txn: [Aceptada, En proceso, Rechazada]
      is_prime: boolean
      cashback: number
      fraude: boolean
    file: {separator: ";", decimal: ",", missing_values: ["", "N/A", "--"], columns: {at: [fecha, hora]}}
features:
  customer:
    aggregates:
      paid: {event: payment, value: monto, statistics: [count], windows: [24h]}
"""
BERKA = """
use_case: bank
subject: account
events:
  movement:
    scored: true
    id: [trans_id]
    time: [date]
    time_format: ["%y%m%d"]
    timezone: Europe/Prague
    entities: {account: account_id}
    fields:
      trans_id: integer
      account_id: string
      date: time
      type: [credit, withdrawal, withdrawal in cash]
      operation: {type: string, optional: true}
      amount: {type: number, min: 0}
      balance: number
      k_symbol: {type: string, optional: true}
    file: {separator: ";", missing_values: ["", " "]}
features:
  account:
    aggregates:
      moved: {event: movement, value: amount, statistics: [count], windows: [30d]}
"""


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("text", "event_type", "file", "rows", "days"),
    [
        (RAPPI, "payment", "rappi_fraud/DS_Challenge.csv", 26_975, (us(2020, 1, 2), us(2020, 1, 31))),
        (BERKA, "movement", "berka/trans_test.csv", 30_200, (us(1995, 3, 31), us(1999, 1, 1))),
    ],
)
def test_real_files_are_read_to_the_last_row(
    text: str, event_type: str, file: str, rows: int, days: tuple[int, int]
) -> None:
    path = DATA / file
    if not path.exists():
        pytest.skip(f"{path} is not there; set RISKSTREAM_DATA")
    use_case = parse(text, "real.yaml")
    found = all_of(use_case, event_type_of(use_case, path), path)
    assert (found.bad, len(found)) == ([], rows)
    assert days[0] <= min(found.time_us) <= max(found.time_us) < days[1]


def test_rows_without_order_keep_that_of_the_file(tmp_path: Path) -> None:
    numbers = list(range(9_000))
    random.Random(3).shuffle(numbers)
    found = sales(tmp_path, *(GOOD.replace("s1", f"s{number}") for number in numbers))
    assert found.ids == [f"s{number}" for number in numbers]
