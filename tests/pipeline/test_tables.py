"""Tables and views: created once, kept, extended, refused when they are others; against the emulator."""

from dataclasses import replace

import pyarrow as pa
import pytest
from google.cloud import bigquery

from pipeline.bigquery import differences, schemas, tables
from pipeline.bigquery.client import query_client
from pipeline.runtime.errors import TableMismatch
from pipeline.runtime.provisioned import Provisioned

ROW = {  # as SQL; a row also has its event and customer
    "event_type": "'t'", "event_time": "TIMESTAMP '2026-03-01 10:00:00'", "publish_time": "CURRENT_TIMESTAMP()",
    "assessed_at": "CURRENT_TIMESTAMP()", "use_case": "'u'", "seq": "1", "disposition": "'applied'",
    "level_before": "'LOW'", "level": "'LOW'", "model": "'old'", "fingerprint": "'f'", "body": "'{}'",
}  # fmt: skip


@pytest.fixture(scope="module")
def client(bigquery_server: None) -> bigquery.Client:
    return query_client("local-project")


def actions(outcomes: list[Provisioned]) -> dict[str, str]:
    return {outcome.name: outcome.action for outcome in outcomes}


def test_created_then_kept(client: bigquery.Client) -> None:
    names = [
        "risk",
        "risk.assessments",
        "risk.assessments_unique",
        "risk.dead_letters",
        "risk.dead_letters_unique",
        "risk.audit",
        "risk.audit_unique",
        "risk.shadow",
    ]
    assert actions(tables.create(client, "risk")) == dict.fromkeys(names, "created")
    assert actions(tables.create(client, "risk")) == dict.fromkeys(names, "kept")
    tables.check(client, "risk")


def test_layout(client: bigquery.Client) -> None:
    tables.create(client, "layout")
    table = client.get_table("layout.assessments")
    assert (table.time_partitioning.type_, table.time_partitioning.field) == ("DAY", "event_time")
    assert table.clustering_fields == ["customer"]
    columns = {column.name: column for column in table.schema}
    assert list(columns) == schemas.ASSESSMENTS.rows.names
    assert (columns["features"].field_type, columns["features"].mode) == ("FLOAT", "REPEATED")
    assert [part.name for part in columns["entities"].fields] == ["entity", "id", "seq"]
    assert client.get_table("layout.dead_letters").time_partitioning.field == "rejected_at"


def test_another_table_of_that_name_is_refused(client: bigquery.Client) -> None:
    client.create_dataset("other")
    fields = [differences.bigquery_field(field) for field in schemas.ASSESSMENTS.rows]
    wrong = [bigquery.SchemaField(f.name, "STRING") if f.name in ("seq", "score") else f for f in fields]
    wrong = [field for field in wrong if field.name != "body"]
    client.create_table(bigquery.Table(f"{client.project}.other.assessments", schema=wrong))
    expected = (
        r"other\.assessments.*partitioned by day of None, expected event_time.*"
        r"body is missing and REQUIRED.*seq is NULLABLE STRING, expected REQUIRED INTEGER.*"
        r"score is NULLABLE STRING, expected NULLABLE FLOAT"
    )
    with pytest.raises(TableMismatch, match=expected):
        tables.create(client, "other")


def test_a_table_with_former_names_of_columns_is_refused_with_the_new_ones(client: bigquery.Client) -> None:
    client.create_dataset("former")
    was = {new: old for old, new in schemas.ASSESSMENTS.renamed.items()}
    assert was == {"transition": "change", "features": "vector"}
    declared = differences.declaration(f"{client.project}.former.assessments", schemas.ASSESSMENTS)
    declared.schema = [
        bigquery.SchemaField.from_api_repr(column.to_api_repr() | {"name": was.get(column.name, column.name)})
        for column in declared.schema
    ]
    client.create_table(declared)
    expected = (
        r"former\.assessments .*: change is called transition now, vector is called features now. Run `ALTER TABLE "
        r"local-project\.former\.assessments RENAME COLUMN change TO transition, RENAME COLUMN vector TO features`"
    )
    for refuse in (tables.create, tables.check):
        with pytest.raises(TableMismatch, match=expected):
            refuse(client, "former")


def test_new_columns_are_added_and_seen_through_the_view(client: bigquery.Client) -> None:
    tables.create(client, "growing")
    added = [
        schemas.optional("shadow_score", pa.float64(), "of the challenger"),
        schemas.optional("reasons", pa.list_(pa.string()), "why"),
    ]
    grown = replace(schemas.DEAD_LETTERS, rows=pa.schema([*schemas.DEAD_LETTERS.rows, *added]))
    assert tables.create_table(client, "growing", grown).action == "extended"
    assert tables.create_view(client, "growing", grown, stale=True).action == "replaced"
    assert tables.create_table(client, "growing", grown).action == "kept"
    assert tables.create_table(client, "growing", schemas.DEAD_LETTERS).action == "kept"
    rows = client.query_and_wait("SELECT shadow_score, reasons FROM growing.dead_letters_unique")
    assert rows.total_rows == 0


def test_tables_of_an_earlier_version_are_brought_up_to_date(client: bigquery.Client) -> None:
    """The view once hid the second leg of a transfer, and the description was another."""
    tables.create(client, "earlier")
    narrow = replace(schemas.ASSESSMENTS, unique_by=("use_case", "fingerprint", "event_id", "seq"))
    assert tables.create_view(client, "earlier", narrow, stale=False).action == "replaced"
    for customer in ("payer", "payee", "payee"):
        values = {"event_id": "'transfer-1'", "event_type": "'transfer'", "customer": f"'{customer}'"}
        inserted(client, "earlier", ROW | values)
    assert customers(client) == 1
    old = client.get_table("earlier.assessments")
    described = {column.name: column.description for column in old.schema}
    old.schema = [
        bigquery.SchemaField.from_api_repr(column.to_api_repr() | {"description": "an earlier text"})
        for column in old.schema
    ]
    client.update_table(old, ["schema"])
    outcomes = actions(tables.create(client, "earlier"))
    assert outcomes["earlier.assessments_unique"] == "replaced"
    assert outcomes["earlier.assessments"] == "described" and outcomes["earlier.dead_letters"] == "kept"
    assert customers(client) == 2
    now = client.get_table("earlier.assessments")
    assert {column.name: column.description for column in now.schema} == described
    assert set(actions(tables.create(client, "earlier")).values()) == {"kept"}


def customers(client: bigquery.Client) -> int:
    return client.query_and_wait("SELECT customer FROM earlier.assessments_unique").total_rows


def inserted(client: bigquery.Client, dataset: str, values: dict[str, str]) -> None:
    """One row of assessments, given as SQL."""
    client.query_and_wait(
        f"INSERT INTO {dataset}.assessments ({', '.join(values)}) VALUES ({', '.join(values.values())})"
    )


def test_the_view_of_the_shadow_compares_by_day(client: bigquery.Client) -> None:
    tables.create(client, "shady")
    said = [
        ("a", 0.2, 0.3, "LOW", "LOW"), ("b", 0.2, 0.7, "LOW", "HIGH"), ("c", 0.9, 0.6, "HIGH", "MEDIUM"),
        ("c", 0.9, 0.6, "HIGH", "MEDIUM"),
    ]  # fmt: skip
    for event, score, own, level, own_level in said:
        of_event = {"event_id": f"'{event}'", "customer": f"'{event}'", "score": f"{score}"}
        of_challenger = {
            "challenger_score": f"{own}",
            "challenger_level": f"'{own_level}'",
            "challenger": "'new'",
        }
        inserted(client, "shady", ROW | of_event | of_challenger | {"score_level": f"'{level}'"})
    alone = {"event_id": "'d'", "customer": "'d'", "score": "0.5", "score_level": "'LOW'"}
    inserted(client, "shady", ROW | alone)
    (found,) = client.query_and_wait("SELECT * FROM shady.shadow")
    assert (found["model"], found["challenger"], str(found["day"])) == ("old", "new", "2026-03-01")
    assert (found["events"], found["customers"]) == (3, 3), "copies once, and only what was in shadow"
    assert found["mean_difference"] == pytest.approx(0.3) and found["max_difference"] == pytest.approx(0.5)
    assert found["mean_challenger_score"] - found["mean_score"] == pytest.approx(0.1)
    assert [found[n] for n in ("other_level", "only_challenger_high", "only_model_high")] == [2, 1, 1]


def test_a_missing_table_is_named_with_what_to_do(client: bigquery.Client) -> None:
    client.create_dataset("empty")
    with pytest.raises(TableMismatch, match=r"empty\.assessments: run `riskstream tables`"):
        tables.check(client, "empty")


@pytest.mark.parametrize("table", schemas.TABLES.values(), ids=schemas.TABLES)
def test_keys_name_columns_that_are_there(table: schemas.Table) -> None:
    assert {*table.unique_by, *table.clustered_by, table.day_of} <= set(table.rows.names)


def test_the_log_names_whoever_sent_an_event_first(client: bigquery.Client) -> None:
    """Copies are written in any order; a column that was not there yet is null in older rows."""
    tables.create(client, "callers")
    values = {
        "event_id": "'t'", "event_type": "'t'", "event_time": "TIMESTAMP '2026-03-01 10:00:00'", "use_case": "'u'",
        "customer": "'c'", "seq": "1", "disposition": "'applied'", "level_before": "'LOW'", "level": "'LOW'",
        "model": "'m'", "fingerprint": "'f'", "body": "'{}'", "features": "[1.0]",
    }  # fmt: skip
    for minute, assessed, caller in ((3, 1, "'eve'"), (1, 2, "'ann'"), (1, 3, "'ann'"), (2, 0, "NULL")):
        of_copy = (
            f"TIMESTAMP '2026-03-01 10:0{minute}:00', TIMESTAMP '2026-03-01 11:0{assessed}:00', {caller}"
        )
        client.query_and_wait(
            f"INSERT INTO callers.assessments ({', '.join(values)}, publish_time, assessed_at, caller) "
            f"VALUES ({', '.join(values.values())}, {of_copy})"
        )
    (row,) = client.query_and_wait("SELECT caller FROM callers.assessments_unique")
    assert row["caller"] == "ann"
