"""The REST service of the demo, in a separate process, and a caller that sends it the last events of the stream."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local import processes
from deploy.local.demo.interrupts import uninterrupted
from deploy.local.demo.job import START_TIMEOUT_S, DemoFailed, wait_until
from deploy.local.services import HOST
from features.usecase import UseCase
from pipeline.files import read

TIMEOUT_S = 30.0
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Answers:
    """The time of each answer in milliseconds, as the caller saw it, and the answer with the highest score."""

    after_ms: list[float]
    highest: dict[str, Any]

    def __str__(self) -> str:
        reasons = self.highest.get("reasons") or []
        why = f"; {reasons[0]['text']}" if reasons else ""
        return f"{self.highest['score']:.3f}, {self.highest['level']}{why}"


@contextmanager
def answering(folder: Path, use_case: Path, bundles: Path) -> Iterator[int]:
    """Run `riskstream serve` for as long as the block lasts; yield its port. Raises DemoFailed."""
    port, log = free_port(), folder / "service.log"
    options = {"--use-case": use_case.resolve(), "--bundle": bundles.resolve(), "--port": port}
    words = [str(word) for pair in options.items() for word in pair]
    with uninterrupted():
        service = processes.start(processes.python_module("riskstream", "serve", *words), folder, log)
    try:
        wait_until(
            lambda: is_ready(port, service, log), START_TIMEOUT_S, f"the REST service is not ready; see {log}"
        )
        yield port
    finally:
        with uninterrupted():
            service.stop()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server((HOST, 0)) as taken:
        return int(taken.getsockname()[1])


def is_ready(port: int, service: processes.Process, log: Path) -> bool:
    """Return whether the service is ready. Raises DemoFailed, with the end of its log, if it has ended."""
    if service.running() is None:
        raise DemoFailed(f"the REST service has ended. Its log, {log}:\n{processes.last_lines(log)}")
    try:
        return status_of(http.client.HTTPConnection(HOST, port, timeout=TIMEOUT_S)) == 200
    except OSError:
        return False


def status_of(connection: http.client.HTTPConnection) -> int:
    """Ask for the health of the service and return the status of its answer."""
    connection.request("GET", "/health/ready")
    status = connection.getresponse().status
    connection.close()
    return status


def ask(port: int, use_case: UseCase, file: Path) -> Answers:
    """Send each transaction of a file, one after the other. Raises DemoFailed if one is not assessed."""
    connection = http.client.HTTPConnection(HOST, port, timeout=TIMEOUT_S)
    after_ms: list[float] = []
    highest: dict[str, object] = {"score": 0.0, "level": "LOW"}
    highest_score = 0.0
    for chunk in read(use_case, "transaction", file, time.time_ns() // 1_000, None):
        for body in chunk.bodies:
            began_s = time.perf_counter()
            connection.request("POST", "/v1/events/transaction?reasons=true", body, JSON)
            answer = connection.getresponse()
            assessment = json.loads(answer.read())
            after_ms.append((time.perf_counter() - began_s) * 1e3)
            if answer.status != 200:
                raise DemoFailed(f"the REST service answers {answer.status}: {assessment}")
            if (score := assessment["score"] or 0.0) > highest_score:
                highest_score, highest = score, assessment
    connection.close()
    return Answers(after_ms, highest)
