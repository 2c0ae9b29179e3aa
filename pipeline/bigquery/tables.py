"""The tables and views in BigQuery, declared once as Arrow schemas: what rows carry is what tables have.

A field that may not be null is REQUIRED, a list is REPEATED, a struct is a RECORD. Times are in
microseconds, UTC. Appending is at least once, so every table has a view with each row once; readers use it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from google.api_core.exceptions import Conflict, NotFound, ServerError
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_RETRY

from pipeline.runtime.errors import TableMismatch
from pipeline.runtime.metrics import REASONS

TIME = pa.timestamp("us", tz="UTC")
BIGQUERY_TYPES = {
    pa.string(): "STRING",
    pa.int64(): "INTEGER",
    pa.float64(): "FLOAT",
    pa.binary(): "BYTES",
    TIME: "TIMESTAMP",
}
CHECK_TIMEOUT_S = 5.0
AWAY = (ServerError, OSError)  # what BigQuery's client raises while it cannot be reached


@dataclass(frozen=True)
class Table:
    """A table and its view: `unique_by` names a row, `first` orders its copies, the best first.

    The column `of_first_sent` is that of the copy published first, which need not be the one that was assessed first.
    `renamed` are columns by their former names.
    """

    name: str
    description: str
    rows: pa.Schema
    day_of: str
    clustered_by: tuple[str, ...]
    unique_by: tuple[str, ...]
    first: str
    of_first_sent: str = ""
    renamed: Mapping[str, str] = field(default_factory=dict)

    @property
    def view(self) -> str:
        return f"{self.name}_unique"

    @property
    def columns(self) -> str:
        """What the view selects."""
        if not self.of_first_sent:
            return "*"
        copies = f"PARTITION BY {', '.join(self.unique_by)} ORDER BY publish_time"
        return f"* REPLACE (FIRST_VALUE({self.of_first_sent}) OVER ({copies}) AS {self.of_first_sent})"


@dataclass(frozen=True)
class Outcome:
    """What `create` did with one dataset, table or view: created, kept, extended, described or replaced."""

    kind: str
    name: str
    action: str


def required(name: str, type: pa.DataType, description: str) -> pa.Field:
    return pa.field(name, type, nullable=False, metadata={"description": description})


def optional(name: str, type: pa.DataType, description: str) -> pa.Field:
    return pa.field(name, type, metadata={"description": description})


ENTITY = pa.struct(
    [
        required("entity", pa.string(), "counterparty, device, terminal ..."),
        required("id", pa.string(), "which one"),
        required("seq", pa.int64(), "the event's number in that entity's record"),
    ]
)

ASSESSMENTS = Table(
    "assessments",
    "All that is said about one event. Appended at least once: read assessments_unique.",
    pa.schema(
        [
            required("event_id", pa.string(), "the event's id values, joined by colons"),
            required("event_type", pa.string(), "event type of the use case"),
            required("event_time", TIME, "when it happened, as the event says"),
            required("publish_time", TIME, "when Pub/Sub took it"),
            required("assessed_at", TIME, "when this row was made"),
            required("use_case", pa.string(), "name of the use case"),
            required("customer", pa.string(), "id of the subject"),
            required("seq", pa.int64(), "the event's number in the subject's record"),
            required("entities", pa.list_(ENTITY), "the event's number in the records of other entities"),
            required("disposition", pa.string(), "applied, duplicate"),
            optional("score", pa.float64(), "probability; null when the event was not scored"),
            required("level_before", pa.string(), "LOW, MEDIUM, HIGH"),
            required("level", pa.string(), "LOW, MEDIUM, HIGH"),
            optional("transition", pa.string(), "what the policy did beside the level; null for nothing"),
            required("features", pa.list_(pa.float64()), "features in the bundle's order, missing is NaN"),
            required("model", pa.string(), "version of the bundle"),
            required("fingerprint", pa.string(), "of the features, 16 hexadecimal digits"),
            required("body", pa.string(), "the event as received"),
            optional(
                "caller", pa.string(), "who sent it to the REST service; null: it came by the topic alone"
            ),
            optional("challenger", pa.string(), "version of the bundle in shadow; null when there was none"),
            optional("challenger_score", pa.float64(), "its probability; nothing follows from it"),
            optional("challenger_level", pa.string(), "what that reaches alone, by its own thresholds"),
            optional(
                "score_level",
                pa.string(),
                "what score reaches alone, by the model's thresholds; null when not scored",
            ),
        ]
    ),
    day_of="event_time",
    clustered_by=("customer",),
    unique_by=("use_case", "fingerprint", "customer", "event_type", "event_id", "seq"),
    # A duplicate that came by the topic alone does not know which model gave the score it repeats.
    first="ARRAY_LENGTH(features) = 0, disposition = 'duplicate' AND caller IS NULL, assessed_at",
    of_first_sent="caller",
    renamed={"change": "transition", "vector": "features"},
)

DEAD_LETTERS = Table(
    "dead_letters",
    "Messages that could not be used, and why. Appended at least once: read dead_letters_unique.",
    pa.schema(
        [
            required("use_case", pa.string(), "name of the use case"),
            required("reason", pa.string(), ", ".join(REASONS)),
            required("detail", pa.string(), "what was found and what was expected"),
            optional("event_type", pa.string(), "event type of the use case, as far as known"),
            optional("event_id", pa.string(), "the event's id values, as far as known"),
            optional("event_time", TIME, "when it happened, as far as known"),
            required("message_id", pa.string(), "Pub/Sub's id of the message"),
            required("publish_time", TIME, "when Pub/Sub took it"),
            required("rejected_at", TIME, "when this row was made"),
            required("body", pa.binary(), "the message's bytes"),
            required("attributes", pa.string(), "the message's attributes, a JSON object"),
        ]
    ),
    day_of="rejected_at",
    clustered_by=("use_case", "reason"),
    unique_by=("use_case", "message_id", "reason"),
    first="rejected_at",
)

AUDIT = Table(
    "audit",
    "Every request to the REST service that writes, tries an event or looks at a customer. Appended at least once: "
    "read audit_unique.",
    pa.schema(
        [
            required("id", pa.string(), "of the request, made by the service"),
            required("answered_at", TIME, "when its answer left"),
            required("use_case", pa.string(), "name of the use case"),
            optional(
                "caller", pa.string(), "e-mail address, subject:SUBJECT or anonymous; null: no good token"
            ),
            optional("role", pa.string(), "viewer, scorer, analyst, admin; null: none"),
            required("action", pa.string(), "look, try, send, override"),
            required("status", pa.int64(), "of the answer, as in HTTP"),
            optional("customer", pa.string(), "id of the subject, as far as known"),
            optional("event_type", pa.string(), "event type of the use case"),
            optional("event_id", pa.string(), "the event's id values, as far as known"),
            optional("author", pa.string(), "of an override: whose decision it says it is"),
            optional("address", pa.string(), "of the peer: the caller, or the gateway before it"),
            optional("trace_id", pa.string(), "of the caller's trace, if it has one"),
        ]
    ),
    day_of="answered_at",
    clustered_by=("customer",),
    unique_by=("id",),
    first="answered_at",
)

SHADOW_VIEW = "shadow"
# What a challenger would have said, by day: the levels are those of the scores alone, as it has no memory.
SHADOW_QUERY = """
SELECT use_case, fingerprint, model, challenger, DATE(event_time) AS day,
  COUNT(*) AS events,
  COUNT(DISTINCT customer) AS customers,
  AVG(score) AS mean_score,
  AVG(challenger_score) AS mean_challenger_score,
  AVG(ABS(challenger_score - score)) AS mean_difference,
  MAX(ABS(challenger_score - score)) AS max_difference,
  COUNTIF(challenger_level != score_level) AS other_level,
  COUNTIF(challenger_level = 'HIGH' AND score_level != 'HIGH') AS only_challenger_high,
  COUNTIF(score_level = 'HIGH' AND challenger_level != 'HIGH') AS only_model_high
FROM `{}` WHERE challenger_score IS NOT NULL
GROUP BY use_case, fingerprint, model, challenger, day
""".strip()
TABLES: Mapping[str, Table] = {table.name: table for table in (ASSESSMENTS, DEAD_LETTERS, AUDIT)}
OF_JOB = (ASSESSMENTS, DEAD_LETTERS)  # what a job appends to


def create(client: bigquery.Client, dataset: str, location: str = "EU") -> list[Outcome]:
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


def create_dataset(client: bigquery.Client, dataset: str, location: str) -> Outcome:
    declared = bigquery.Dataset(f"{client.project}.{dataset}")
    declared.location = location
    try:
        client.create_dataset(declared)
    except Conflict:
        return Outcome("dataset", dataset, "kept")
    return Outcome("dataset", dataset, "created")


def create_table(client: bigquery.Client, dataset: str, table: Table) -> Outcome:
    declared = declaration(f"{client.project}.{dataset}.{table.name}", table)
    name = f"{dataset}.{table.name}"
    try:
        client.create_table(declared)
    except Conflict:
        existing = client.get_table(declared.reference)
        missing = missing_columns(existing, declared, table.renamed)
        columns = [*described(existing.schema, declared.schema), *missing]
        if columns == existing.schema:
            return Outcome("table", name, "kept")
        existing.schema = columns
        client.update_table(existing, ["schema"])
        return Outcome("table", name, "extended" if missing else "described")
    return Outcome("table", name, "created")


def described(
    existing: Iterable[bigquery.SchemaField], declared: Iterable[bigquery.SchemaField]
) -> list[bigquery.SchemaField]:
    """The existing columns with the descriptions that are declared now."""
    texts = {column.name: column.description for column in declared}
    return [
        bigquery.SchemaField.from_api_repr(
            column.to_api_repr() | {"description": texts.get(column.name, column.description)}
        )
        for column in existing
    ]


def create_view(client: bigquery.Client, dataset: str, table: Table, stale: bool) -> Outcome:
    """A view holds no data: it is replaced when its text is another or its table has new columns (stale)."""
    query = unique_rows(f"{client.project}.{dataset}.{table.name}", table)
    return make_view(client, f"{dataset}.{table.view}", query, stale)


def make_view(client: bigquery.Client, name: str, query: str, stale: bool) -> Outcome:
    declared = bigquery.Table(f"{client.project}.{name}")
    declared.view_query = query
    try:
        client.create_table(declared)
    except Conflict:
        if client.get_table(declared.reference).view_query == query and not stale:
            return Outcome("view", name, "kept")
        client.update_table(declared, ["view_query"])  # also reads its columns anew
        return Outcome("view", name, "replaced")
    return Outcome("view", name, "created")


def unique_rows(path: str, table: Table, columns: str = "", where: str = "TRUE") -> str:
    """SQL for each row of the table once; `where` must hold for the first of its copies if for any."""
    copies = f"ROW_NUMBER() OVER (PARTITION BY {', '.join(table.unique_by)} ORDER BY {table.first})"
    return f"SELECT {columns or table.columns} FROM `{path}` WHERE {where} QUALIFY {copies} = 1"


def declaration(path: str, table: Table) -> bigquery.Table:
    declared = bigquery.Table(path, schema=[bigquery_field(field) for field in table.rows])
    declared.description = table.description
    declared.time_partitioning = bigquery.TimePartitioning(
        type_=bigquery.TimePartitioningType.DAY, field=table.day_of
    )
    declared.clustering_fields = list(table.clustered_by)
    return declared


def bigquery_field(field: pa.Field) -> bigquery.SchemaField:
    """The column of a table for a field of its rows."""
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
    found: bigquery.Table, declared: bigquery.Table, renamed: Mapping[str, str]
) -> list[bigquery.SchemaField]:
    """Return the columns to add to `found`. Raises TableMismatch, naming what cannot be mended by adding columns."""
    refuse_former_names(found, renamed)
    differences = list(layout_differences(found, declared))
    there = {column.name for column in found.schema}
    missing = [column for column in declared.schema if column.name not in there]
    differences += [f"{c.name} is missing and REQUIRED" for c in missing if c.mode == "REQUIRED"]
    differences += column_differences(found.schema, [c for c in declared.schema if c.name in there])
    if differences:
        raise TableMismatch(
            f"table {found.full_table_id} is not the one expected: {'; '.join(differences)}. "
            "Rename or drop it, or choose another dataset."
        )
    return missing


def refuse_former_names(found: bigquery.Table, renamed: Mapping[str, str]) -> None:
    """Raises TableMismatch if the table has columns that are called differently now, and lacks their new names."""
    there = {column.name for column in found.schema}
    former = {old: new for old, new in renamed.items() if old in there and new not in there}
    if former:
        names = ", ".join(f"{old} is called {new} now" for old, new in former.items())
        clauses = ", ".join(f"RENAME COLUMN {old} TO {new}" for old, new in former.items())
        raise TableMismatch(
            f"table {found.full_table_id} has columns of an earlier version: {names}. "
            f"Run `ALTER TABLE {found.reference} {clauses}`, then `riskstream tables`."
        )


def layout_differences(found: bigquery.Table, declared: bigquery.Table) -> Iterator[str]:
    layouts = [
        ("partitioned by day of", partition(found), partition(declared)),
        ("clustered by", found.clustering_fields, declared.clustering_fields),
    ]
    for what, there, expected in layouts:
        if there != expected:
            yield f"{what} {there}, expected {expected}"


def partition(table: bigquery.Table) -> str | None:
    by = table.time_partitioning
    return by.field if by and by.type_ == bigquery.TimePartitioningType.DAY else None


def column_differences(
    found: Iterable[bigquery.SchemaField], declared: Iterable[bigquery.SchemaField], parent: str = ""
) -> Iterator[str]:
    """What is wrong with the columns found, deep into records; columns that nobody declared may be there."""
    there = {column.name: column for column in found}
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
