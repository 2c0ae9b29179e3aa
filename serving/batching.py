"""Batches of requests: those that arrive while a batch is under way are the next batch, in order of arrival.

A lone request never waits for others; a thousand share one round trip.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Generic, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


class Batcher(Generic[In, Out]):
    """Does `work` on lists of at most `most` requests, in `threads` threads: so many batches are under way at once.

    An error of `work` is raised to every caller whose request was in the batch.
    """

    def __init__(
        self, name: str, work: Callable[[Sequence[In]], Sequence[Out]], most: int, threads: int = 1
    ) -> None:
        self._work, self._most = work, most
        self._free = threads
        self._waiting: deque[tuple[In, asyncio.Future[Out]]] = deque()
        self._pool = ThreadPoolExecutor(threads, name)

    async def do(self, request: In) -> Out:
        """Return the result of one request."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Out] = loop.create_future()
        self._waiting.append((request, answer))
        self._start(loop)
        return await answer

    def close(self) -> None:
        """Wait for the batches that are under way, and end the threads."""
        self._pool.shutdown()

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._free and self._waiting:
            self._free -= 1
            batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            under_way = loop.run_in_executor(self._pool, self._work, [request for request, _ in batch])
            under_way.add_done_callback(partial(self._done, loop, batch))

    def _done(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[tuple[In, asyncio.Future[Out]]],
        done: asyncio.Future[Sequence[Out]],
    ) -> None:
        self._free += 1
        self._start(loop)
        waiting = [answer for _, answer in batch]
        if error := done.exception():
            for answer in waiting:
                if not answer.done():
                    answer.set_exception(error)
            return
        for answer, result in zip(waiting, done.result(), strict=True):
            if not answer.done():  # else the caller has gone
                answer.set_result(result)
