"""bqemulator as a separate process, file-backed and patched for a stream of appends; stops on SIGTERM.

Release 1.4.0 copies the whole table after every append, shares one DuckDB connection between threads, serves at most
six append streams on two cores, loses the fields of nested records in appended rows, adds columns to its catalog only,
leaves the text out of a view, sends rows in messages larger than its own limit and downloads two extensions of DuckDB.
Each patch below says what it is for; everything else is untouched.
"""

import argparse
import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import duckdb
import pyarrow as pa
from bqemulator import server
from bqemulator.api.routes import tabledata, tables
from bqemulator.catalog.duckdb_repository import DuckDBCatalogRepository
from bqemulator.catalog.models import TableMeta
from bqemulator.config import LogLevel, PersistenceMode, Settings
from bqemulator.grpc_api import read_servicer, write_servicer
from bqemulator.storage.engine import DuckDBEngine
from bqemulator.storage.sql_identifiers import quoted_table_ref
from bqemulator.storage.type_map import bq_schema_to_duckdb_columns
from bqemulator.versioning.snapshots import SnapshotManager

from pipeline.runtime.process_tuning import tune_process

# An open append stream holds a thread for as long as it lives: a few tables times the worker processes.
APPEND_STREAMS = 256
table_to_rest = tables._table_to_rest
# Private functions of the emulator, whose types say less than they take.
build_arrow_schema = vars(tabledata)["_build_arrow_schema"]
raw_fields = vars(tabledata)["_fields_raw_from_schema"]
stream_data = vars(read_servicer)["get_stream_data"]
# Appends wait while DuckDB moves its log into the file: the larger the log, the longer.
CHECKPOINT_BYTES = 64 << 20
MEMORY_BYTES = 2 << 30  # beyond this DuckDB spills to its temporary files
# An append passes through three threads; with the default of 5 ms each may wait that long for a busy one.
SWITCH_INTERVAL_S = 0.001
MESSAGE_BYTES = 4 << 20  # of a message of read rows; the server sends at most 11 MB


class ThreadedDuckDB(DuckDBEngine):
    """DuckDB with limits, and with a connection for each thread.

    Two threads on one connection take each other's results: a query would read the answer of an append.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._owner = threading.get_ident()
        self._by_thread = threading.local()

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        if threading.get_ident() == self._owner:
            return super().connection
        if not hasattr(self._by_thread, "connection"):
            self._by_thread.connection = super().connection.cursor()
            self._by_thread.connection.execute("SET TimeZone = 'UTC'")
        connection: duckdb.DuckDBPyConnection = self._by_thread.connection
        return connection

    def _load_spatial(self) -> None:
        """Set the limits instead: the extension would be downloaded, and no table here has a GEOGRAPHY."""
        self.connection.execute(f"SET checkpoint_threshold = '{CHECKPOINT_BYTES}B'")
        self.connection.execute(f"SET memory_limit = '{MEMORY_BYTES}B'")
        self.connection.execute("SET force_compression = 'uncompressed'")  # moves the log twice as fast


class Emulator(server.EmulatorServer):
    """The emulator, with enough threads for its append streams."""

    async def start(self) -> None:
        threads = ThreadPoolExecutor(APPEND_STREAMS, thread_name_prefix="append")
        asyncio.get_running_loop().set_default_executor(threads)
        await super().start()


class Catalog(DuckDBCatalogRepository):
    """The catalog, adding new columns to the stored table as well.

    It leaves out the second commit of every append, which would only store the number of rows.
    """

    def update_table(self, table: TableMeta) -> TableMeta:
        known = self.get_table(table.project_id, table.dataset_id, table.table_id)
        if known is None:
            return super().update_table(table)
        if known.model_copy(update={"num_rows": table.num_rows}) == table:
            return self._cache.update_table(table)
        there = {column.name for column in known.schema_.fields}
        self._add([column for column in table.schema_.fields if column.name not in there], table)
        return super().update_table(table)

    def _add(self, columns: list[object], table: TableMeta) -> None:
        path = quoted_table_ref(table.project_id, table.dataset_id, table.table_id)
        for name, duckdb_type in bq_schema_to_duckdb_columns(raw_fields(columns)):
            self._engine.execute(f'ALTER TABLE {path} ADD COLUMN "{name}" {duckdb_type}')


class NoSnapshots(SnapshotManager):
    """Snapshots switched off: no copy of the table after every change, and so no time travel."""

    def capture(self, *_table: str, kind: str = "AUTO") -> None:
        return None


def arrow_schema(table: TableMeta) -> object:
    """Return the Arrow schema of appended rows, with the fields of nested records."""
    schema: object = build_arrow_schema(raw_fields(table.schema_.fields))
    return schema


def with_view_query(table: TableMeta) -> dict[str, object]:
    """Return the REST resource of a table, with the text of a view."""
    resource = table_to_rest(table)
    if not table.view_query:
        return resource
    return {**resource, "view": {"query": table.view_query, "useLegacySql": False}}


def in_messages(session: str, stream: str) -> pa.Table | None:
    """Return the rows of a read stream, in batches that fit into a message each."""
    rows = stream_data(session, stream)
    if not rows:
        return rows
    fitting = max(1, MESSAGE_BYTES * rows.num_rows // rows.nbytes)
    return pa.Table.from_batches(rows.to_batches(max_chunksize=fitting), rows.schema)


def patch() -> None:
    """Put the patches in the places from which the emulator takes its parts."""
    patches: tuple[tuple[ModuleType, str, object], ...] = (
        (server, "DuckDBEngine", ThreadedDuckDB),
        (server, "DuckDBCatalogRepository", Catalog),
        (server, "SnapshotManager", NoSnapshots),
        (write_servicer, "_table_arrow_schema", arrow_schema),
        (read_servicer, "get_stream_data", in_messages),
        (tables, "_table_to_rest", with_view_query),
    )
    for module, name, replacement in patches:
        if not hasattr(module, name):
            raise AttributeError(f"bqemulator has no {module.__name__}.{name}: its version is another one")
        setattr(module, name, replacement)


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGTERM."""
    options = parser().parse_args(arguments)
    os.environ["TZ"] = "UTC"
    tune_process(SWITCH_INTERVAL_S)
    patch()
    settings = Settings(
        rest_port=options.rest_port,
        grpc_port=options.grpc_port,
        persistence_mode=PersistenceMode.PERSISTENT,
        data_dir=options.data_dir,
        upload_staging_dir=options.data_dir / "uploads",
        default_project_id=options.project,
        log_level=LogLevel.WARNING,
        enable_format_extensions=False,  # would download DuckDB's avro extension
    )
    Emulator(settings).run_forever()


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.bigquery", description=__doc__)
    parser.add_argument("--rest-port", type=int, required=True, help="port of the REST API")
    parser.add_argument("--grpc-port", type=int, required=True, help="port of the Storage Read and Write API")
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of the database file")
    parser.add_argument("--project", default="local-project", help="project of requests that name none")
    return parser


if __name__ == "__main__":
    main()
