"""Proxies on loopback between the job and its servers, through which certify takes a server away from the job alone.

Redis is reached through a plain relay, which speaks TLS to the server where the job would. Google's services are
reached through an HTTP proxy (CONNECT), as gRPC and HTTPS clients use one by their environment: TLS stays end to end.
"""

import os
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

PIECE_BYTES = 65_536
CONNECT_TIMEOUT_S = 10.0
POLL_S = 0.02
HEAD_BYTES = 16_384
NO_HOST = (
    "none.invalid"  # gRPC reads its list of exceptions before the general one, which may have loopback in it
)
PROXY_VARIABLES = ("grpc_proxy", "https_proxy", "HTTPS_PROXY")
Connect = Callable[[], socket.socket]


class Gate:
    """The way to one service: open, cut (connections are reset and refused), or stalled (nothing gets through)."""

    def __init__(self) -> None:
        self._passing = threading.Event()
        self._passing.set()
        self._lock = threading.Lock()
        self._is_cut = False
        self._open = set[socket.socket]()

    def cut(self) -> None:
        """Reset all connections, and refuse new ones."""
        with self._lock:
            self._is_cut, ended = True, list(self._open)
        for each in ended:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def stall(self) -> None:
        """Let nothing through; connections stay."""
        self._passing.clear()

    def open(self) -> None:
        """Let everything through again."""
        self._is_cut = False
        self._passing.set()

    def relay(self, near: socket.socket, connect: Connect, greeting: bytes = b"") -> None:
        """Connect, send the greeting back, and pass bytes on in both directions until one side ends."""
        self._passing.wait()
        if self._is_cut:
            return
        with connect() as far:
            with self._lock:
                if self._is_cut:
                    return
                self._open |= {near, far}
            near.sendall(greeting)
            back = threading.Thread(target=self._pump, args=(far, near), daemon=True)
            back.start()
            self._pump(near, far)
            back.join()
            with self._lock:
                self._open -= {near, far}

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(PIECE_BYTES):
                self._passing.wait()
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class LoopbackProxy(socketserver.ThreadingTCPServer):
    """A server on a free port of loopback. A context manager that ends it."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, handler: type[socketserver.BaseRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.port = int(self.server_address[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(POLL_S,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: the job sees a connection that ends."""


class RedisProxy(LoopbackProxy):
    """The way to the Redis of a URL; `url` is the job's instead, without TLS."""

    def __init__(self, url: str, context: ssl.SSLContext | None) -> None:
        """Take the context for rediss://. Raises ValueError for a URL without a host, such as unix://."""
        parts = urlsplit(url)
        if not parts.hostname:
            raise ValueError(f"{parts.scheme}: found an address without a host, expected redis://HOST:PORT")
        self.gate, self._host, self._redis_port = Gate(), parts.hostname, parts.port or 6379
        self._context = context
        super().__init__(_RedisConnection)
        login, at, _ = parts.netloc.rpartition("@")
        self.url = parts._replace(scheme="redis", netloc=f"{login}{at}127.0.0.1:{self.port}").geturl()

    def connect(self) -> socket.socket:
        """Connect to Redis."""
        plain = socket.create_connection((self._host, self._redis_port), CONNECT_TIMEOUT_S)
        plain.settimeout(None)
        return self._context.wrap_socket(plain, server_hostname=self._host) if self._context else plain


class _RedisConnection(socketserver.BaseRequestHandler):
    server: RedisProxy

    def handle(self) -> None:
        self.server.gate.relay(self.request, self.server.connect)


class GoogleProxy(LoopbackProxy):
    """The HTTP proxy of the job: a tunnel to any host, with a gate for Pub/Sub and one for BigQuery."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Take the environment that says which emulators there are."""
        self.pubsub, self.bigquery, self._other = Gate(), Gate(), Gate()
        emulators = {
            environment.get("PUBSUB_EMULATOR_HOST"): self.pubsub,
            environment.get("BIGQUERY_STORAGE_EMULATOR_HOST"): self.bigquery,
        }
        self._emulators = {address: gate for address, gate in emulators.items() if address}
        super().__init__(_Tunnel)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead clients through this proxy."""
        url = f"http://127.0.0.1:{self.port}"
        return {**dict.fromkeys(PROXY_VARIABLES, url), "no_grpc_proxy": NO_HOST}

    def gate(self, address: str) -> Gate:
        """Return the gate of a HOST:PORT."""
        if address in self._emulators:
            return self._emulators[address]
        host = address.rpartition(":")[0]
        if host.endswith("googleapis.com"):
            return self.pubsub if "pubsub" in host else self.bigquery if "bigquery" in host else self._other
        return self._other


class _Tunnel(socketserver.BaseRequestHandler):
    server: GoogleProxy

    def handle(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head and len(head) < HEAD_BYTES:
            piece = self.request.recv(PIECE_BYTES)
            if not piece:
                return
            head += piece
        method, address, *_ = head.decode("latin-1").split()
        if method != "CONNECT":
            self.request.sendall(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n")
            return
        host, _, port = address.rpartition(":")
        self.server.gate(address).relay(
            self.request,
            lambda: _connected(host.strip("[]"), int(port)),
            b"HTTP/1.1 200 Connection established\r\n\r\n",
        )


def _connected(host: str, port: int) -> socket.socket:
    far = socket.create_connection((host, port), CONNECT_TIMEOUT_S)
    far.settimeout(None)
    return far


def has_proxy(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether clients already go through a proxy, which cannot be put behind another one."""
    return any(environment.get(name) for name in PROXY_VARIABLES)
