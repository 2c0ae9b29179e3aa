"""Appending: every type arrives as sent, batches are split, outages are waited out, mistakes are refused."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from google.cloud import bigquery

from deploy.local import stack
from pipeline.bigquery import schemas, tables
from pipeline.bigquery.client import Appender, query_client, split
from pipeline.runtime.errors import SinkRefused, SinkUnavailable
from tests.deploy import outages

PROJECT = "local-project"
START_US = 1_700_000_000_000_000
SCHEMAS = {name: table.rows for name, table in schemas.TABLES.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("stack")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("BIGQUERY_EMULATOR_HOST", raising=False)
        with stack.running(folder, ["bigquery"]) as up:
            for name, value in up.environment.items():
                patch.setenv(name, value)
            yield folder


@pytest.fixture
def client(folder: Path) -> bigquery.Client:
    return query_client(PROJECT)


@pytest.fixture
def dataset(client: bigquery.Client, request: pytest.FixtureRequest) -> str:
    """A dataset of this test's own, with the tables."""
    tables.create(client, request.node.originalname)
    return request.node.originalname


@pytest.fixture
def appender(dataset: str) -> Iterator[Appender]:
    appender = Appender(PROJECT, dataset, SCHEMAS)
    yield appender
    appender.close()


def rows(table: schemas.Table, columns: Mapping[str, list[object]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(dict(columns), schema=table.rows)


def assessments(count: int, first: int = 0, features: int = 60) -> pa.RecordBatch:
    """Rows numbered from `first`; every seventh value of a vector is missing."""
    numbers = range(first, first + count)
    values = np.random.default_rng(first).random(features)
    values[::7] = np.nan
    columns: dict[str, list[object]] = {
        "event_id": [f"event-{i}" for i in numbers],
        "seq": list(numbers),
        "customer": [f"customer-{i % 50}" for i in numbers],
        "entities": [[{"entity": "counterparty", "id": f"shop-{i}", "seq": i}] * (i % 3) for i in numbers],
        "score": [None if i % 5 == 0 else i / count for i in numbers],
        "challenger_score": [None if i % 5 else i / count for i in numbers],
        "transition": [None if i % 10 else "RECOMMENDED" for i in numbers],
        "features": [values] * count,
        "body": [json.dumps({"id": i, "note": "Füße 🦊"}, ensure_ascii=False) for i in numbers],
    }
    for name in ("event_time", "publish_time", "assessed_at"):
        columns[name] = [START_US + i for i in numbers]
    for name in schemas.ASSESSMENTS.rows.names:
        columns.setdefault(name, [name] * count)
    return rows(schemas.ASSESSMENTS, columns)


def dead_letters(count: int) -> pa.RecordBatch:
    columns: dict[str, list[object]] = {name: [name] * count for name in schemas.DEAD_LETTERS.rows.names}
    columns |= {name: [START_US] * count for name in ("publish_time", "rejected_at")}
    columns |= {name: [None] * count for name in ("event_type", "event_id", "event_time")}
    columns |= {"message_id": [str(i) for i in range(count)], "body": [b"\x00\xff not text"] * count}
    return rows(schemas.DEAD_LETTERS, columns)


def count(client: bigquery.Client, table: str) -> int:
    ((number,),) = client.query_and_wait(f"SELECT COUNT(*) FROM {table}")
    return int(number)


def test_every_value_arrives_as_sent(appender: Appender, client: bigquery.Client, dataset: str) -> None:
    sent = assessments(30)
    letters = dead_letters(3)
    appender.append_all({"assessments": sent, "dead_letters": letters})
    for batch, table in ((sent, "assessments"), (letters, "dead_letters")):
        by = "message_id" if table == "dead_letters" else "seq"
        found = [dict(row) for row in client.query_and_wait(f"SELECT * FROM {dataset}.{table} ORDER BY {by}")]
        np.testing.assert_equal(found, batch.to_pylist())


def test_the_views_show_each_row_once(appender: Appender, client: bigquery.Client, dataset: str) -> None:
    whole = assessments(20)
    names = whole.schema.names
    columns = dict(zip(names, whole.columns, strict=True))
    without_vector = {**columns, "features": pa.array([[]] * 20, whole.schema.field("features").type)}
    later = {**columns, "assessed_at": pa.array([START_US + 10_000_000] * 20, schemas.TIME)}
    for copy in (without_vector, later, columns):
        appender.append("assessments", pa.RecordBatch.from_pydict(copy, schema=whole.schema))
    for _ in range(2):
        appender.append("dead_letters", dead_letters(5))
    assert (count(client, f"{dataset}.assessments"), count(client, f"{dataset}.dead_letters")) == (60, 10)
    assert count(client, f"{dataset}.dead_letters_unique") == 5
    unique = list(client.query_and_wait(f"SELECT * FROM {dataset}.assessments_unique ORDER BY seq"))
    np.testing.assert_equal([dict(row) for row in unique], whole.to_pylist())


def test_a_batch_larger_than_a_request_is_split(
    appender: Appender, client: bigquery.Client, dataset: str
) -> None:
    large = assessments(30_000, features=100)
    assert large.nbytes > 20_000_000
    appender.append("assessments", large)
    query = f"SELECT COUNT(*), COUNT(DISTINCT seq), SUM(seq) FROM {dataset}.assessments"
    assert [tuple(row) for row in client.query_and_wait(query)] == [(30_000, 30_000, sum(range(30_000)))]


def test_split_keeps_rows_in_order_and_within_the_limit() -> None:
    batch = assessments(500)
    parts = list(split(batch, 10_000))
    assert len(parts) > 10
    assert all(pa.ipc.get_record_batch_size(part) <= 10_000 for part in parts)
    joined = pa.Table.from_batches(parts).select(["seq", "body", "entities"])
    assert joined == pa.Table.from_batches([batch]).select(["seq", "body", "entities"])
    with pytest.raises(SinkRefused, match="too large"):
        list(split(batch, 500))


def test_no_rows_need_no_request(appender: Appender) -> None:
    appender.append("assessments", assessments(0))
    assert appender.client is None


def test_mistakes_are_refused_at_once(client: bigquery.Client, dataset: str, appender: Appender) -> None:
    with pytest.raises(SinkRefused, match=r"columns: .*reason: string.*; expected: .*features"):
        appender.append("assessments", dead_letters(1))
    client.delete_table(f"{dataset}.dead_letters")
    with pytest.raises(SinkRefused, match=r"dead_letters.*not found"):
        appender.append("dead_letters", dead_letters(1))
    appender.append("assessments", assessments(1))


def test_more_streams_than_the_emulator_has_by_itself(client: bigquery.Client, dataset: str) -> None:
    appenders = [Appender(PROJECT, dataset, SCHEMAS, answer_timeout_s=20) for _ in range(12)]
    for number, appender in enumerate(appenders):
        appender.append("assessments", assessments(1, first=number), should_stop=lambda: True)
    for appender in appenders:
        appender.close()
    assert count(client, f"{dataset}.assessments") == 12


def test_queries_and_appends_do_not_disturb_each_other(
    appender: Appender, client: bigquery.Client, dataset: str
) -> None:
    def append() -> None:
        for number in range(40):
            appender.append("assessments", assessments(100, first=100 * number))

    writer = threading.Thread(target=append)
    writer.start()
    seen = [0]
    while writer.is_alive():
        seen.append(count(client, f"{dataset}.assessments"))
    assert seen == sorted(seen)
    assert count(client, f"{dataset}.assessments") == 4_000


def test_without_a_server_it_says_so_and_stops_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGQUERY_STORAGE_EMULATOR_HOST", "127.0.0.1:1")
    started = time.monotonic()
    with pytest.raises(SinkUnavailable, match="failed to connect"):
        Appender(PROJECT, "nowhere", SCHEMAS).append(
            "assessments", assessments(1), should_stop=lambda: time.monotonic() > started + 1
        )
    assert time.monotonic() < started + 5


def while_appending(appender: Appender, outage: threading.Thread) -> int:
    """Appends batches of 10 until the outage is over, then one more; the number of rows acknowledged."""
    outage.start()
    number = 0
    over = False
    while not over:
        over = not outage.is_alive()
        appender.append("assessments", assessments(10, first=number))
        number += 10
    return number


def test_a_frozen_server_is_waited_for(dataset: str, client: bigquery.Client, folder: Path) -> None:
    appender = Appender(PROJECT, dataset, SCHEMAS, answer_timeout_s=1)

    def outage() -> None:
        time.sleep(0.3)
        outages.freeze(folder, "bigquery")
        time.sleep(4)
        outages.thaw(folder, "bigquery")

    acknowledged = while_appending(appender, threading.Thread(target=outage))
    appender.close()
    query = f"SELECT COUNT(DISTINCT seq), MAX(seq) FROM {dataset}.assessments"
    assert [tuple(row) for row in client.query_and_wait(query)] == [(acknowledged, acknowledged - 1)]
    assert count(client, f"{dataset}.assessments_unique") == acknowledged


def test_a_killed_server_is_waited_for_and_has_kept_every_row(
    appender: Appender, dataset: str, client: bigquery.Client, folder: Path
) -> None:
    def outage() -> None:
        time.sleep(0.3)
        outages.restart(folder, "bigquery")

    acknowledged = while_appending(appender, threading.Thread(target=outage))
    assert count(client, f"{dataset}.assessments_unique") == acknowledged
