"""Small records for tests of stores, and writers that all want the same few of them.

A record here is 12 bytes of nothing, the seq, and then whatever the test keeps in it.
"""

from features.record import seq_bytes
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.store import RecordStore

WRITERS = 3
ROUNDS = 60
HOT_KEYS = [b"hot:%d" % i for i in range(5)]


def record(seq: int, content: bytes = b"") -> bytes:
    return bytes(12) + seq_bytes(seq) + content


def seq_of(blob: bytes | None) -> int:
    return 0 if blob is None else int.from_bytes(blob[12:20], "little")


def add_to_all(store: RecordStore, writer: int) -> None:
    """ROUNDS times add one mark, which nobody else has, to every hot record; losers read again."""
    for number in range(ROUNDS):
        keys, mark = HOT_KEYS, bytes([writer, number])
        while keys:
            found = store.read(keys)
            before = [seq_of(blob) for blob in found]
            blobs = [record(b + 1, (f or record(0))[20:] + mark) for f, b in zip(found, before, strict=True)]
            written = store.commit(keys, before, blobs)
            keys = [key for key, done in zip(keys, written, strict=True) if not done]


def add_from_another_process(url: str, cluster: bool, writer: int) -> None:
    add_to_all(RedisStore(url, cluster=cluster), writer)
