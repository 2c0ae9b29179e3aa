"""Commands as bytes, and answers in their places."""

import pytest
from redis.connection import Connection

from pipeline.stores.round_trip import packed, put


@pytest.mark.parametrize(
    "command",
    [
        ["MGET", b"a", b"", b"key with \r\n", bytes(range(256))],
        ["EVALSHA", "0" * 40, 2, b"a", b"b", b"", bytes(16), bytes(1_000), b"x" * 100_000],
        ["WAIT", 1, 1_000],
        ["PING"],
    ],
)
def test_a_command_is_packed_as_redis_py_packs_it(command: list[object]) -> None:
    assert packed(command) == b"".join(Connection().pack_command(*command))


def test_answers_come_into_their_places() -> None:
    answers: list[object] = [None] * 5
    put(answers, slice(1, 3), b"10")
    put(answers, [4, 0], [b"e", b"a"])
    assert answers == [b"a", ord("1"), ord("0"), None, b"e"]


@pytest.mark.parametrize("rows", [slice(0, 2), [0, 1]])
def test_a_missing_answer_is_an_error(rows: slice | list[int]) -> None:
    with pytest.raises(ValueError, match="1"):
        put([None] * 2, rows, [b"a"])
