"""The table of values.md through the door of BigQuery: typed columns of tables, read by the Storage API."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from google.cloud import bigquery

from pipeline.bigquery.client import query_client
from pipeline.files import read
from pipeline.files.source import WarehouseTable
from tests.doors.judging import Outcomes, parquet, published, wrong
from tests.doors.table import DOORS, NOW_US, USUAL, Case, array, cases
from tests.pipeline.conftest import bigquery_environment, bigquery_server  # noqa: F401

PROJECT = "local-project"
IN_BIGQUERY = {
    "string": "STRING", "int64": "INT64", "double": "FLOAT64", "bool": "BOOL", "decimal128(38,9)": "NUMERIC",
    "date32": "DATE", "timestamp[us]": "DATETIME", "timestamp[us,UTC]": "TIMESTAMP",
}  # fmt: skip
IN_ITS_YEARS = re.compile(r"(?!0000)\d{4}-.*|null")  # of dates and times: 1 to 9999
Stored = list[tuple[Case, str]]
Columns = dict[tuple[str, str], Stored]  # by field and Arrow type


def test_a_value_gets_its_answer_through_bigquery(bigquery_server: None, tmp_path: Path) -> None:  # noqa: F811
    client = query_client(PROJECT)
    client.create_dataset("doors")
    assert wrong(through_bigquery(client, tmp_path)) == []


def through_bigquery(client: bigquery.Client, folder: Path) -> Outcomes:
    """Each row of a table tries one of its columns; the others are null there, or as usual."""
    for number, (event_type, columns) in enumerate(tables()):
        rows = [pair for stored in columns.values() for pair in stored]
        arrays: dict[str, pa.Array] = {"id": pa.array([str(i) for i in range(len(rows))])}
        first = 0
        for (field, name), stored in columns.items():
            other = json.dumps(USUAL[field]) if name == "string" and field in USUAL else "null"
            values = [other] * first + [value for _, value in stored]
            first = len(values)
            arrays[field] = array(name, values + [other] * (len(rows) - first))
        path = folder / f"{number}.parquet"
        parquet(path, arrays)
        kinds = dict.fromkeys(USUAL, "STRING") | {field: IN_BIGQUERY[name] for field, name in columns}
        yield from answers(rows, event_type, loaded(client, path, f"table_{number}", kinds))


def tables() -> Iterator[tuple[str, Columns]]:
    """Optional fields share tables, the nth type of each in the nth; a column of a required field has its own."""
    shared: dict[tuple[str, int], Columns] = {}
    nth: Counter[tuple[str, str]] = Counter()
    for (event_type, field, name), stored in by_column().items():
        if field in USUAL:
            yield event_type, {(field, name): stored}
        else:
            shared.setdefault((event_type, nth[event_type, field]), {})[field, name] = stored
            nth[event_type, field] += 1
    for (event_type, _), columns in shared.items():
        yield event_type, columns


def by_column() -> dict[tuple[str, str, str], Stored]:
    """Group the cases that BigQuery can store by event type, field and Arrow type."""
    found: dict[tuple[str, str, str], Stored] = {}
    for case in cases():
        for name, value in case.stored:
            is_dated = name.startswith(("date", "timestamp"))
            if name in IN_BIGQUERY and (not is_dated or IN_ITS_YEARS.fullmatch(value)):
                found.setdefault((case.event_type, case.field, name), []).append((case, value))
    return found


def loaded(client: bigquery.Client, path: Path, name: str, kinds: dict[str, str]) -> WarehouseTable:
    columns = [bigquery.SchemaField(field, kind) for field, kind in kinds.items()]
    client.create_table(bigquery.Table(f"{PROJECT}.doors.{name}", columns))
    how = bigquery.LoadJobConfig(source_format="PARQUET")
    with path.open("rb") as file:
        client.load_table_from_file(file, f"{PROJECT}.doors.{name}", job_config=how).result()
    return WarehouseTable(PROJECT, "doors", name)


def answers(rows: Stored, event_type: str, table: WarehouseTable) -> Outcomes:
    (chunk,) = read(DOORS, event_type, table, NOW_US)
    good = {int(name): row for row, name in enumerate(chunk.ids)}
    bad = {row.line - 1: f"{row.reason}: {row.detail}" for row in chunk.bad}
    assert sorted([*good, *bad]) == list(range(len(rows)))
    for i, (case, value) in enumerate(rows):
        yield case, value, bad[i] if i in bad else published(case, chunk, good[i])
