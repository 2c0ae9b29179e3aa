"""Routes of the OpenAPI document and its Swagger UI. All assets are served from here: there may be no internet."""

from collections.abc import Awaitable, Callable
from html import escape
from importlib.resources import files
from typing import Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import FileResponse, HTMLResponse

ASSETS = files("fastapi_offline") / "static"
MEDIA_TYPES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
}
PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css"></head>
<body><div id="page"></div>
<script src="docs/swagger-ui-bundle.js"></script><script src="docs/start.js"></script></body>
</html>
"""
# Addresses are relative to the page's. Without a validator: it would be asked over the internet.
START = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#page", validatorUrl: null, deepLinking: true})'
Check = Callable[[Request], Awaitable[None]]


def pages(title: str, document: dict[str, Any], check: Check) -> APIRouter:
    """Return the routes of the document and of its page, each behind `check`."""
    router = APIRouter(include_in_schema=False, dependencies=[Depends(check)])
    body = msgspec.json.encode(document)

    @router.get("/openapi.json")
    async def openapi() -> Response:
        return Response(body, media_type="application/json")

    @router.get("/docs")
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE.format(title=escape(title)), headers=HEADERS)

    @router.get("/docs/start.js")
    async def start() -> Response:
        return Response(START, media_type="text/javascript", headers=HEADERS)

    for name in MEDIA_TYPES:
        router.add_api_route(f"/docs/{name}", asset(name), methods=["GET"])
    return router


def asset(name: str) -> Callable[[], Awaitable[FileResponse]]:
    """Return the handler that serves one of Swagger UI's files."""

    async def answered() -> FileResponse:
        return FileResponse(str(ASSETS / name), media_type=MEDIA_TYPES[name], headers=HEADERS)

    return answered
