"""Terraform's input from the code: topics and tables, as JSON beside its own files (`make declarations`).

The code is the one source. USE_CASE, PROJECT and DATASET stand for what only Terraform knows.
"""

import json
from pathlib import Path
from typing import Any

from pipeline.bigquery import differences, schemas
from pipeline.pubsub import topics

FOLDER = Path(__file__).parent
ROLES = ("events", "alerts", "dead_letters")  # properties of topics.Names
DATASET_PATH = "PROJECT.DATASET"


def declarations() -> dict[str, str]:
    """Return the declarations by file name."""
    return {"topics.json": _json(topic_declarations()), "tables.json": _json(table_declarations())}


def topic_declarations() -> dict[str, Any]:
    names = topics.Names("PROJECT", "USE_CASE")
    paths = {role: getattr(names, role) for role in ROLES}
    return {
        "topics": {
            role: {"topic": topics.short(path), "subscription": topics.short(names.reader(path))}
            for role, path in paths.items()
        },
        "ack_deadline_s": topics.ACK_DEADLINE_S,
        "retention_s": int(topics.RETENTION.total_seconds()),
    }


def table_declarations() -> dict[str, Any]:
    """`views` read tables, `reports` read views: they are made in this order."""
    declared = schemas.TABLES.values()
    return {
        "tables": {table.name: _table(table) for table in declared},
        "views": {
            table.view: schemas.unique_rows(f"{DATASET_PATH}.{table.name}", table) for table in declared
        },
        "reports": {
            schemas.SHADOW_VIEW: schemas.SHADOW_QUERY.format(f"{DATASET_PATH}.{schemas.ASSESSMENTS.view}")
        },
    }


def _table(table: schemas.Table) -> dict[str, Any]:
    return {
        "description": table.description,
        "day_of": table.day_of,
        "clustered_by": list(table.clustered_by),
        "schema": [differences.bigquery_field(field).to_api_repr() for field in table.rows],
    }


def _json(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"
