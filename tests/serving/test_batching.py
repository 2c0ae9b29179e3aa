"""Requests that wait together are done together, each gets its own result, and nothing is done twice or dropped."""

import asyncio
import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.batching import Batcher


class Work:
    """Squares numbers once it may; notes in which batches they came."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may = threading.Event()

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        self.may.wait(10)
        return [number**2 for number in numbers]


def squares(batcher: Batcher[int, int], numbers: Sequence[int]) -> list[int | BaseException]:
    async def ask() -> list[int | BaseException]:
        return await asyncio.gather(*map(batcher.do, numbers), return_exceptions=True)

    return asyncio.run(ask())


@given(st.lists(st.integers()), st.integers(1, 5), st.integers(1, 3))
def test_everybody_gets_the_own_result(numbers: list[int], most: int, threads: int) -> None:
    work = Work()
    work.may.set()
    batcher = Batcher("squares", work, most, threads)
    assert squares(batcher, numbers) == [number**2 for number in numbers]
    assert sorted(number for batch in work.batches for number in batch) == sorted(numbers), "each once"
    assert all(len(batch) <= most for batch in work.batches)
    batcher.close()


def test_what_comes_while_one_is_under_way_is_the_next_batch() -> None:
    work = Work()
    batcher = Batcher("squares", work, most=3)

    async def ask() -> list[int]:
        first = asyncio.create_task(batcher.do(0))
        await asyncio.sleep(0)
        others = [asyncio.create_task(batcher.do(n)) for n in range(1, 6)]
        await asyncio.sleep(0)
        work.may.set()
        return [await each for each in (first, *others)]

    assert asyncio.run(ask()) == [0, 1, 4, 9, 16, 25]
    assert work.batches == [[0], [1, 2, 3], [4, 5]]
    batcher.close()


def test_an_error_is_told_to_everybody_of_the_batch_and_to_nobody_else() -> None:
    def work(numbers: Sequence[int]) -> Sequence[int]:
        if 2 in numbers:
            raise ValueError("no twos")
        return numbers

    batcher: Batcher[int, int] = Batcher("fussy", work, most=2)
    first, *pair, last = squares(batcher, [0, 1, 2, 3])
    assert (first, last) == (0, 3)
    assert [str(each) for each in pair] == ["no twos", "no twos"]
    assert squares(batcher, [5]) == [5], "and it goes on"
    batcher.close()


def test_who_goes_away_holds_nobody_up() -> None:
    work = Work()
    batcher = Batcher("squares", work, most=10)

    async def ask() -> int:
        gone = asyncio.create_task(batcher.do(1))
        await asyncio.sleep(0)
        gone.cancel()
        stays = asyncio.create_task(batcher.do(2))
        await asyncio.sleep(0)
        work.may.set()
        with pytest.raises(asyncio.CancelledError):
            await gone
        return await stays

    assert asyncio.run(ask()) == 4
    batcher.close()
