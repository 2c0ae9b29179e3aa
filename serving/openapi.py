"""What an event looks like in OpenAPI (JSON Schema), from the use case: the same types that decode it."""

from typing import Any

import msgspec
from fastapi import FastAPI

from features.events import codecs
from features.usecase import EventType, Field, Kind, UseCase
from serving.access import Access
from serving.formats import pattern_of

FORMATS = {Kind.TIME: "date-time", Kind.DATE: "date"}


def document(application: FastAPI, access: Access | None, root_path: str) -> dict[str, Any]:
    """The whole document: where the service is, and with which tokens it is asked."""
    found = application.openapi()
    if root_path:
        found["servers"] = [{"url": root_path}]
    if access:
        found.setdefault("components", {})["securitySchemes"] = {"token": scheme(access)}
        for path in found["paths"].values():
            for operation in path.values():
                operation["security"] = [{"token": []}]
    return found


def scheme(access: Access) -> dict[str, Any]:
    """How OpenAPI names the tokens."""
    description = f"A token of {access.issuer} for the audience {access.audience}"
    return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": description}


def request_body(use_case: UseCase, event_type: str) -> dict[str, Any]:
    """The part of an operation that says what its body is."""
    return {"required": True, "content": {"application/json": {"schema": event_schema(use_case, event_type)}}}


def event_schema(use_case: UseCase, event_type: str) -> dict[str, Any]:
    """Fields that are not declared are taken and not looked at."""
    known = codecs(use_case)[event_type]
    fields = known.event_type.fields
    return {
        "type": "object",
        "title": event_type,
        "properties": {name: _field(known.types[name], f, known.event_type) for name, f in fields.items()},
        "required": [name for name, f in fields.items() if not f.optional],
    }


def _field(kind: Any, f: Field, event_type: EventType) -> dict[str, Any]:
    found = dict(msgspec.json.schema(kind))
    if f.description:
        found["description"] = f.description
    text = {"pattern": pattern_of(f, event_type), "format": None if f.optional else FORMATS.get(f.kind)}
    for each in found.get("anyOf", [found]):
        if each.get("type") == "string":
            each.update({name: value for name, value in text.items() if value})
    return found
