"""Slow, greedy and malicious callers cost little, and others are answered meanwhile."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import httpx
import pytest
import uvicorn
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline.runtime import metrics
from pipeline.runtime.metrics import key
from pipeline.runtime.process_metrics import progress
from serving.http import connections
from serving.http.connections import Connection, Crowd
from tests.pipeline.market import START_US, market, payment
from tests.pipeline.servers import free_port, wait_for
from tests.serving.conftest import Served, Serving, within

GET = b"GET /length HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST /length HTTP/1.1\r\nhost: x\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Tells how long the body was; /big answers 64 MiB, /waits when it may."""
    body = b"%d" % len((await receive())["body"])
    if scope["path"] == "/big":
        body = b" " * (64 << 20)
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]}
    )
    await send({"type": "http.response.body", "body": body})


@contextmanager
def running(most: int = 64) -> Iterator[int]:
    """A server of this application; its port."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(
        application, port=port, http=partial(Connection, crowd=Crowd(most)), ws="none", lifespan="off",
        log_config=None, timeout_graceful_shutdown=2,
    ))  # fmt: skip
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_for(lambda: server.started)
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with running() as port:
        yield port


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds on time that a test can wait for."""
    monkeypatch.setattr(connections, "REQUEST_S", 0.5)
    monkeypatch.setattr(connections, "UNREAD_S", 0.5)


def connected(port: int) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), timeout=15)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def read(connection: socket.socket) -> bytes:
    """Read until the connection ends."""
    parts = []
    try:
        while part := connection.recv(1 << 20):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def statuses(answers: bytes) -> list[int]:
    return [int(each[:3]) for each in answers.split(b"HTTP/1.1 ")[1:]]


def answered(port: int, *pieces: bytes) -> bytes:
    """Return the answer until the connection ends; a part of the request may not have been sent by then."""
    with connected(port) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return read(connection)


def problem(answer: bytes) -> dict[str, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head and b"connection: close" in head
    return dict(json.loads(body))


LARGE_HEADS = {
    "a long header": GET[:-2] + b"x: " + b"a" * 20_000 + b"\r\n\r\n",
    "many headers": GET[:-2] + b"x: a\r\n" * 4_000 + b"\r\n",
    "a long path": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
    "a header without an end": GET[:-2] + b"x: " + b"a" * 20_000,
    "a path without an end": b"GET /" + b"a" * 20_000,
    "a name without an end": GET[:-2] + b"a" * 20_000,
    "more than a chunk": GET[:-2] + b"x: " + b"a" * 3_000_000,
}


@pytest.mark.parametrize("head", LARGE_HEADS)
def test_a_large_head_is_refused(port: int, head: str) -> None:
    answer = answered(port, LARGE_HEADS[head])
    assert statuses(answer) == [431] and problem(answer)["status"] == 431
    assert "16384 bytes" in problem(answer)["detail"]


def test_a_head_as_large_as_may_be_is_not(port: int) -> None:
    assert statuses(answered(port, GET[:-2] + b"connection: close\r\nx: " + b"a" * 16_000 + b"\r\n\r\n")) == [
        200
    ]


def test_a_large_body_is_refused_before_it_is_sent(port: int) -> None:
    answer = answered(port, POST + b"expect: 100-continue\r\ncontent-length: 1048577\r\n\r\n")
    assert statuses(answer) == [413] and "1048576 bytes" in problem(answer)["detail"]
    assert statuses(answered(port, CHUNKED, *[b"10000\r\n" + b"a" * 65_536 + b"\r\n"] * 20)) == [413]


def test_a_body_as_large_as_may_be_is_not(port: int) -> None:
    head = POST + b"expect: 100-continue\r\ncontent-length: 1048576\r\nconnection: close\r\n\r\n"
    answer = answered(port, head, b"a" * 1_048_576)
    assert statuses(answer) == [100, 200] and answer.endswith(b"1048576")


@pytest.mark.parametrize(
    "flood", [b"0\r\n" + b"x: a\r\n" * 200_000, b"0\r\nx: " + b"a" * 2_000_000, b"1;x=" + b"a" * 2_000_000]
)
def test_what_surrounds_a_body_is_bounded_too(port: int, flood: bytes) -> None:
    assert statuses(answered(port, CHUNKED, flood)) == [413]


def test_what_is_not_http_is_refused_without_a_line_in_the_log(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    for junk in (b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n"):
        answer = answered(port, junk)
        assert statuses(answer) == [400] and problem(answer)["title"] == "The request is not HTTP/1.1"
    assert not caplog.records


def test_another_protocol_is_not_offered(port: int) -> None:
    answer = answered(port, GET[:-2] + b"connection: upgrade, close\r\nupgrade: h2c\r\n\r\n")
    assert statuses(answer) == [200]


SLOW = {
    "a head without an end": GET[:-2],
    "half a request line": b"GE",
    "a body of one byte": POST + b"content-length: 100\r\n\r\na",
    "half a chunk": CHUNKED + b"10\r\na",
    "a trailer without an end": CHUNKED + b"0\r\nx: a",
}


@pytest.mark.parametrize("start", SLOW)
def test_a_slow_request_is_refused(port: int, start: str, short: None) -> None:
    answer = answered(port, SLOW[start])
    assert statuses(answer) == [408] and "within" in problem(answer)["detail"]


def test_a_request_that_trickles_is_refused_on_time(port: int, short: None) -> None:
    with connected(port) as connection:
        connection.sendall(CHUNKED)
        began_s = time.monotonic()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while time.monotonic() < began_s + 10:
                connection.sendall(b"1\r\na\r\n")
                time.sleep(0.05)
        assert statuses(read(connection)) == [408]


@pytest.mark.parametrize("start", [b"", b"\r\n" * 10])
def test_who_asks_nothing_is_hung_up_on(port: int, start: bytes, short: None) -> None:
    assert answered(port, start) == b""
    answer = answered(port, GET, b"\r\n")
    assert statuses(answer) == [200], "and after an answer"


def test_a_slow_request_after_a_quick_one_is_refused_as_well(port: int, short: None) -> None:
    with connected(port) as connection:
        connection.sendall(GET)
        assert statuses(connection.recv(1_000)) == [200]
        time.sleep(0.7)  # an idle connection stays
        connection.sendall(GET[:10])
        assert statuses(read(connection)) == [408]


def test_few_requests_may_be_sent_ahead(port: int) -> None:
    close = GET[:-2] + b"connection: close\r\n\r\n"
    assert statuses(answered(port, GET * 3 + close)) == [200] * 4
    assert statuses(answered(port, GET * 50)) == [200], (
        "the first is answered and nothing of the rest is read"
    )


def test_an_answer_that_nobody_reads_ends_its_connection(port: int, short: None) -> None:
    closed = key(metrics.CLOSED, "unread")
    before = progress.counts[closed]
    with connected(port) as connection:
        connection.sendall(b"GET /big HTTP/1.1\r\nhost: x\r\n\r\n")
        within(5, lambda: progress.counts[closed] == before + 1)


def test_large_bodies_have_places_of_their_own(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_LARGE_BODIES", 1)
    large = POST + b"content-length: 100000\r\nconnection: close\r\n\r\n"
    small = POST + b"content-length: 100\r\nconnection: close\r\n\r\n" + b"a" * 100
    with connected(port) as first:
        first.sendall(large + b"a" * 70_000)
        within(5, lambda: statuses(answered(port, large + b"a" * 100_000)) == [503])
        assert statuses(answered(port, small)) == [200]
        first.sendall(b"a" * 30_000)
        assert statuses(read(first)) == [200]
    assert statuses(answered(port, large + b"a" * 100_000)) == [200], "its place is free again"


def test_there_is_always_room_for_one_more_connection() -> None:
    """Whoever has waited longest makes room, be it idle or slow; nobody who is answered does."""
    closed = key(metrics.CLOSED, "crowded")
    before = progress.counts[closed]
    with running(most=8) as port, ExitStack() as stack:
        idle = [stack.enter_context(connected(port)) for _ in range(4)]
        for each in idle:
            each.sendall(GET)
            assert statuses(each.recv(1_000)) == [200]
        slow = [stack.enter_context(connected(port)) for _ in range(4)]
        for each in slow:
            each.sendall(GET[:-2])
        within(5, lambda: progress.gauges[key(metrics.CONNECTIONS)] == 8)
        for _ in range(6):
            with connected(port) as another:
                another.sendall(GET)
                assert statuses(another.recv(1_000)) == [200]
        assert progress.counts[closed] > before
        assert read(idle[0]) == b"", "it was the first to go"
        slow[-1].sendall(b"\r\n")
        assert statuses(slow[-1].recv(1_000)) == [200], "it was the last"
    assert progress.gauges[key(metrics.CONNECTIONS)] == 0


@given(st.lists(st.integers(0, 330), max_size=6))
@hypothesis_settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
def test_where_a_stream_is_cut_changes_no_answer(port: int, cuts: list[int]) -> None:
    stream = GET + POST + b"content-length: 5\r\n\r\nabcde" + CHUNKED + b"3\r\nabc\r\n4\r\nabcd\r\n0\r\n\r\n"
    stream += GET[:-2] + b"connection: close\r\n\r\n"
    edges = [0, *sorted(cuts), len(stream)]
    with connected(port) as connection:
        for start, end in pairwise(edges):
            connection.sendall(stream[start:end])
            time.sleep(0.001)
        answers = read(connection)
    assert [each[-1:] for each in answers.split(b"HTTP/1.1 ")[1:]] == [b"0", b"5", b"7", b"0"]


@contextmanager
def others(served: Served) -> Iterator[list[float]]:
    """Somebody who asks all the time, and how long each answer took, in seconds."""
    seconds: list[float] = []
    ends = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=served.url, timeout=30) as client:
            while not ends.is_set():
                began_s = time.monotonic()
                assert client.get("/v1/model").status_code == 200
                seconds.append(time.monotonic() - began_s)

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        within(10, lambda: len(seconds) > 3)
        try:
            yield seconds
        finally:
            ends.set()
            asking.result()


def test_a_header_of_120_mib_holds_nobody_up(served: Served) -> None:
    with others(served) as seconds, connected(served.settings.port) as attacker:
        attacker.sendall(b"GET /v1/model HTTP/1.1\r\nhost: localhost\r\nx: ")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(120):
                attacker.sendall(b"a" * (1 << 20))
                time.sleep(0.01)
        assert statuses(read(attacker)) == [431]
        asked = len(seconds)
        within(10, lambda: len(seconds) > asked + 3)
    assert max(seconds) < 2


def test_bodies_that_do_not_come_take_no_places(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight places, sixteen requests that have sent one byte: others are answered, and then those are, with 408."""
    monkeypatch.setattr(connections, "REQUEST_S", 2.0)
    start = b"POST /v1/events/payment HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    with serving(max_in_flight=9) as served, ExitStack() as stack, others(served) as seconds:
        attackers = [stack.enter_context(connected(served.settings.port)) for _ in range(16)]
        for each in attackers:
            each.sendall(start + b"content-length: 300\r\n\r\n{")
        told = served.told(payment(market(), "p1", START_US, "ann", "m1", 1.0))
        assert told["disposition"] == "applied"
        assert [statuses(read(each)) for each in attackers] == [[408]] * 16
        assert len(seconds) > 20 and max(seconds) < 2
        assert served.send(payment(market(), "p1", START_US, "ann", "m1", 1.0)).status_code == 200
