"""Rows into BigQuery through the Storage Write API: Arrow batches, one default stream a table, at least once.

A row is in its table when `append` returns. What broke half-way may be there twice: the views of tables.py
show it once. With BIGQUERY_EMULATOR_HOST and BIGQUERY_STORAGE_EMULATOR_HOST (host:port) set, both clients
talk to the local stack, without credentials.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue

import grpc
import pyarrow as pa
from google.api_core.exceptions import GoogleAPICallError, from_grpc_error, from_grpc_status
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryReadClient, BigQueryWriteClient
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport
from google.cloud.bigquery_storage_v1.services.big_query_write.transports import BigQueryWriteGrpcTransport
from google.cloud.bigquery_storage_v1.types import AppendRowsRequest, AppendRowsResponse

from pipeline.runtime.errors import SinkRefused, SinkUnavailable
from pipeline.runtime.retry import never, retrying
from pipeline.runtime.transient import is_transient

REST_EMULATOR = "BIGQUERY_EMULATOR_HOST"  # read by google-cloud-bigquery itself: a URL
STORAGE_EMULATOR = "BIGQUERY_STORAGE_EMULATOR_HOST"  # host:port of the gRPC server
REQUEST_BYTES = 9 << 20  # of rows; BigQuery takes requests of 10 MB, schema and names included
IN_FLIGHT_REQUESTS = 10  # 90 MB: BigQuery holds at most 100 MB of a connection without an answer
ANSWER_TIMEOUT_S = 30.0  # an append takes milliseconds; shorter, and a slow answer would make duplicates
TRACE_ID = "riskstream:append"


def query_client(project: str) -> bigquery.Client:
    """Open the client for tables and queries."""
    if os.environ.get(REST_EMULATOR):
        return bigquery.Client(project=project, credentials=AnonymousCredentials())
    return bigquery.Client(project=project)


def write_client() -> BigQueryWriteClient:
    """Open a client for appends, over a separate connection. Raises SinkRefused without credentials."""
    emulator = os.environ.get(STORAGE_EMULATOR)
    if emulator:
        unlimited = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        # Channels with equal options share a connection, and with it the pause after a failed attempt.
        options = [*unlimited, ("grpc.use_local_subchannel_pool", 1)]
        transport = BigQueryWriteGrpcTransport(channel=grpc.insecure_channel(emulator, options=options))
        return BigQueryWriteClient(transport=transport)
    try:
        return BigQueryWriteClient()
    except DefaultCredentialsError as error:
        raise SinkRefused(f"no credentials for BigQuery: {error}") from error


def read_client() -> BigQueryReadClient:
    """Open a client that reads whole tables, over a separate connection. Raises SinkRefused without credentials."""
    emulator = os.environ.get(STORAGE_EMULATOR)
    if emulator:
        options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        channel = grpc.insecure_channel(emulator, options=options)
        return BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))
    try:
        return BigQueryReadClient()
    except DefaultCredentialsError as error:
        raise SinkRefused(f"no credentials for BigQuery: {error}") from error


@dataclass(frozen=True)
class Piece:
    """Rows that fit one request."""

    table: str
    rows: pa.RecordBatch


@dataclass
class Stream:
    """One open AppendRows call: requests go out, and their answers come back, in the same order."""

    path: str  # projects/.../datasets/.../tables/.../streams/_default
    client: BigQueryWriteClient
    requests: SimpleQueue[AppendRowsRequest | None] = field(default_factory=SimpleQueue)
    waiting: deque[Future[None]] = field(default_factory=deque)
    lock: threading.Lock = field(default_factory=threading.Lock)
    schema: pa.Schema | None = None  # as sent; each call sends it once
    broken: Exception | None = None

    def open(self) -> None:
        """Start the call; from now on a thread receives the answers."""
        # The client's own method would not return before the first answer.
        start: Callable[..., grpc.Call] = self.client.transport.append_rows
        self.call = start(
            iter(self.requests.get, None), metadata=(("x-goog-request-params", f"write_stream={self.path}"),)
        )
        threading.Thread(target=self.receive, name=f"append {self.path}", daemon=True).start()

    def send(self, rows: pa.RecordBatch) -> Future[None]:
        """Send one piece; the future ends with its answer."""
        answer: Future[None] = Future()
        with self.lock:
            if self.broken:
                answer.set_exception(self.broken)
                return answer
            self.waiting.append(answer)
            self.requests.put(self.request(rows))
        return answer

    def request(self, rows: pa.RecordBatch) -> AppendRowsRequest:
        request = AppendRowsRequest.pb()(write_stream=self.path, trace_id=TRACE_ID)
        if self.schema is None:
            self.schema = rows.schema
            request.arrow_rows.writer_schema.serialized_schema = rows.schema.serialize().to_pybytes()
        request.arrow_rows.rows.serialized_record_batch = rows.serialize().to_pybytes()
        wrapped: AppendRowsRequest = AppendRowsRequest.wrap(request)
        return wrapped

    def receive(self) -> None:
        """Settle the futures until the call ends; those without an answer then end with its error."""
        ended: Exception = SinkUnavailable("BigQuery ended the stream")
        try:
            for answer in self.call:
                settle(self.waiting.popleft(), answer, self.path)
        except grpc.RpcError as error:
            ended = failure(from_grpc_error(error), self.path)
        with self.lock:
            self.broken = ended
            for unanswered in self.waiting:
                unanswered.set_exception(ended)
            self.waiting.clear()

    def close(self) -> None:
        self.requests.put(None)
        self.call.cancel()


def settle(waiting: Future[None], answer: AppendRowsResponse, path: str) -> None:
    """End the future of a request with its answer."""
    if not answer.error.code:
        waiting.set_result(None)
        return
    wrong = [f"row {row.index}: {row.message}" for row in answer.row_errors[:3]]
    waiting.set_exception(failure(from_grpc_status(answer.error.code, answer.error.message), path, *wrong))


def failure(error: GoogleAPICallError, path: str, *details: str) -> SinkUnavailable | SinkRefused:
    """Return what BigQuery answers for a stream as SinkUnavailable or SinkRefused."""
    kind = SinkUnavailable if is_transient(error) else SinkRefused
    return kind("; ".join([f"{path}: {error}", *details]))


class Appender:
    """Appends rows to the tables of one dataset, for one thread at a time.

    Its connection is opened when first needed and after a failure, and cannot be pickled: one a process.
    """

    def __init__(
        self,
        project: str,
        dataset: str,
        schemas: Mapping[str, pa.Schema],
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        self.tables_path = f"projects/{project}/datasets/{dataset}/tables"
        self.schemas = schemas
        self.answer_timeout_s = answer_timeout_s
        self.client: BigQueryWriteClient | None = None
        self.streams: dict[str, Stream] = {}

    def append(self, table: str, rows: pa.RecordBatch, should_stop: Callable[[], bool] = never) -> None:
        """Append rows to one table, like `append_all`."""
        self.append_all({table: rows}, should_stop)

    def append_all(
        self, batches: Mapping[str, pa.RecordBatch], should_stop: Callable[[], bool] = never
    ) -> None:
        """Append rows to tables, and return when all are stored; tables and pieces go side by side.

        While BigQuery cannot be reached, this waits and tries again, only what is not known to be stored.
        Raises SinkUnavailable once `should_stop` says so, SinkRefused when waiting would not help.
        """
        left = deque(piece for table, rows in batches.items() for piece in self.pieces(table, rows))
        retrying(lambda: self.attempt(left), SinkUnavailable, "append rows to BigQuery", should_stop)

    def pieces(self, table: str, rows: pa.RecordBatch) -> Iterator[Piece]:
        expected = self.schemas[table]
        if not rows.schema.equals(expected):
            wrong = ", ".join(str(field) for field in rows.schema if field not in expected)
            raise SinkRefused(f"rows for {table} have these columns: {wrong}; expected: {expected.names}")
        return (Piece(table, part) for part in split(rows, REQUEST_BYTES) if part.num_rows)

    def attempt(self, left: deque[Piece]) -> None:
        """Send the pieces in `left`, and drop each one from it when its answer is there."""
        try:
            answers: deque[Future[None]] = deque()
            while left:
                for piece in list(left)[len(answers) : IN_FLIGHT_REQUESTS]:
                    answers.append(self.stream(piece.table).send(piece.rows))
                answers.popleft().result(self.answer_timeout_s)
                left.popleft()
        except TimeoutError as error:
            self.close()
            raise SinkUnavailable(f"BigQuery has not answered within {self.answer_timeout_s:g} s") from error
        except (SinkUnavailable, SinkRefused):
            self.close()
            raise

    def stream(self, table: str) -> Stream:
        if table not in self.streams or self.streams[table].broken:  # BigQuery closes idle ones
            self.client = self.client or write_client()
            stream = Stream(f"{self.tables_path}/{table}/streams/_default", self.client)
            stream.open()
            self.streams[table] = stream
        return self.streams[table]

    def close(self) -> None:
        """Close the connection; the next append opens another one."""
        for stream in self.streams.values():
            stream.close()
        self.streams.clear()
        if self.client:
            self.client.transport.close()
            self.client = None


def split(rows: pa.RecordBatch, limit_bytes: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows in order, in parts of at most that many bytes as sent."""
    size_bytes = pa.ipc.get_record_batch_size(rows)
    if size_bytes <= limit_bytes:
        yield rows
        return
    if rows.num_rows == 1:
        raise SinkRefused(f"a row of {size_bytes} bytes is too large: BigQuery takes at most {limit_bytes}")
    half = rows.num_rows // 2
    yield from split(rows.slice(0, half), limit_bytes)
    yield from split(rows.slice(half), limit_bytes)
