"""The servers behind a client: their histories, and what they have evicted.

A history is a server's replication id. Redis draws a new one when a server starts, when a replica is promoted, and when
a primary begins or ceases to have replicas; so as long as it is the same, only commands have changed the data.
"""

from dataclasses import dataclass
from typing import Any

from redis import RedisCluster
from redis.connection import Connection
from redis.exceptions import ResponseError

from pipeline.stores.redis_client import Client


@dataclass(frozen=True)
class Server:
    """A primary. `evicted_keys` counts since it started."""

    address: str  # empty: the only one
    history: str
    evicted_keys: int = 0


def servers(client: Client) -> tuple[Server, ...]:
    """List all primaries. Raises RedisError if one of them cannot be asked, or is a replica."""
    if isinstance(client, RedisCluster):
        answers = client.info(target_nodes=RedisCluster.PRIMARIES)
        return tuple(_server(address, info) for address, info in sorted(answers.items()))
    return (_server("", client.info()),)


def introduced(connection: Connection) -> Server:
    """Return the server at the other end of a new connection. Raises RedisError if it is a replica."""
    connection.send_command("INFO", "replication")  # type: ignore[no-untyped-call]
    lines = connection.read_response().decode().split("\r\n")
    return _server("", dict(line.split(":", 1) for line in lines if ":" in line))


def _server(address: str, info: dict[str, Any]) -> Server:
    if info.get("role") != "master":
        raise ResponseError("READONLY You can't write against a read only replica")
    return Server(address, str(info["master_replid"]), int(info.get("evicted_keys", 0)))
