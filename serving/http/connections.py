"""Bounds on connections before any token is checked: size, time and number of requests.

uvicorn's fast parser bounds none of this. A request reaches the application, and takes a place there, once it is
complete. Refusals are problems like any other; after one the connection ends. `docs/rest.md` lists the bounds.
"""

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from features.events import MAX_EVENT_BYTES
from pipeline.runtime import metrics
from pipeline.runtime.metrics import key
from pipeline.runtime.process_metrics import progress
from serving.http.middleware import count_refusal
from serving.http.problems import problem

MOST_HEAD_BYTES = 16 << 10  # request line and headers; a token has one or two thousand
MOST_BODY_BYTES = MAX_EVENT_BYTES
SMALL_BODY_BYTES = 64 << 10  # an event has some hundred
MOST_LARGE_BODIES = 32  # at once; memory stays bounded, and small ones never wait for them
REQUEST_S = (
    10.0  # from a request's first byte to its last, and from a connection's begin to its first request
)
UNREAD_S = 10.0  # a caller may leave an answer unread for this long
LINGER_S = (
    1.0  # what is still being sent is read and dropped, or the caller would lose the refusal to a reset
)
MOST_PIPELINED = 4  # requests sent before the answer to an earlier one
REFUSALS = {
    400: ("The request is not HTTP/1.1", "found what cannot be parsed"),
    408: ("The request is too slow", f"expected all of it within {REQUEST_S:g} s"),
    413: ("The body is too large", f"found more than {MOST_BODY_BYTES} bytes; an event has some hundred"),
    431: ("The headers are too large", f"found more than {MOST_HEAD_BYTES} bytes of request line and headers"),
    503: ("Too many large bodies at once", f"{MOST_LARGE_BODIES} of more than {SMALL_BODY_BYTES} bytes; ask again"),
}  # fmt: skip


class Crowd:
    """The connections of a server, and among them those that wait for a request, longest first."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.open: set[Connection] = set()
        self.waiting: dict[Connection, None] = {}
        self.large_bodies = 0

    def add(self, connection: "Connection") -> None:
        """Add a connection; if there are too many, the one that has waited longest is ended."""
        self.open.add(connection)
        self.waiting[connection] = None
        if len(self.open) > self.most:
            self.remove(longest := next(iter(self.waiting)))
            longest.transport.abort()
            progress.counts[key(metrics.CLOSED, "crowded")] += 1
        self._note()

    def remove(self, connection: "Connection") -> None:
        """Remove a connection; idempotent."""
        self.open.discard(connection)
        self.waiting.pop(connection, None)
        self._note()

    def _note(self) -> None:
        progress.gauges[key(metrics.CONNECTIONS)] = len(self.open)


class Connection(HttpToolsProtocol):
    """A connection of uvicorn, with bounds."""

    def __init__(self, *args: Any, crowd: Crowd, **others: Any) -> None:
        super().__init__(*args, **others)
        self._crowd = crowd
        self._bytes = 0  # of the request that is being read, before the chunk that is parsed now
        self._is_in_head = self._is_in_request = self._is_large = self._is_refused = False
        self._held: tuple[Any, Any] | None = (
            None  # a request whose body is not whole yet, and who is to answer it
        )
        self._active: Any = None  # the request that is being answered
        self._deadline: asyncio.TimerHandle | None = None  # of the request that is being read
        self._unread: asyncio.TimerHandle | None = None  # of the answer that is being written

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._deadline = self.loop.call_later(REQUEST_S, self._too_slow)
        self._crowd.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.remove(self)
        self._forget_request()
        self._unset_keepalive_if_required()
        if self._unread:
            self._unread.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # no other protocol is spoken here; the request is answered as it is
        except httptools.HttpParserError:
            self._refuse(400)
        if not self._is_refused and (self._is_in_request or not self._active):
            self._bytes += len(data)
            self._read_on()

    def _read_on(self) -> None:
        """Refuse a request that has grown too large, else wait for the rest of it, for some time."""
        if self._is_in_head and self._bytes > MOST_HEAD_BYTES:
            self._refuse(431)
        elif self._bytes > MOST_HEAD_BYTES + MOST_BODY_BYTES:  # most of it frames of chunks, or trailers
            self._refuse(413)
        elif not self._deadline:
            self._deadline = self.loop.call_later(REQUEST_S, self._too_slow)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._bytes = 0
        self._is_in_head = self._is_in_request = True

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        if self._is_refused:
            return
        if status := refusal(self.url, self.headers):
            self._refuse(status)
        elif len(self.pipeline) >= MOST_PIPELINED:
            self._refuse(400)
        else:
            super().on_headers_complete()
            self._ask_for_body()

    def _ask_for_body(self) -> None:
        if self.cycle.waiting_for_100_continue and not self._active:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.cycle.waiting_for_100_continue = False

    def on_body(self, body: bytes) -> None:
        if self._is_refused:
            return
        self.cycle.body += body
        size = len(self.cycle.body)
        if size > MOST_BODY_BYTES:
            self._refuse(413)
        elif size > SMALL_BODY_BYTES and not self._is_large:
            self._take_large_place()

    def _take_large_place(self) -> None:
        if self._active or self._crowd.large_bodies >= MOST_LARGE_BODIES:
            self._refuse(503)
        else:
            self._is_large = True
            self._crowd.large_bodies += 1

    def on_message_complete(self) -> None:
        self._is_in_request = False
        if self._is_refused:
            return
        super().on_message_complete()
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None
        if self._held and self._held[0] is self.cycle:
            self._start_asgi_task(*self._held)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """Start to answer a request, or hold it until its body is complete."""
        if cycle.more_body:
            self._held = cycle, app
            return
        self._held, self._active = None, cycle
        self._crowd.waiting.pop(self, None)
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        self._active = None
        self._give_large_place_back()
        super().on_response_complete()
        if not self._active and not self.transport.is_closing():
            self._crowd.waiting[self] = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(UNREAD_S, self._too_unread)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread:
            self._unread.cancel()
            self._unread = None

    def _too_unread(self) -> None:
        progress.counts[key(metrics.CLOSED, "unread")] += 1
        self.transport.abort()

    def _too_slow(self) -> None:
        self._deadline = None
        if self._is_in_request:
            self._refuse(408)
        elif not self._active:
            self.transport.close()  # nothing was asked

    def _refuse(self, status: int) -> None:
        """Answer with a problem and read nothing more. If an answer is under way, that one is the last."""
        self._is_refused = True
        self._forget_request()
        if self._active:
            self._active.keep_alive = False
            return
        self.transport.write(message(status))
        count_refusal(status)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._deadline = self.loop.call_later(LINGER_S, self.transport.abort)

    def _forget_request(self) -> None:
        self.pipeline.clear()
        self._held = None
        self._give_large_place_back()
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def _give_large_place_back(self) -> None:
        self._crowd.large_bodies -= self._is_large
        self._is_large = False


def refusal(url: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    """Return the status that refuses a request by its headers; 0 if they are fine."""
    size, body = len(url), 0
    for name, value in headers:
        size += len(name) + len(value) + 4
        if name == b"content-length":
            body = int(value)
    if size > MOST_HEAD_BYTES:
        return 431
    return 413 if body > MOST_BODY_BYTES else 0


def message(status: int) -> bytes:
    """Return a refusal as bytes; it never reaches the application."""
    answer = problem(status, *REFUSALS[status], headers={"connection": "close"})
    head = b"".join(b"%b: %b\r\n" % header for header in answer.raw_headers)
    return STATUS_LINE[status] + head + b"\r\n" + bytes(answer.body)
