"""A table of BigQuery as a place of history, named bq://PROJECT.DATASET.TABLE: Storage Read API, Arrow.

Values keep the type they are stored with, as Parquet's do (arrow.py). A table has no order of its own: rows
are numbered from 1 as its one stream gives them. With BIGQUERY_STORAGE_EMULATOR_HOST (host:port) set, the
client talks to the local stack, without credentials.
"""

import os
from collections.abc import Callable, Iterator
from typing import TypeVar

import grpc
import pyarrow as pa
from google.api_core import exceptions as google
from google.api_core.retry import Retry
from google.auth.exceptions import DefaultCredentialsError, RefreshError
from google.cloud.bigquery_storage_v1 import BigQueryReadClient
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport
from google.cloud.bigquery_storage_v1.types import ArrowSerializationOptions, DataFormat, ReadSession

from features.usecase import EventType, UseCase
from pipeline.bigquery.client import STORAGE_EMULATOR
from pipeline.files import arrow
from pipeline.files.source import CHUNK_ROWS, BadFile, Rows, Table
from pipeline.runtime.transient import is_transient

BILLED = "GOOGLE_CLOUD_PROJECT"  # who pays for the reading; the table's own project if not set
SESSION_TIMEOUT_S = 20.0  # opening one takes about a second; an unreachable server is told after this
COMPRESSION = ArrowSerializationOptions.CompressionCodec.LZ4_FRAME

T = TypeVar("T")


def columns(_use_case: UseCase, table: Table) -> list[str]:
    client = told(table, read_client)
    return schema(told(table, lambda: session(client, table, []))).names


def rows(use_case: UseCase, event_type: EventType, table: Table) -> Iterator[Rows]:
    """The rows of the table. Raises BadFile for columns that are missing or of another type."""
    client = told(table, read_client)
    whole = schema(told(table, lambda: session(client, table, [])))
    converts = arrow.converts(use_case, event_type, table, whole)
    wanted = [column for column, _ in converts.values()]
    opened = told(table, lambda: session(client, table, wanted))
    yield from arrow.rows(event_type, converts, batches(client, opened, table))


def read_client() -> BigQueryReadClient:
    """The client, over a connection of its own."""
    emulator = os.environ.get(STORAGE_EMULATOR)
    if not emulator:
        return BigQueryReadClient()
    options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    channel = grpc.insecure_channel(emulator, options=options)
    return BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))


def session(client: BigQueryReadClient, table: Table, selected: list[str]) -> ReadSession:
    """The table as of now, in one stream, so that its rows can be numbered; all columns if none is selected."""
    wanted = ReadSession(table=table.path, data_format=DataFormat.ARROW)
    wanted.read_options.selected_fields = selected
    wanted.read_options.arrow_serialization_options.buffer_compression = COMPRESSION
    return client.create_read_session(
        parent=f"projects/{os.environ.get(BILLED) or table.project}",
        read_session=wanted,
        max_stream_count=1,
        retry=Retry(predicate=is_transient, timeout=SESSION_TIMEOUT_S),
        timeout=SESSION_TIMEOUT_S,
    )


def schema(opened: ReadSession) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(opened.arrow_schema.serialized_schema))


def batches(client: BigQueryReadClient, opened: ReadSession, table: Table) -> Iterator[pa.RecordBatch]:
    """Batches of at most CHUNK_ROWS rows; a broken connection is taken up again where it broke."""
    known = schema(opened)
    for stream in opened.streams:  # one, or none of an empty table
        messages = iter(client.read_rows(stream.name))
        while message := told(table, lambda: next(messages, None)):  # noqa: B023 it is called at once
            data = pa.py_buffer(message.arrow_record_batch.serialized_record_batch)
            batch = pa.ipc.read_record_batch(data, known)
            for start in range(0, batch.num_rows, CHUNK_ROWS):
                yield batch.slice(start, CHUNK_ROWS)


def told(table: Table, ask: Callable[[], T]) -> T:
    """What BigQuery answers; what is wrong with the table, or with who asks for it, is told as a BadFile.

    That BigQuery cannot be reached is nobody's mistake, and stays ServiceUnavailable or RetryError.
    """
    try:
        return ask()
    except (DefaultCredentialsError, RefreshError) as error:
        login = "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS"
        raise BadFile(f"{table}: no credentials for BigQuery: {error}; {login}") from error
    except google.NotFound as error:
        raise BadFile(f"{table}: there is no such table: {error.message}") from error
    except (google.PermissionDenied, google.Unauthenticated) as error:
        needed = "it takes bigquery.tables.getData and bigquery.readsessions.create"
        raise BadFile(f"{table}: may not be read: {error.message}; {needed}") from error
    except (google.InvalidArgument, google.FailedPrecondition) as error:
        raise BadFile(
            f"{table}: cannot be read: {error.message}; views have to be saved as tables"
        ) from error
