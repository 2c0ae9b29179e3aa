"""A table of BigQuery as a place of history, named bq://PROJECT.DATASET.TABLE: Storage Read API, Arrow.

Values keep the type they are stored with, as Parquet's do (arrow.py). A table has no order of its own: rows
are numbered from 1 as its one stream gives them. With BIGQUERY_STORAGE_EMULATOR_HOST (host:port) set, the
client talks to the local stack, without credentials.
"""

import os
from collections.abc import Callable, Iterator
from typing import TypeVar

import pyarrow as pa
from google.api_core import exceptions as google
from google.api_core.retry import Retry
from google.auth.exceptions import RefreshError
from google.cloud.bigquery_storage_v1 import BigQueryReadClient
from google.cloud.bigquery_storage_v1.types import ArrowSerializationOptions, DataFormat, ReadSession

from features.usecase import EventType, UseCase
from pipeline.bigquery.client import read_client
from pipeline.files import arrow
from pipeline.files.source import CHUNK_ROWS, BadFile, Rows, WarehouseTable
from pipeline.runtime.errors import SinkRefused
from pipeline.runtime.transient import is_transient

BILLED = "GOOGLE_CLOUD_PROJECT"  # who pays for the reading; the table's own project if not set
SESSION_TIMEOUT_S = 20.0  # opening one takes about a second; an unreachable server is told after this
LOGIN = "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS"
COMPRESSION = ArrowSerializationOptions.CompressionCodec.LZ4_FRAME

T = TypeVar("T")


def columns(_use_case: UseCase, table: WarehouseTable) -> list[str]:
    client = asked(table, read_client)
    return list(schema(asked(table, lambda: session(client, table, []))).names)


def rows(use_case: UseCase, event_type: EventType, table: WarehouseTable) -> Iterator[Rows]:
    """Yield the rows of the table. Raises BadFile for columns that are missing or of another type."""
    client = asked(table, read_client)
    columns = schema(asked(table, lambda: session(client, table, [])))
    converts = arrow.converts(use_case, event_type, table, columns)
    wanted = [column for column, _ in converts.values()]
    opened = asked(table, lambda: session(client, table, wanted))
    yield from arrow.rows(event_type, converts, batches(client, opened, table))


def session(client: BigQueryReadClient, table: WarehouseTable, selected: list[str]) -> ReadSession:
    """Open the table as of now, in one stream, so that rows can be numbered; all columns if none is selected."""
    options = ReadSession.TableReadOptions(
        selected_fields=selected,
        arrow_serialization_options=ArrowSerializationOptions(buffer_compression=COMPRESSION),
    )
    wanted = ReadSession(table=table.path, data_format=DataFormat.ARROW, read_options=options)
    return client.create_read_session(
        parent=f"projects/{os.environ.get(BILLED) or table.project}",
        read_session=wanted,
        max_stream_count=1,
        retry=Retry(predicate=is_transient, timeout=SESSION_TIMEOUT_S),
        timeout=SESSION_TIMEOUT_S,
    )


def schema(opened: ReadSession) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(opened.arrow_schema.serialized_schema))


def batches(
    client: BigQueryReadClient, opened: ReadSession, table: WarehouseTable
) -> Iterator[pa.RecordBatch]:
    """Yield batches of at most CHUNK_ROWS rows; a broken connection is resumed where it broke."""
    known = schema(opened)
    for stream in opened.streams:  # one, or none of an empty table
        messages = iter(client.read_rows(stream.name))
        while message := asked(table, lambda: next(messages, None)):  # noqa: B023 it is called at once
            data = pa.py_buffer(message.arrow_record_batch.serialized_record_batch)
            batch = pa.ipc.read_record_batch(data, known)
            for start in range(0, batch.num_rows, CHUNK_ROWS):
                yield batch.slice(start, CHUNK_ROWS)


def asked(table: WarehouseTable, ask: Callable[[], T]) -> T:
    """Return BigQuery's answer. Raises BadFile if the table, or the right to read it, is missing.

    An unreachable BigQuery is nobody's mistake, and stays ServiceUnavailable or RetryError.
    """
    try:
        return ask()
    except SinkRefused as error:
        raise BadFile(f"{table}: {error}; {LOGIN}") from error
    except RefreshError as error:
        raise BadFile(f"{table}: no credentials for BigQuery: {error}; {LOGIN}") from error
    except google.NotFound as error:
        raise BadFile(f"{table}: there is no such table: {error.message}") from error
    except (google.PermissionDenied, google.Unauthenticated) as error:
        needed = "it takes bigquery.tables.getData and bigquery.readsessions.create"
        raise BadFile(f"{table}: may not be read: {error.message}; {needed}") from error
    except (google.InvalidArgument, google.FailedPrecondition) as error:
        raise BadFile(
            f"{table}: cannot be read: {error.message}; views have to be saved as tables"
        ) from error
