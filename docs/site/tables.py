"""The reference of the tables in BigQuery, made from their declaration."""

import pyarrow as pa

from docs.site.markdown import code, notice, table
from pipeline.bigquery import differences, schemas
from pipeline.bigquery.schemas import Table

TABLES = (schemas.ASSESSMENTS, schemas.DEAD_LETTERS, schemas.AUDIT)
INTRODUCTION = """# Tables

The tables that `riskstream tables` makes in BigQuery. Rows are appended at least once, so each table has a view that
shows every row once: read the view. Times are UTC with microseconds. A later version may add a column; it never renames
or removes one ([compatibility](../compatibility.md)).

"""


def page() -> str:
    """Return docs/reference/tables.md."""
    return notice("the declarations of tables in pipeline/") + INTRODUCTION + "\n".join(map(_section, TABLES))


def _section(each: Table) -> str:
    facts = (
        f"{each.description}\n\n"
        f"View `{each.view}`. One row for each ({', '.join(map(code, each.unique_by))}). "
        f"Partitioned by the day of `{each.day_of}`, clustered by {', '.join(map(code, each.clustered_by))}.\n\n"
    )
    rows = [row for field in each.rows for row in _rows(field)]
    return f"## {each.name}\n\n{facts}{table(('column', 'type', 'mode', 'meaning'), rows)}"


def _rows(field: pa.Field, parent: str = "") -> list[tuple[str, str, str, str]]:
    """Return a row for the column, and one for each part of a record."""
    column = differences.bigquery_field(field)
    row = (code(parent + column.name), column.field_type, column.mode, column.description)
    item = field.type.value_type if pa.types.is_list(field.type) else field.type
    parts = list(item) if pa.types.is_struct(item) else []
    return [row, *(each for part in parts for each in _rows(part, f"{parent}{column.name}."))]
