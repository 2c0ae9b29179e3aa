"""Tables of BigQuery as history: the same rows as of the same Parquet file, and clear words where there are none."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.cloud import bigquery

from commands.errors import exit_code
from features.usecase import load, parse
from pipeline.bigquery.client import query_client
from pipeline.files import BadFile, Chunk, event_type_of, place, read, warehouse
from pipeline.files.source import CHUNK_ROWS, WarehouseTable
from tests.pipeline.shop import SHOP
from training.data.files import read_all
from training.generate import generate

PROJECT = "local-project"
NOW_US = 1_735_732_800_000_000  # 2025-01-01 12:00 UTC
OFFBOARDING = load("usecases/offboarding.yaml")
COLUMNS = "columns: {ordered_at: [day, hour]}"
TABLE_SHOP = parse(SHOP.text.replace(COLUMNS, 'columns: {"paid at": [paid_at]}'), "shop.yaml")
SALES = pa.schema(
    [
        ("sale_id", pa.int64()),
        ("who", pa.string()),
        ("price", pa.decimal128(38, 9)),
        ("pieces", pa.float64()),
        ("gift", pa.bool_()),
        ("kind", pa.string()),
        ("birthday", pa.date32()),
        ("paid_at", pa.timestamp("us")),
        ("ordered_at", pa.timestamp("us", tz="UTC")),
        ("unknown", pa.list_(pa.int64())),
    ]
)


@pytest.fixture(scope="module")
def client(bigquery_server: None) -> bigquery.Client:
    client = query_client(PROJECT)
    client.create_dataset("bank")
    return client


STORED = {
    pa.int64(): "INT64", pa.string(): "STRING", pa.decimal128(38, 9): "NUMERIC", pa.float64(): "FLOAT64",
    pa.bool_(): "BOOL", pa.date32(): "DATE", pa.timestamp("us"): "DATETIME", pa.timestamp("us", tz="UTC"): "TIMESTAMP",
}  # fmt: skip


def column(of: pa.Field) -> bigquery.SchemaField:
    if pa.types.is_list(of.type):
        return bigquery.SchemaField(of.name, STORED[of.type.value_type], mode="REPEATED")
    return bigquery.SchemaField(of.name, STORED[of.type])


def loaded(client: bigquery.Client, path: Path, name: str) -> WarehouseTable:
    """A table with the rows of a Parquet file."""
    columns = [column(of) for of in pq.read_schema(path)]
    client.create_table(bigquery.Table(f"{PROJECT}.bank.{name}", columns))
    how = bigquery.LoadJobConfig(source_format="PARQUET")
    with path.open("rb") as file:
        client.load_table_from_file(file, f"{PROJECT}.bank.{name}", job_config=how).result()
    return WarehouseTable(PROJECT, "bank", name)


def sale(i: int, **changed: Any) -> dict[str, Any]:
    usual = {
        "sale_id": i, "who": f"c{i % 7}", "price": Decimal(i) / 8, "pieces": float(i) if i % 3 else None,
        "gift": [True, False, None][i % 3], "kind": ["FOOD", "TOYS", None][i % 3],
        "birthday": date(1990, 12, 1 + i % 28), "paid_at": datetime(2024, 1, 2, 10, i % 60) if i % 2 else None,
        "ordered_at": datetime(2024, 1, 2, 9, i % 60, tzinfo=UTC), "unknown": [i],
    }  # fmt: skip
    return {**usual, **changed}


def parquet(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "sales.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=SALES), path)
    return path


def events(chunks: Iterator[Chunk]) -> list[tuple[str, Any]]:
    return sorted(
        (name, json.loads(body))
        for chunk in chunks
        for name, body in zip(chunk.ids, chunk.bodies, strict=True)
    )


def test_a_table_has_the_rows_of_the_same_parquet_file(client: bigquery.Client, tmp_path: Path) -> None:
    path = parquet(tmp_path, [sale(i) for i in range(2 * CHUNK_ROWS + 50)])
    table = loaded(client, path, "sales")
    assert event_type_of(TABLE_SHOP, table) == "sale"
    found = events(read(TABLE_SHOP, "sale", table, NOW_US))
    assert len(found) == 2 * CHUNK_ROWS + 50
    assert found == events(read(TABLE_SHOP, "sale", path, NOW_US))


def test_bad_rows_are_told_by_their_number(client: bigquery.Client, tmp_path: Path) -> None:
    wrong = {10: {"who": None}, 4_321: {"price": Decimal(-1)}, 5_000: {"kind": "BOOKS"}}
    path = parquet(tmp_path, [sale(i, **wrong.get(i, {})) for i in range(1, 5_011)])
    rows = read_all(TABLE_SHOP, [str(loaded(client, path, "wrong"))], NOW_US)
    assert [(str(source), row.line, row.detail.partition(":")[0]) for source, row in rows.bad] == [
        (f"bq://{PROJECT}.bank.wrong", line, field)
        for line, field in ((10, "who"), (4_321, "price"), (5_000, "kind"))
    ]
    assert len(rows) == 5_007


def test_a_history_may_be_of_tables_and_files(client: bigquery.Client, tmp_path: Path) -> None:
    generate(20, 20, 3, tmp_path)
    texts = pa.csv.ConvertOptions(
        column_types={name: pa.string() for name in ("id", "created_at", "completed_at", "category_id")}
    )
    path = tmp_path / "transactions.parquet"
    pq.write_table(pa.csv.read_csv(tmp_path / "transactions.csv", convert_options=texts), path)
    table = loaded(client, path, "transactions")
    mixed, files = (
        read_all(OFFBOARDING, [tmp_path / "users.csv", source], NOW_US)
        for source in (str(table), tmp_path / "transactions.csv")
    )
    assert mixed.bad == []
    assert mixed.time_us.tolist() == files.time_us.tolist()
    assert sorted(map(canonical, mixed.bodies)) == sorted(map(canonical, files.bodies))


def canonical(body: bytes) -> str:
    return json.dumps(json.loads(body), sort_keys=True)


def test_an_empty_table_has_no_rows(client: bigquery.Client, tmp_path: Path) -> None:
    assert len(read_all(TABLE_SHOP, [loaded(client, parquet(tmp_path, []), "empty")], NOW_US)) == 0


def test_a_table_that_is_not_there_or_does_not_fit_is_told(client: bigquery.Client, tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"bq://local-project\.bank\.nowhere: there is no such table"):
        read_all(TABLE_SHOP, ["bq://local-project.bank.nowhere"], NOW_US)
    client.create_table(bigquery.Table(f"{PROJECT}.bank.other", [bigquery.SchemaField("a", "INT64")]))
    with pytest.raises(BadFile, match=r"bank\.other: no event type fits its columns \(a\)"):
        read_all(TABLE_SHOP, ["bq://local-project.bank.other"], NOW_US)
    with pytest.raises(BadFile, match=r"bank\.other: it lacks the columns sale_id"):
        list(read(TABLE_SHOP, "sale", WarehouseTable(PROJECT, "bank", "other"), NOW_US))


@pytest.mark.parametrize("name", ["bq://a.b", "bq://", "bq://a.b.c;d", "bq://a/b/c"])
def test_a_table_has_three_names(name: str) -> None:
    with pytest.raises(BadFile, match=r"expected bq://PROJECT\.DATASET\.TABLE"):
        place(name)


def test_a_project_may_have_a_domain_and_a_table_a_partition() -> None:
    assert place("bq://example.com:risk-1.bank.sales$20240101") == WarehouseTable(
        "example.com:risk-1", "bank", "sales$20240101"
    )
    assert place("build/users.csv") == Path("build/users.csv")


def test_without_credentials_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("BIGQUERY_STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(BadFile, match=r"no credentials for BigQuery: .*none.json.*gcloud auth") as told:
        read_all(TABLE_SHOP, ["bq://a.b.c"], NOW_US)
    assert exit_code(told.value) == 2


def test_an_unreachable_server_is_no_mistake_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGQUERY_STORAGE_EMULATOR_HOST", "127.0.0.1:1")
    monkeypatch.setattr(warehouse, "SESSION_TIMEOUT_S", 1.0)
    with pytest.raises((GoogleAPICallError, RetryError)) as told:
        read_all(TABLE_SHOP, ["bq://a.b.c"], NOW_US)
    assert exit_code(told.value) == 5
