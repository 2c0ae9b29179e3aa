"""A Pub/Sub server, and the real google-cloud-pubsub clients on it.

The suite runs against the embedded server in a process of its own, or, when PUBSUB_EMULATOR_HOST is set beforehand,
against whatever server that names; tests of what only the embedded server has are skipped then.
"""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.cloud import pubsub_v1
from google.pubsub_v1 import PublisherClient as LowLevelPublisher

EXTERNAL_SERVER = os.environ.get("PUBSUB_EMULATOR_HOST")
PROJECT = "projects/conformance"
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class ServerProcess:
    """The embedded server in a process of its own."""

    process: subprocess.Popen[str]
    address: str


def start_server(*arguments: str) -> ServerProcess:
    command = [sys.executable, "-m", "deploy.local.pubsub", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    return ServerProcess(process, process.stdout.readline().strip())


def stop_server(server: ServerProcess) -> int:
    server.process.terminate()
    assert server.process.stdout is not None
    server.process.stdout.close()
    return server.process.wait(10)


@dataclass(frozen=True)
class Clients:
    """The real clients of one server, and the few steps that most tests take."""

    address: str
    publisher: Any
    subscriber: Any
    low_level: (
        Any  # Publish as the API has it: one request, one response, no batching and no checks by the client
    )

    def topic(self) -> str:
        return str(self.publisher.create_topic(name=f"{PROJECT}/topics/t-{uuid.uuid4().hex}").name)

    def subscription(self, topic: str, **settings: Any) -> str:
        name = f"{PROJECT}/subscriptions/s-{uuid.uuid4().hex}"
        return str(
            self.subscriber.create_subscription(request={"name": name, "topic": topic, **settings}).name
        )

    def publish(self, topic: str, *bodies: str, key: str = "") -> list[str]:
        messages = [{"data": body.encode(), "ordering_key": key} for body in bodies]
        return list(self.low_level.publish(request={"topic": topic, "messages": messages}).message_ids)

    def pull(self, subscription: str, count: int, timeout_s: float = 5.0) -> list[Any]:
        """Pull until `count` messages are there; fewer if the time is over first."""
        until_s = time.monotonic() + timeout_s
        received: list[Any] = []
        while len(received) < count and (left_s := until_s - time.monotonic()) > 0.05:
            request = {"subscription": subscription, "max_messages": count - len(received)}
            received += self.subscriber.pull(request=request, timeout=left_s).received_messages
        return received

    def pull_at_once(self, subscription: str, count: int = 1_000) -> list[Any]:
        request = {"subscription": subscription, "max_messages": count, "return_immediately": True}
        with pytest.warns(DeprecationWarning, match="return_immediately"):
            return list(self.subscriber.pull(request=request).received_messages)

    def ack(self, subscription: str, received: list[Any]) -> None:
        self.subscriber.acknowledge(subscription=subscription, ack_ids=[one.ack_id for one in received])

    def extend(self, subscription: str, received: list[Any], seconds: int) -> None:
        self.subscriber.modify_ack_deadline(
            subscription=subscription, ack_ids=[one.ack_id for one in received], ack_deadline_seconds=seconds
        )


def clients_of(address: str) -> Clients:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PUBSUB_EMULATOR_HOST", address)
        options = pubsub_v1.types.PublisherOptions(enable_message_ordering=True)
        batching = pubsub_v1.types.BatchSettings(max_messages=100, max_latency=0.01)
        publisher = pubsub_v1.PublisherClient(batching, options)
        return Clients(address, publisher, pubsub_v1.SubscriberClient(), LowLevelPublisher())


def close(clients: Clients) -> None:
    clients.publisher.stop()
    clients.publisher.transport.close()
    clients.low_level.transport.close()
    clients.subscriber.close()


def bodies(received: list[Any]) -> list[str]:
    return [one.message.data.decode() for one in received]


@pytest.fixture(scope="package")
def address() -> Iterator[str]:
    if EXTERNAL_SERVER:
        yield EXTERNAL_SERVER
        return
    server = start_server()
    yield server.address
    assert stop_server(server) == 0


@pytest.fixture(scope="module")
def clients(address: str) -> Iterator[Clients]:
    clients = clients_of(address)
    yield clients
    close(clients)


@pytest.fixture
def embedded_only() -> None:
    if EXTERNAL_SERVER:
        pytest.skip(f"{EXTERNAL_SERVER} is another server; this is about the embedded one")
