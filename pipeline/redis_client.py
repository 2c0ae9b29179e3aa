"""How Redis is reached: one node or a cluster, plain or TLS."""

from typing import Any
from urllib.parse import urlsplit

from redis import Redis, RedisCluster
from redis.exceptions import RedisError

from export import storage

Client = Redis | RedisCluster


def client_of(url: str, ca_file: str | None, cluster: bool, timeout_s: float, **options: Any) -> Client:
    """`url` is redis://, rediss:// (TLS) or unix://; `ca_file`, local or gs://, names who vouches for the server.

    Raises RedisError, or OSError if the file cannot be read.
    """
    if ca_file and not url.startswith("rediss:"):
        raise RedisError("a certificate authority is given, but the URL does not begin with rediss://")
    if ca_file and "://" in ca_file:
        options["ssl_ca_data"] = storage.read(ca_file).decode()
    elif ca_file:
        options["ssl_ca_certs"] = ca_file
    timeouts = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    try:
        return (RedisCluster if cluster else Redis).from_url(url, **timeouts, **options)
    except ValueError as error:
        raise RedisError(str(error)) from error


def address_in(url: str) -> str:
    """Where the URL points, without user, password and options."""
    parts = urlsplit(url)
    return (parts.netloc.rpartition("@")[2] + parts.path) or url.partition("?")[0]


def renew(client: Client) -> None:
    """Close the connections that nobody uses just now; of a cluster, look where its nodes are. Raises RedisError."""
    if isinstance(client, RedisCluster):
        for node in client.get_nodes():
            if node.redis_connection is not None:
                node.redis_connection.connection_pool.disconnect(inuse_connections=False)
        client.nodes_manager.initialize()
    else:
        client.connection_pool.disconnect(inuse_connections=False)
