"""The log of assessments read back from BigQuery, for one use case, copies included.

Columnar from end to end, through the Storage Read API. Memory: some 2 KB an event. Times are int64
microseconds since 1970 UTC.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from google.cloud.bigquery_storage_v1.types import DataFormat, ReadSession
from numpy.typing import NDArray

from export.policy import Level, Transition, outcome
from features.kernel import Disposition
from features.usecase import UseCase
from pipeline.bigquery.client import read_client
from pipeline.bigquery.schemas import ASSESSMENTS, DEAD_LETTERS, Table

LEVELS = pa.array([level.name for level in Level])
TRANSITIONS = pa.array([transition.name for transition in Transition])
LETTERS = ("message_id", "reason", "event_type", "event_id")
Rows = NDArray[np.intp] | slice


@dataclass(frozen=True)
class Log:
    """n rows of the table `assessments`; every column has length n."""

    table: pa.Table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def take(self, rows: Rows) -> Self:
        if isinstance(rows, slice):
            return type(self)(self.table.slice(rows.start, rows.stop - rows.start))
        return type(self)(self.table.take(pa.array(rows)))

    def texts(self, name: str) -> list[str]:
        return list(self.table[name].to_pylist())

    def times_us(self, name: str) -> NDArray[np.int64]:
        times = self.table[name].cast(pa.timestamp("us", "UTC")).cast(pa.int64())
        return np.asarray(times.to_numpy(), np.int64)

    def codes(self, *names: str) -> NDArray[np.int64]:
        """Return numbers that are equal for rows with the same texts in these columns."""
        first, *others = (self.table[name].combine_chunks().dictionary_encode() for name in names)
        codes: NDArray[np.int64] = first.indices.to_numpy().astype(np.int64)
        for column in others:  # one by one, because texts may contain any separator
            pairs = codes * (len(column.dictionary) + 1) + column.indices.to_numpy()
            codes = np.unique(pairs, return_inverse=True)[1]
        return codes

    @cached_property
    def seq(self) -> NDArray[np.int64]:
        return np.asarray(self.table["seq"].to_numpy(), np.int64)

    @cached_property
    def is_duplicate(self) -> NDArray[np.bool_]:
        duplicates = pc.equal(self.table["disposition"], Disposition.DUPLICATE.name.lower())
        return np.asarray(duplicates.to_numpy(), np.bool_)

    @cached_property
    def repeats(self) -> NDArray[np.bool_]:
        """Rows of duplicates that came by the topic alone; they may name a later model than the one that scored."""
        return self.is_duplicate & np.asarray(pc.is_null(self.table["caller"]).to_numpy(), np.bool_)

    @cached_property
    def score(self) -> NDArray[np.float64]:
        """Scores; NaN where the event was not scored."""
        return np.asarray(self.table["score"].to_numpy(), np.float64)

    @cached_property
    def outcome(self) -> NDArray[np.uint8]:
        """Outcomes, packed by `export.policy.outcome`."""
        before, after = (_places(self.table[name], LEVELS) for name in ("level_before", "level"))
        transition = _places(self.table["transition"].fill_null(Transition.NONE.name), TRANSITIONS)
        return outcome.pack(before, after, transition)

    @cached_property
    def has_vector(self) -> NDArray[np.bool_]:
        """Rows that have features."""
        has_some = pc.greater(pc.list_value_length(self.table["features"]), 0)
        return np.asarray(has_some.to_numpy(), np.bool_)

    def vectors(self, rows: NDArray[np.intp], features: int) -> NDArray[np.float64]:
        """Return the vectors [len(rows), features] of rows that have one."""
        values = self.table["features"].take(pa.array(rows)).combine_chunks().flatten().to_numpy()
        return np.asarray(values, np.float64).reshape(-1, features)

    def other_seqs(self, entity: str) -> NDArray[np.int64]:
        """Return the events' numbers in the records of another entity; 0 where there is none or it is not known."""
        rows, parts = self.others(entity)
        seqs = np.zeros(len(self), np.int64)
        seqs[rows] = parts.field("seq").to_numpy(zero_copy_only=False)
        return seqs

    def other_ids(self, entity: str) -> list[str]:
        """Return the id of another entity that each event names; "" where its number is 0."""
        rows, parts = self.others(entity)
        ids = [""] * len(self)
        for row, id in zip(rows.tolist(), parts.field("id").to_pylist(), strict=True):
            ids[row] = id
        return ids

    def others(self, entity: str) -> tuple[NDArray[np.intp], pa.StructArray]:
        """Return the rows with a number in the records of another entity, and their structs of that entity."""
        column = self.table["entities"].combine_chunks()
        lengths = pc.list_value_length(column).fill_null(0).to_numpy()
        parts, row = column.flatten(), np.repeat(np.arange(len(self)), lengths)
        is_wanted = pc.equal(parts.field("entity"), entity)
        return row[is_wanted.to_numpy(zero_copy_only=False)], parts.filter(is_wanted)


def _places(column: pa.ChunkedArray, words: pa.Array) -> NDArray[np.uint8]:
    """Return the place of each word of a column among the words."""
    places: NDArray[np.uint8] = pc.index_in(column, words).to_numpy().astype(np.uint8)
    return places


def read_log(project: str, dataset: str, use_case: UseCase) -> Log:
    """Read all rows of the use case's present features, in no order. Raises SinkRefused, GoogleAPICallError."""
    of_features = f"use_case = '{use_case.name}' AND fingerprint = '{use_case.fingerprint}'"
    return Log(_read(project, dataset, ASSESSMENTS, ASSESSMENTS.rows.names, of_features))


def read_dead_letters(project: str, dataset: str, use_case: UseCase) -> list[dict[str, Any]]:
    """Read message id, reason, event type and event id (None: not known) of all dead letters, copies included."""
    where = f"use_case = '{use_case.name}'"
    return list(_read(project, dataset, DEAD_LETTERS, LETTERS, where).select(LETTERS).to_pylist())


def _read(project: str, dataset: str, table: Table, columns: Any, where: str) -> pa.Table:
    options = ReadSession.TableReadOptions(selected_fields=list(columns), row_restriction=where)
    wanted = ReadSession(
        table=f"projects/{project}/datasets/{dataset}/tables/{table.name}",
        data_format=DataFormat.ARROW,
        read_options=options,
    )
    client = read_client()
    try:
        parent = f"projects/{project}"
        session = client.create_read_session(parent=parent, read_session=wanted, max_stream_count=1)
        schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
        answers = [answer for stream in session.streams for answer in client.read_rows(stream.name)]
    finally:
        client.transport.close()
    batches = [pa.py_buffer(answer.arrow_record_batch.serialized_record_batch) for answer in answers]
    return pa.Table.from_batches([pa.ipc.read_record_batch(batch, schema) for batch in batches], schema)
