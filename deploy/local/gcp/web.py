"""HTTP for the local services: routes by method and path, and refusals as Google's services word them."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from features.errors import Refused

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


class RequestRefused(Refused):
    """A request that the real service would refuse as well; `status` is a key of CODES."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass(frozen=True)
class HttpRequest:
    """A request; `path` has the named parts of its path, decoded."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON; {} if it is empty."""
        return json.loads(self.body or b"{}")


@dataclass(frozen=True)
class Answer:
    """The status, headers and body of an answer."""

    body: bytes = b""
    code: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    """A method, a path with `{names}` and its handler; `{name}` is one part of the path, `{name*}` the rest of it."""

    method: str
    path: str
    handle: Callable[[HttpRequest], Answer]

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """Return the named parts of a path, or None if the route does not serve it."""
        pattern = re.sub(r"\\{(\w+)(\\\*)?\\}", lambda m: f"(?P<{m[1]}>{'.+' if m[2] else '[^/:]+'})",
                         re.escape(self.path))  # fmt: skip
        matched = re.fullmatch(pattern, path) if method == self.method else None
        return {name: unquote(part) for name, part in matched.groupdict().items()} if matched else None


def as_json(value: Any, code: int = 200) -> Answer:
    """Return an answer with a value as JSON."""
    return Answer(json.dumps(value).encode(), code, {"Content-Type": "application/json"})


def handler_of(routes: list[Route]) -> type[BaseHTTPRequestHandler]:
    """Return the handler class that serves these routes."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                answer = self.answered(body)
            except RequestRefused as refused:
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
                parts = route.match(self.command, url.path)
                if parts is not None:
                    headers = cast("Mapping[str, str]", self.headers)  # any case: Message ignores it
                    return route.handle(HttpRequest(parts, dict(parse_qsl(url.query)), headers, body))
            raise RequestRefused("NOT_IMPLEMENTED", f"this local server has no {self.command} {url.path}")

        do_GET = do_POST = do_PUT = do_DELETE = serve  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
