"""The OpenAPI document, with the schema of each event made from the types that decode it."""

from typing import Any

import msgspec
from fastapi import FastAPI

from features.events import codecs
from features.usecase import EventType, Field, Kind, UseCase
from serving.auth.access import Access
from serving.http.formats import pattern_of

FORMATS = {Kind.TIME: "date-time", Kind.DATE: "date"}


def document(application: FastAPI, access: Access | None, root_path: str) -> dict[str, Any]:
    """Return the complete document, with the address of the service and the tokens that it takes."""
    content = application.openapi()
    if root_path:
        content["servers"] = [{"url": root_path}]
    if access:
        content.setdefault("components", {})["securitySchemes"] = {"token": scheme(access)}
        for path in content["paths"].values():
            for operation in path.values():
                operation["security"] = [{"token": []}]
    return content


def scheme(access: Access) -> dict[str, Any]:
    """Return the security scheme of the tokens."""
    description = f"A token of {access.issuer} for the audience {access.audience}"
    return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": description}


def request_body(use_case: UseCase, event_type: str) -> dict[str, Any]:
    """Return the request body of an operation."""
    return {"required": True, "content": {"application/json": {"schema": event_schema(use_case, event_type)}}}


def event_schema(use_case: UseCase, event_type: str) -> dict[str, Any]:
    """Return the JSON Schema of an event; fields that are not declared are accepted and ignored."""
    known = codecs(use_case)[event_type]
    fields = known.event_type.fields
    return {
        "type": "object",
        "title": event_type,
        "properties": {name: _field(known.types[name], f, known.event_type) for name, f in fields.items()},
        "required": [name for name, f in fields.items() if not f.optional],
    }


def _field(kind: Any, f: Field, event_type: EventType) -> dict[str, Any]:
    schema = dict(msgspec.json.schema(kind))
    if f.description:
        schema["description"] = f.description
    text = {"pattern": pattern_of(f, event_type), "format": None if f.optional else FORMATS.get(f.kind)}
    for each in schema.get("anyOf", [schema]):
        if each.get("type") == "string":
            each.update({name: value for name, value in text.items() if value})
    return schema
