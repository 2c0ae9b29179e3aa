"""Requests to handlers by method and path, and refusals as Google's services word them."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

CODES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "CONDITION_NOT_MET": 412,
    "NOT_IMPLEMENTED": 501,
    "UNAVAILABLE": 503,
}


class Refused(Exception):
    """A request that the real service would not serve either; `status` is a key of CODES."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass(frozen=True)
class Request:
    """`path` are the named parts of the path, decoded."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body or b"{}")


@dataclass(frozen=True)
class Answer:
    body: bytes = b""
    code: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    """A method, a path with `{names}` and who answers; a name is one part, `{name*}` all the rest."""

    method: str
    path: str
    handle: Callable[[Request], Answer]

    def match(self, method: str, path: str) -> dict[str, str] | None:
        pattern = re.sub(r"\\{(\w+)(\\\*)?\\}", lambda m: f"(?P<{m[1]}>{'.+' if m[2] else '[^/:]+'})",
                         re.escape(self.path))  # fmt: skip
        found = re.fullmatch(pattern, path) if method == self.method else None
        return {name: unquote(part) for name, part in found.groupdict().items()} if found else None


def as_json(value: Any, code: int = 200) -> Answer:
    return Answer(json.dumps(value).encode(), code, {"Content-Type": "application/json"})


def handler_of(routes: list[Route]) -> type[BaseHTTPRequestHandler]:
    """The class that an HTTP server makes for each connection."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                answer = self.answered(body)
            except Refused as refused:
                code = CODES[refused.status]
                error = {"code": code, "message": refused.message, "status": refused.status}
                answer = as_json({"error": error}, code)
            self.send_response(answer.code)
            for name, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def answered(self, body: bytes) -> Answer:
            url = urlsplit(self.path)
            for route in routes:
                found = route.match(self.command, url.path)
                if found is not None:
                    return route.handle(Request(found, dict(parse_qsl(url.query)), self.headers, body))
            raise Refused("NOT_IMPLEMENTED", f"this local server has no {self.command} {url.path}")

        do_GET = do_POST = do_PUT = do_DELETE = serve  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
