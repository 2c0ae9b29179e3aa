"""The tables and views in BigQuery, declared as Arrow schemas: what rows carry is what tables have.

A field that may not be null is REQUIRED, a list is REPEATED, a struct is a RECORD. Times are in
microseconds, UTC. Appending is at least once, so every table has a view with each row once; readers use it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from pipeline.runtime.metrics import REASONS

TIME = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class Table:
    """A table and its view: `unique_by` names a row, `first` orders its copies, the best first.

    The value of the column `of_first_sent` is taken from the copy that was published first.
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
        """The columns that the view selects, as SQL."""
        if not self.of_first_sent:
            return "*"
        copies = f"PARTITION BY {', '.join(self.unique_by)} ORDER BY publish_time"
        return f"* REPLACE (FIRST_VALUE({self.of_first_sent}) OVER ({copies}) AS {self.of_first_sent})"


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


def unique_rows(path: str, table: Table, columns: str = "", where: str = "TRUE") -> str:
    """Return Return SQL for each row of the table once; `where` must hold for the first of its copies if for any."""
    copies = f"ROW_NUMBER() OVER (PARTITION BY {', '.join(table.unique_by)} ORDER BY {table.first})"
    return f"SELECT {columns or table.columns} FROM `{path}` WHERE {where} QUALIFY {copies} = 1"
