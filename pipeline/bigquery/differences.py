"""A table in BigQuery compared with its declaration: which columns to add, and what cannot be mended so."""

from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa
from google.cloud import bigquery

from pipeline.bigquery.schemas import TIME, Table
from pipeline.runtime.errors import TableMismatch

BIGQUERY_TYPES = {
    pa.string(): "STRING",
    pa.int64(): "INTEGER",
    pa.float64(): "FLOAT",
    pa.binary(): "BYTES",
    TIME: "TIMESTAMP",
}


def declaration(path: str, table: Table) -> bigquery.Table:
    declared = bigquery.Table(path, schema=[bigquery_field(field) for field in table.rows])
    declared.description = table.description
    declared.time_partitioning = bigquery.TimePartitioning(
        type_=bigquery.TimePartitioningType.DAY, field=table.day_of
    )
    declared.clustering_fields = list(table.clustered_by)
    return declared


def bigquery_field(field: pa.Field) -> bigquery.SchemaField:
    """Return the column of a table for a field of its rows."""
    repeated = pa.types.is_list(field.type)
    item = field.type.value_type if repeated else field.type
    return bigquery.SchemaField(
        field.name,
        "RECORD" if pa.types.is_struct(item) else BIGQUERY_TYPES[item],
        mode="REPEATED" if repeated else "NULLABLE" if field.nullable else "REQUIRED",
        description=field.metadata[b"description"].decode(),
        fields=[bigquery_field(part) for part in item] if pa.types.is_struct(item) else (),
    )


def missing_columns(
    table: bigquery.Table, declared: bigquery.Table, renamed: Mapping[str, str]
) -> list[bigquery.SchemaField]:
    """Return the columns to add to `table`. Raises TableMismatch, naming what cannot be mended by adding columns."""
    refuse_former_names(table, renamed)
    differences = list(layout_differences(table, declared))
    there = {column.name for column in table.schema}
    missing = [column for column in declared.schema if column.name not in there]
    differences += [f"{c.name} is missing and REQUIRED" for c in missing if c.mode == "REQUIRED"]
    differences += column_differences(table.schema, [c for c in declared.schema if c.name in there])
    if differences:
        raise TableMismatch(
            f"table {table.full_table_id} is not the one expected: {'; '.join(differences)}. "
            "Rename or drop it, or choose another dataset."
        )
    return missing


def refuse_former_names(table: bigquery.Table, renamed: Mapping[str, str]) -> None:
    """Refuse a table with columns under former names and without the new ones. Raises TableMismatch."""
    there = {column.name for column in table.schema}
    former = {old: new for old, new in renamed.items() if old in there and new not in there}
    if former:
        names = ", ".join(f"{old} is called {new} now" for old, new in former.items())
        clauses = ", ".join(f"RENAME COLUMN {old} TO {new}" for old, new in former.items())
        raise TableMismatch(
            f"table {table.full_table_id} has columns of an earlier version: {names}. "
            f"Run `ALTER TABLE {table.reference} {clauses}`, then `riskstream tables`."
        )


def layout_differences(table: bigquery.Table, declared: bigquery.Table) -> Iterator[str]:
    layouts = [
        ("partitioned by day of", partition(table), partition(declared)),
        ("clustered by", table.clustering_fields, declared.clustering_fields),
    ]
    for what, there, expected in layouts:
        if there != expected:
            yield f"{what} {there}, expected {expected}"


def partition(table: bigquery.Table) -> str | None:
    by = table.time_partitioning
    return by.field if by and by.type_ == bigquery.TimePartitioningType.DAY else None


def column_differences(
    columns: Iterable[bigquery.SchemaField], declared: Iterable[bigquery.SchemaField], parent: str = ""
) -> Iterator[str]:
    """Yield the differences of columns, deep into records; columns that nobody declared may exist."""
    there = {column.name: column for column in columns}
    for column in declared:
        name = f"{parent}{column.name}"
        if column.name not in there:
            yield f"{name} is missing"
            continue
        of_table, expected = column_type(there[column.name]), column_type(column)
        if of_table != expected:
            yield f"{name} is {of_table}, expected {expected}"
        yield from column_differences(there[column.name].fields, column.fields, f"{name}.")


def column_type(column: bigquery.SchemaField) -> str:
    return f"{column.mode} {column.field_type}"
