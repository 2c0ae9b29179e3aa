"""The embedded server as a process: starting, stopping, freezing, and its figures."""

import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions

from deploy.local.pubsub.server import serve, stats

from .conftest import Clients, bodies, clients_of, close, start_server, stop_server

FREEZE_S = 2.0


def test_figures_count_what_is_not_acknowledged(clients: Clients, embedded_only: None) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    assert stats(clients.address)[subscription]["oldest_unacked_age_s"] == 0
    clients.publish(topic, "a", "b", "c")
    received = clients.pull(subscription, 2)
    time.sleep(0.2)
    figures = stats(clients.address)[subscription]
    assert 0.2 < figures.pop("oldest_unacked_age_s") < 5
    assert figures == {"num_undelivered_messages": 3, "num_outstanding_messages": 2}
    clients.ack(subscription, received)
    figures = stats(clients.address)[subscription]
    assert (figures["num_undelivered_messages"], figures["num_outstanding_messages"]) == (1, 0)


def test_a_server_in_this_process_stops_whole_even_with_calls_waiting() -> None:
    threads = set(threading.enumerate())
    with serve() as server:
        clients = clients_of(server.address)
        topic = clients.topic()
        subscription = clients.subscription(topic)
        streaming = clients.subscriber.subscribe(subscription, lambda message: message.ack())
        pulling = clients.subscriber.transport.grpc_channel.unary_unary(
            "/google.pubsub.v1.Subscriber/Pull"
        ).future(b"\x0a" + bytes((len(subscription),)) + subscription.encode() + b"\x18\x01")
        time.sleep(0.3)
        start_s = time.monotonic()
    assert time.monotonic() - start_s < 3
    assert pulling.result(1) == b""
    streaming.cancel()
    close(clients)
    left = {
        thread.name for thread in set(threading.enumerate()) - threads if thread.name.startswith("pubsub-")
    }
    assert left == set()


def test_two_servers_cannot_share_a_port() -> None:
    with serve() as server, pytest.raises(RuntimeError):
        serve(port=server.port)


def test_the_process_writes_its_port_and_stops_on_sigterm(tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    server = start_server("--port-file", str(port_file))
    assert server.address == f"127.0.0.1:{port_file.read_text()}"
    assert stop_server(server) == 0


def test_clients_go_on_after_the_server_was_frozen() -> None:
    server = start_server()
    clients = clients_of(server.address)
    topic = clients.topic()
    subscription = clients.subscription(topic, ack_deadline_seconds=60)
    clients.publish(topic, "before")
    seen: set[str] = set()

    def receive(message: Any) -> None:
        seen.add(message.data.decode())
        message.ack()

    streaming = clients.subscriber.subscribe(subscription, receive)
    server.process.send_signal(signal.SIGSTOP)
    future = clients.publisher.publish(topic, b"frozen")
    time.sleep(FREEZE_S)
    assert not future.done()
    server.process.send_signal(signal.SIGCONT)
    future.result(10)
    until_s = time.monotonic() + 5
    while seen != {"before", "frozen"} and time.monotonic() < until_s:
        time.sleep(0.02)
    assert seen == {"before", "frozen"}
    streaming.cancel()
    streaming.result(10)
    close(clients)
    assert stop_server(server) == 0


def test_nothing_outlives_the_server() -> None:
    with serve() as first:
        clients = clients_of(first.address)
        topic = clients.topic()
        subscription = clients.subscription(topic)
        clients.publish(topic, "a")
        received = clients.pull(subscription, 1)
    assert bodies(received) == ["a"]
    with serve(port=first.port), pytest.raises(exceptions.NotFound):
        clients.subscriber.get_subscription(subscription=subscription, timeout=20)
    close(clients)
