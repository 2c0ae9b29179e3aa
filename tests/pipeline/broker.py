"""An embedded Pub/Sub server for tests of the pipeline, and what they look at: everything in a subscription."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import pytest

from deploy.local.pubsub.server import PubSubServer, serve
from pipeline.pubsub.client import Publication, Publisher, Subscription
from pipeline.pubsub.message import Message
from pipeline.pubsub.topics import Names, create, subscriber_client
from tests.pipeline.servers import pump

PROJECT = "tests"


@dataclass(frozen=True)
class Broker:
    """A server with the topics of one use case."""

    server: PubSubServer
    names: Names

    def messages(self, topic: str, count: int) -> list[Message]:
        """The next messages of a topic's first subscription, at least `count`, acknowledged."""
        source = Subscription(self.names.reader(topic))
        found: list[Message] = []
        while len(found) < count:
            received = source.received(source.pulling())
            source.acknowledge([one.ack_id for one in received])
            found += [one.message for one in received]
        source.close()
        return found

    def publish(self, topic: str, *publications: Publication) -> None:
        publisher = Publisher()
        publisher.publish(topic, publications)
        publisher.close()

    def subscriptions(self) -> list[str]:
        with subscriber_client() as client:
            return sorted(one.name for one in client.list_subscriptions(project=f"projects/{PROJECT}"))


@contextmanager
def broker_of(use_case: str, project: str = PROJECT) -> Iterator[Broker]:
    with serve() as server, pytest.MonkeyPatch.context() as environment:
        environment.setenv("PUBSUB_EMULATOR_HOST", server.address)
        names = Names(project, use_case)
        create(names)
        yield Broker(server, names)


class Relay:
    """A way to a local port that can be cut, as if the server were gone, and mended. A context manager."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._own_port = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self._own_port}"
        self._accept()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()

    def cut(self) -> None:
        """Ends all connections and refuses new ones."""
        for each in (self._listener, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open.clear()

    def mend(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self._own_port))
        self._accept()

    def _accept(self) -> None:
        threading.Thread(target=self._relay, args=(self._listener,), daemon=True).start()

    def _relay(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._port))
                self._open += [near, far]
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=pump, args=ends, daemon=True).start()
