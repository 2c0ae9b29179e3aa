"""Tables and views made in BigQuery, brought up to date, and checked before a job starts."""

from collections.abc import Iterable
from typing import Any

from google.api_core.exceptions import Conflict, NotFound
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_RETRY

from pipeline.bigquery.differences import declaration, missing_columns
from pipeline.bigquery.schemas import (
    ASSESSMENTS,
    OF_JOB,
    SHADOW_QUERY,
    SHADOW_VIEW,
    TABLES,
    Table,
    unique_rows,
)
from pipeline.runtime.errors import TableMismatch
from pipeline.runtime.provisioned import Provisioned

CHECK_TIMEOUT_S = 5.0


def create(client: bigquery.Client, dataset: str, location: str = "EU") -> list[Provisioned]:
    """Make what is missing of the dataset, tables and views, and bring what is there up to date. Idempotent.

    New columns that may be null are added, descriptions renewed, views of another definition replaced.
    Raises TableMismatch when a table is there with other columns, and
    `google.api_core.exceptions.GoogleAPICallError` when BigQuery cannot be used.
    """
    outcomes = [create_dataset(client, dataset, location)]
    for table in TABLES.values():
        of_table = create_table(client, dataset, table)
        outcomes += [of_table, create_view(client, dataset, table, stale=of_table.action == "extended")]
    path = f"{client.project}.{dataset}.{ASSESSMENTS.view}"
    return [*outcomes, make_view(client, f"{dataset}.{SHADOW_VIEW}", SHADOW_QUERY.format(path), stale=False)]


def check(
    client: bigquery.Client, dataset: str, needed: Iterable[Table] = OF_JOB, retry: Any = DEFAULT_RETRY
) -> None:
    """Check that rows can be appended to the tables. Raises TableMismatch, saying what to do, if not.

    While BigQuery is away it is asked again as `retry` says; None: once.
    """
    for table in needed:
        declared = declaration(f"{client.project}.{dataset}.{table.name}", table)
        try:
            found = client.get_table(declared.reference, retry, CHECK_TIMEOUT_S)
        except NotFound as error:
            raise TableMismatch(f"no table {declared.reference}: run `riskstream tables`") from error
        missing = missing_columns(found, declared, table.renamed)
        if missing:
            names = ", ".join(column.name for column in missing)
            raise TableMismatch(f"table {declared.reference} lacks {names}: run `riskstream tables`")


def create_dataset(client: bigquery.Client, dataset: str, location: str) -> Provisioned:
    declared = bigquery.Dataset(f"{client.project}.{dataset}")
    declared.location = location
    try:
        client.create_dataset(declared)
    except Conflict:
        return Provisioned("dataset", dataset, "kept")
    return Provisioned("dataset", dataset, "created")


def create_table(client: bigquery.Client, dataset: str, table: Table) -> Provisioned:
    declared = declaration(f"{client.project}.{dataset}.{table.name}", table)
    name = f"{dataset}.{table.name}"
    try:
        client.create_table(declared)
    except Conflict:
        existing = client.get_table(declared.reference)
        missing = missing_columns(existing, declared, table.renamed)
        columns = [*described(existing.schema, declared.schema), *missing]
        if columns == existing.schema:
            return Provisioned("table", name, "kept")
        existing.schema = columns
        client.update_table(existing, ["schema"])
        return Provisioned("table", name, "extended" if missing else "described")
    return Provisioned("table", name, "created")


def described(
    existing: Iterable[bigquery.SchemaField], declared: Iterable[bigquery.SchemaField]
) -> list[bigquery.SchemaField]:
    """Return the existing columns with the descriptions that are declared now."""
    texts = {column.name: column.description for column in declared}
    return [
        bigquery.SchemaField.from_api_repr(
            column.to_api_repr() | {"description": texts.get(column.name, column.description)}
        )
        for column in existing
    ]


def create_view(client: bigquery.Client, dataset: str, table: Table, stale: bool) -> Provisioned:
    """Make or replace the view of a table; it is replaced if its text differs, or its table has new columns (stale)."""
    query = unique_rows(f"{client.project}.{dataset}.{table.name}", table)
    return make_view(client, f"{dataset}.{table.view}", query, stale)


def make_view(client: bigquery.Client, name: str, query: str, stale: bool) -> Provisioned:
    declared = bigquery.Table(f"{client.project}.{name}")
    declared.view_query = query
    try:
        client.create_table(declared)
    except Conflict:
        if client.get_table(declared.reference).view_query == query and not stale:
            return Provisioned("view", name, "kept")
        client.update_table(declared, ["view_query"])  # also reads its columns anew
        return Provisioned("view", name, "replaced")
    return Provisioned("view", name, "created")
