"""A primary and its replica behind one address, and a replication link that can be cut."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.pipeline.servers import LOCAL_REDIS, RedisServer, pump, wait_for

AT_ONCE = ("--repl-diskless-sync-delay", "0")  # or a new replica waits five seconds for others


class Line(socketserver.ThreadingTCPServer):
    """An address of its own that leads to a port, or nowhere; to change that ends its connections."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int | None) -> None:
        self.target, self._open, self._lock = port, set[socket.socket](), threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)
        self.port = int(self.server_address[1])
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def lead(self, port: int | None) -> None:
        """Lead connections to this port from now on; None: nowhere."""
        with self._lock:
            self.target, ended = port, list(self._open)
        for one in ended:
            shut(one)

    def through(self, near: socket.socket) -> None:
        """Pass everything on in both directions until one side ends."""
        with self._lock:
            if self.target is None:
                return
            far = socket.create_connection(("127.0.0.1", self.target))
            self._open |= {near, far}
        back = threading.Thread(target=pump, args=(far, near), daemon=True)
        back.start()
        pump(near, far)
        back.join()
        with self._lock:
            self._open -= {near, far}
        far.close()

    def close(self) -> None:
        self.lead(None)
        self.shutdown()
        self.server_close()


class Handler(socketserver.BaseRequestHandler):
    server: Line

    def handle(self) -> None:
        with suppress(OSError):  # nobody listens there just now
            self.server.through(self.request)


def shut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


class Pair:
    """A primary, its replica, and `line`, the address that clients have."""

    def __init__(self, folder: Path, executable: str) -> None:
        self.primary, self.replica = (
            RedisServer(folder / name, *AT_ONCE, executable=executable) for name in ("primary", "replica")
        )
        self.link = Line(self.primary.port)  # the replica's way to its primary
        self.line = Line(self.primary.port)
        self.follow()

    def follow(self) -> None:
        self.replica.client.replicaof("127.0.0.1", self.link.port)
        wait_for(lambda: self.replica.client.info("replication")["master_link_status"] == "up")

    def catch_up(self) -> None:
        """Return when the replica has everything that anybody has written so far; WAIT is about one's own writes."""
        written = self.primary.client.info("replication")["master_repl_offset"]
        wait_for(lambda: self.replica.client.info("replication")["slave_repl_offset"] >= written)

    def fail_over(self) -> None:
        """The primary is gone for good; the replica takes its place and has what it has."""
        self.link.lead(None)
        self.primary.stop()
        self.replica.client.replicaof("NO", "ONE")
        self.line.lead(self.replica.port)

    def close(self) -> None:
        self.line.close()
        self.link.close()
        self.primary.stop()
        self.replica.stop()


@contextmanager
def pair(folder: Path, executable: str | Path = LOCAL_REDIS) -> Iterator[Pair]:
    """A pair that does not outlive the block."""
    made = Pair(folder, executable)
    try:
        yield made
    finally:
        made.close()
