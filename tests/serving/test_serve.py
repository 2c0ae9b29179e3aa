"""`riskstream serve`: what it refuses at once, and that it ends when all in flight is answered."""

import json
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import HTTPServer
from pathlib import Path

import pytest

from pipeline.runtime import tracing
from serving.configuration import Configuration
from tests.commands import Run
from tests.pipeline.broker import PROJECT, Broker
from tests.pipeline.market import MARKET, START_US, market, payment
from tests.pipeline.servers import RedisServer
from tests.pipeline.test_watching import PARENT, TRACE, Collector
from tests.serving.conftest import body_of, process


def words(settings: Configuration, **others: object) -> list[object]:
    said: dict[str, object] = {
        "use-case": MARKET, "bundle": settings.bundle, "project": PROJECT, "redis-url": settings.redis_url,
        "port": settings.port,
        "audit-folder": Path(settings.bundle).parent / "audit",
    } | others  # fmt: skip
    return ["serve", *(word for name, value in said.items() for word in (f"--{name}", value))]


def test_other_machines_need_tokens_or_a_word_that_they_do_not(run: Run, settings: Configuration) -> None:
    ended = run(*words(settings, host="0.0.0.0"))
    assert ended.code == 2 and "--issuer and --audience, or --allow-unauthenticated" in ended.err
    ended = run(*words(settings, issuer="http://127.0.0.1:1"))
    assert ended.code == 2 and "give both" in ended.err


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ({"issuer": "https://accounts.google.com"}, "nobody has a role: name the callers"),
        ({"issuer": "https://sso.bank.example"}, "nobody has a role: name the callers"),
        ({"issuer": "https://accounts.google.com", "other-callers": "viewer"}, "anybody can get a token"),
        (
            {"issuer": "https://accounts.google.com", "caller-groups": "risk=viewer"},
            "anybody can get a token",
        ),
        ({"issuer": "https://sso.bank.example", "caller-emails": "ann@bank.example"}, "expected NAME=ROLE"),
        (
            {"issuer": "https://sso.bank.example", "caller-subjects": "117=boss"},
            "found the role 'boss', expected viewer",
        ),
        ({"issuer": "https://sso.bank.example", "caller-subjects": "1=admin,1=viewer"}, "found 1 twice"),
        (
            {"issuer": "https://sso.bank.example", "other-callers": "all"},
            "found the role 'all', expected viewer",
        ),
        ({"issuer": "http://sso.bank.example"}, "expected an https:// URL"),
        ({"issuer": "https://sso.bank.example", "caller-emails": " , "}, "found an empty list"),
        ({"issuer": "https://sso.bank.example", "caller-subjects": ""}, "found an empty list"),
        (
            {"issuer": "https://sso.bank.example", "caller-emails": "117=viewer"},
            "subjects go to --caller-subjects",
        ),
    ],
)
def test_callers_are_named_and_never_everybody_by_mistake(
    run: Run, settings: Configuration, others: dict[str, str], expected: str
) -> None:
    ended = run(*words(settings, audience="us", **others))
    assert ended.code == 2 and expected in " ".join(ended.err.replace("│", " ").split())


def test_an_empty_list_in_the_environment_is_refused_as_well(
    run: Run, settings: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RISKSTREAM_CALLER_EMAILS", "")
    ended = run(*words(settings, audience="us", issuer="https://sso.bank.example"))
    assert ended.code == 2 and "found an empty list" in ended.err


def test_help_shows_no_service_that_lets_everybody_in(run: Run) -> None:
    text = " ".join(run("serve", "--help").out.split())
    assert text.count("--issuer https://") == text.count("--caller-emails payments@") == 1


def test_everything_that_is_wrong_is_said_at_once(
    run: Run, settings: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", "http://127.0.0.1:1")  # no reason not to start
        ended = run(*words(
            settings, bundle="nowhere", port=taken.getsockname()[1], issuer="http://127.0.0.1:1", audience="us",
            **{"redis-url": "redis://127.0.0.1:1", "metrics-port": taken.getsockname()[1], "other-callers": "viewer"},
        ))  # fmt: skip
    assert ended.code == 8
    lines = ended.err.splitlines()
    for part in (
        "bundle: ",
        "Redis: ",
        "topic projects/tests/topics/market-events: ",
        "port ",
        "metrics: ",
        "issuer: ",
    ):
        assert any(line.startswith(f"riskstream: {part}") for line in lines), (part, ended.err)


def test_an_empty_store_is_not_taken_for_a_filled_one(
    run: Run, settings: Configuration, broker: object
) -> None:
    ended = run(*words(settings), "--no-audit")
    assert ended.code == 8 and "--allow-empty-store" in ended.err


def test_what_is_in_flight_is_answered_before_the_end(
    settings: Configuration, redis_server: RedisServer, broker: Broker
) -> None:
    """A service that has to end while Redis stands still answers all callers, and its exit code is 0."""
    body = body_of(payment(market(), "p1", START_US, "ann", None, 1.0))
    with process(settings) as (served, client), ThreadPoolExecutor(1) as pool:
        with redis_server.frozen():
            asked = pool.submit(client.post, "/v1/events/payment", content=body)
            broker.messages(broker.names.events, 1)  # it is published, and waits for Redis now
            served.send_signal(signal.SIGTERM)
        assert asked.result().status_code == 200
        assert served.wait(30) == 0
    with process(settings) as (_, client):
        assert client.get("/v1/customers/ann").json()["events"] == 1


def test_a_request_belongs_to_its_callers_trace(
    settings: Configuration, broker: Broker, redis_server: RedisServer
) -> None:
    """A span for it, the traceparent in what is published, the trace in a failure's log; and nobody is named."""
    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        server.spans = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = {tracing.ENDPOINT: f"http://127.0.0.1:{server.server_port}", tracing.SAMPLER: "always_on"}
        body, headers = body_of(payment(market(), "p1", START_US, "ann", None, 1.0)), {"traceparent": PARENT}
        with process(settings, **where) as (served, client):
            assert client.post("/v1/events/payment", content=body, headers=headers).status_code == 200
            with redis_server.frozen():
                assert client.get("/v1/customers/ann", headers=headers).status_code == 503
            served.send_signal(signal.SIGTERM)
            assert served.stderr
            log = [json.loads(line) for line in served.stderr]
        server.shutdown()
    assert {(s.name, s.trace_id.hex()) for s in server.spans} == {("request", TRACE)}  # type: ignore[attr-defined]
    assert {span.parent_span_id.hex() for span in server.spans} == {PARENT[36:52]}  # type: ignore[attr-defined]
    (published,) = broker.messages(broker.names.events, 1)
    assert published.attributes["traceparent"] == PARENT
    (failure,) = [line for line in log if line["logger"] == "serving.http.problems"]
    assert failure["trace_id"] == TRACE and "answered 503" in failure["message"]
    assert "ann" not in json.dumps(log) + str(server.spans)  # type: ignore[attr-defined]
