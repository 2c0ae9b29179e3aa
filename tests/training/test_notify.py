"""The webhook, against a real HTTP server on a free port."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from commands.webhook import NotNotified, check, notify


class Hook(HTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[int] = []
        self.received: list[dict[str, object]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"


class Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append(json.loads(body))
        self.send_response(self.server.answers.pop(0) if self.server.answers else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return None


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_message_arrives_as_json(hook: Hook) -> None:
    notify(hook.url, {"verdict": "promoted"})
    assert hook.received == [{"verdict": "promoted"}]


def test_a_server_that_is_busy_is_asked_again(hook: Hook) -> None:
    hook.answers = [503]
    notify(hook.url, {"n": 1})
    assert hook.received == [{"n": 1}] * 2


def test_a_refusal_is_final_and_told(hook: Hook) -> None:
    hook.answers = [403]
    with pytest.raises(NotNotified, match="did not take the message: HTTP Error 403"):
        notify(hook.url, {})
    assert len(hook.received) == 1


@pytest.mark.parametrize("url", ["file:///etc/passwd", "hooks.example.com", "http://"])
def test_what_cannot_be_a_webhook_is_refused_before_anything_runs(url: str) -> None:
    with pytest.raises(ValueError, match="is not a URL such as"):
        check(url)
