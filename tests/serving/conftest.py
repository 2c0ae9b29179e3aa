"""The service of the market use case on a real Redis and a real Pub/Sub, on a port of its own."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from export.bundle import promote, save
from features.events import to_json
from features.times import rfc3339
from serving.api import app
from serving.auth.tokens import Authenticator
from serving.configuration import Configuration
from serving.server import server
from serving.service import Service
from tests.pipeline.broker import PROJECT, Broker, broker_of
from tests.pipeline.conftest import bigquery_environment, bigquery_server, redis_server  # noqa: F401
from tests.pipeline.market import MARKET, Sent, market
from tests.pipeline.models import trained
from tests.pipeline.servers import RedisServer, free_port, wait_for
from tests.pipeline.vital import begun

ROOT = Path(__file__).parents[2]
JSON = {"content-type": "application/json"}
Serving = Callable[..., AbstractContextManager["Served"]]


@dataclass(frozen=True)
class Served:
    """A running service, and a client of it."""

    settings: Configuration
    service: Service
    client: httpx.Client

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.port}"

    def send(self, sent: Sent, path: str = "events", **query: Any) -> httpx.Response:
        """An event as its sender would; what has no time of its own gets that of its publishing."""
        return self.client.post(
            f"/v1/{path}/{sent.event_type}", content=body_of(sent), params=dated(sent) | query
        )

    def told(self, sent: Sent, path: str = "events", **query: Any) -> dict[str, Any]:
        answer = self.send(sent, path, **query)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def body_of(sent: Sent) -> bytes:
    return to_json(sent.event)


def dated(sent: Sent) -> dict[str, str]:
    return {"event_time": rfc3339(sent.published_us)}


@pytest.fixture
def broker() -> Iterator[Broker]:
    with broker_of("market") as broker:
        yield broker


@pytest.fixture
def settings(broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Configuration:  # noqa: F811
    """Return settings of a service with parts of the test's own."""
    redis_server.client.flushall()
    begun(redis_server.url, market())
    root = str(tmp_path / "bundles")
    save(trained(market()), root)
    promote(root, trained(market()).manifest.id)
    return Configuration(
        use_case=market(),
        bundle=root,
        redis_url=redis_server.url,
        project=PROJECT,
        topic=broker.names.events,
        no_audit=True,
        port=free_port(),
        allow_empty_store=True,
    )


@pytest.fixture
def serving(settings: Configuration) -> Serving:
    """Starts it, with other settings if some are given."""

    @contextmanager
    def start(**others: Any) -> Iterator[Served]:
        told = replace(settings, **others)
        service = Service(told)
        service.warm()
        gate = Authenticator(told.access) if told.access else None
        if gate:
            gate.check()
            gate.start()
        made = app(service, gate, told.max_in_flight)
        running = server(made, told)
        thread = threading.Thread(target=running.run)
        thread.start()
        try:
            wait_for(lambda: running.started)
            limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
            url = f"http://127.0.0.1:{told.port}"
            with httpx.Client(base_url=url, timeout=30, limits=limits, headers=JSON) as client:
                yield Served(told, service, client)
        finally:
            running.should_exit = True
            thread.join()

    return start


@pytest.fixture
def served(serving: Serving) -> Iterator[Served]:
    with serving() as served:
        yield served


def within(seconds: float, condition: Callable[[], bool]) -> None:
    until_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until_s, f"not within {seconds:g} s"
        time.sleep(0.02)


@contextmanager
def process(
    settings: Configuration, *flags: str, **environment: str
) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """`riskstream serve` as a process of its own, ready; killed at the end if it has not ended.

    It keeps no audit trail unless a dataset is among the flags.
    """
    command = [
        sys.executable, "-m", "riskstream", "--log", "json", "serve", "--use-case", str(MARKET), "--allow-empty-store",
        "--bundle", settings.bundle, "--project", PROJECT, "--redis-url", settings.redis_url,
        "--port", str(settings.port), *flags, *(() if "--dataset" in flags else ("--no-audit",)),
    ]  # fmt: skip
    told = {**os.environ, **environment}
    served = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=told)
    try:
        url = f"http://127.0.0.1:{settings.port}"
        with httpx.Client(base_url=url, timeout=30, headers=JSON) as client:
            within(60, lambda: is_ready(client) or served.poll() is not None)
            yield served, client
    finally:
        served.kill()
        served.communicate()


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/health/ready").status_code == 200
    except httpx.TransportError:
        return False
