"""Clients of Redis: one node or a cluster, plain or TLS."""

import atexit
import ssl
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from redis import Redis, RedisCluster
from redis.exceptions import RedisError

from export import storage

Client = Redis | RedisCluster


@dataclass(frozen=True)
class Reach:
    """The address of Redis, and the certificates for it.

    `url` is redis://, rediss:// (TLS) or unix://. Files are local or gs://: `ca_file` is the certificate authority of
    the server, `cert_file` and `key_file` are the certificate and key of this client.
    """

    url: str
    ca_file: str | None = None
    cluster: bool = False
    cert_file: str | None = None
    key_file: str | None = None


def client_of(reach: Reach, timeout_s: float, **options: Any) -> Client:
    """Return a client, which connects when first used. Raises RedisError, or OSError if a file cannot be read."""
    timeouts = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    try:
        kind = RedisCluster if reach.cluster else Redis
        return kind.from_url(reach.url, **timeouts, **_tls(reach), **options)
    except ValueError as error:
        raise RedisError(str(error)) from error


def _tls(reach: Reach) -> dict[str, Any]:
    """redis-py's options for the files."""
    if not (reach.ca_file or reach.cert_file or reach.key_file):
        return {}
    if not reach.url.startswith("rediss:"):
        raise RedisError("a certificate is given, but the URL does not begin with rediss://")
    if bool(reach.cert_file) != bool(reach.key_file):
        raise RedisError("a client's certificate and its key are given together, or neither")
    options: dict[str, Any] = {}
    if reach.ca_file and "://" in reach.ca_file:
        options["ssl_ca_data"] = storage.read(reach.ca_file).decode()
    elif reach.ca_file:
        options["ssl_ca_certs"] = reach.ca_file
    if reach.cert_file and reach.key_file:
        options |= {"ssl_certfile": _local(reach.cert_file), "ssl_keyfile": _local(reach.key_file)}
    return options


def tls_context(reach: Reach) -> ssl.SSLContext:
    """Return the context for connections to rediss://, with the files of `reach`. Raises OSError."""
    context = ssl.create_default_context()
    if reach.ca_file:
        context = ssl.create_default_context(cadata=storage.read(reach.ca_file).decode())
    if reach.cert_file and reach.key_file:
        context.load_cert_chain(_local(reach.cert_file), _local(reach.key_file))
    return context


@cache
def _local(file: str) -> str:
    """Return the file's path on this machine: OpenSSL reads certificates of clients from files only.

    What comes from gs:// lies in a folder that only this user can read, until the process ends.
    """
    if "://" not in file:
        if not Path(file).is_file():
            raise FileNotFoundError(f"{file}: found no such file, expected a certificate or key in PEM")
        return file
    folder = TemporaryDirectory(prefix="riskstream-tls-")
    atexit.register(folder.cleanup)
    path = Path(folder.name) / "file.pem"
    path.write_bytes(storage.read(file))
    return str(path)


def address_in(url: str) -> str:
    """Return the address in the URL, without user, password and options."""
    parts = urlsplit(url)
    return (parts.netloc.rpartition("@")[2] + parts.path) or url.partition("?")[0]


def renew(client: Client) -> None:
    """Close the connections that nobody uses just now; of a cluster, look where its nodes are. Raises RedisError."""
    if isinstance(client, RedisCluster):
        for node in client.get_nodes():  # type: ignore[no-untyped-call]
            if node.redis_connection is not None:
                node.redis_connection.connection_pool.disconnect(inuse_connections=False)
        client.nodes_manager.initialize()
    else:
        client.connection_pool.disconnect(inuse_connections=False)
