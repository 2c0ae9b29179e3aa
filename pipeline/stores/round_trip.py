"""One round trip to the servers that hold some keys: send everything to everybody, then read every answer.

In a cluster a group of keys is a hash slot, else up to GROUP keys, so that the server works on one while the next is
packed. With `wait` each server is asked, behind its commands, how many replicas have them.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from redis import Redis
from redis.connection import Connection, ConnectionPool
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, NoScriptError, RedisError, TryAgainError

from features.errors import Unavailable
from pipeline.stores.redis_client import Client

GROUP = 200  # keys a command; measured: 100 to 300 are equally good, 1,000 a quarter slower
AGAIN = (NoScriptError, MovedError, AskError, TryAgainError)  # answers that mean: not done, do it so
CONFIRM_MS = 1_000  # how long replicas are waited for; a healthy one takes a millisecond

# Changes nothing and still goes to the replicas, behind all that was written before.
TOUCH = "if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('APPEND', KEYS[1], '') end return 1"

T = TypeVar("T")
Rows = slice | list[int]
Routes = dict[ConnectionPool, list[Rows]]  # which keys go where, in which groups
Command = list[Any]  # the name, up to two words of text or numbers, then only bytes


class _Heads(dict[int, bytes]):
    """The bytes before a word of each length in Redis's protocol, made once for each."""

    def __missing__(self, length: int) -> bytes:
        head = self[length] = b"\r\n$%d\r\n" % length
        return head


_heads = _Heads()  # records are multiples of 8 bytes: some hundred lengths


class Unreplicated(Unavailable, RedisError):
    """Fewer replicas than demanded have confirmed a write in time."""


def routes(client: Client, keys: Sequence[bytes]) -> Routes:
    """Group keys by the server that holds them. The last key is read after all others of its server."""
    if isinstance(client, Redis):
        starts = range(0, len(keys), GROUP)
        return {client.connection_pool: [slice(i, min(i + GROUP, len(keys))) for i in starts]}
    by_slot: dict[int, list[int]] = {}
    for row in range(len(keys) - 1, -1, -1):
        by_slot.setdefault(key_slot(keys[row]), []).append(row)
    by_node: Routes = {}
    for slot, rows in reversed(by_slot.items()):
        node = client.nodes_manager.get_node_from_slot(slot)
        by_node.setdefault(client.get_redis_connection(node).connection_pool, []).append(rows)
    return by_node


def pick(values: Sequence[T], rows: Rows) -> Sequence[T]:
    return values[rows] if isinstance(rows, slice) else [values[i] for i in rows]


def put(values: list[Any], rows: Rows, new: Sequence[Any]) -> None:
    """Put new values in the places of `rows`: the inverse of `pick`."""
    if isinstance(rows, slice):
        if len(new) != rows.stop - rows.start:
            raise ValueError(f"{len(new)} answers for {rows.stop - rows.start} keys")
        values[rows] = new
        return
    for place, value in zip(rows, new, strict=True):
        values[place] = value


def packed(command: Command) -> bytes:
    """Return the command in Redis's protocol; for hundreds of records it takes a third of redis-py's time."""
    words = [*(word if isinstance(word, bytes) else str(word).encode() for word in command[:3]), *command[3:]]
    pieces = [b""] * (2 * len(words) + 2)
    pieces[0] = b"*%d" % len(words)
    pieces[1:-1:2] = map(_heads.__getitem__, map(len, words))
    pieces[2:-1:2] = words
    pieces[-1] = b"\r\n"
    return b"".join(pieces)


def round_trip(
    routes: Routes, command: Callable[[Rows], Command], replicas: int = 0
) -> list[tuple[Rows, Any]]:
    """Send `command` of each group and return the answers; an AGAIN error is an answer.

    Raises Unreplicated unless `replicas` of each server have all of it, and what Redis says.
    """
    with ExitStack() as stack:
        sent: list[tuple[Rows, Connection]] = []
        connections = [stack.enter_context(_borrowed(pool)) for pool in routes]
        for connection, groups in zip(connections, routes.values(), strict=True):
            for rows in groups:
                connection.send_packed_command([packed(command(rows))], check_health=False)  # type: ignore[no-untyped-call]
                sent.append((rows, connection))
            if replicas:
                connection.send_command("WAIT", replicas, CONFIRM_MS)  # type: ignore[no-untyped-call]
        answers = [(rows, _answer(connection)) for rows, connection in sent]
        confirmed = [connection.read_response() for connection in connections] if replicas else []
    if any(number < replicas for number in confirmed):
        raise Unreplicated(
            f"{min(confirmed)} of {replicas} replicas have confirmed a write within {CONFIRM_MS} ms"
        )
    return answers


def confirm(client: Client, keys: Sequence[bytes], replicas: int) -> None:
    """Wait until that many replicas have every write to the servers of these keys. Raises Unreplicated."""
    first = {pool: groups[:1] for pool, groups in routes(client, keys).items()}
    round_trip(first, lambda rows: ["EVAL", TOUCH, 1, pick(keys, rows)[0]], replicas)


@contextmanager
def _borrowed(pool: ConnectionPool) -> Iterator[Connection]:
    """Lend a connection of the pool; close it when anything goes wrong, because answers may be on their way."""
    connection = pool.get_connection()
    try:
        yield connection
    except BaseException:
        connection.disconnect()  # type: ignore[no-untyped-call]
        raise
    finally:
        pool.release(connection)


def _answer(connection: Connection) -> Any:
    try:
        return connection.read_response()
    except AGAIN as error:
        return error
