"""Requests that wait together are done together: what comes while a batch is under way is the next batch.

A lone request never waits for company; a thousand share one round trip. Order is that of arrival.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


class Batcher(Generic[In, Out]):
    """`work` on lists of at most `most`, in `threads` threads of its own: so many batches are under way at once.

    What `work` raises is raised to everyone whose request was in the batch.
    """

    def __init__(
        self, name: str, work: Callable[[Sequence[In]], Sequence[Out]], most: int, threads: int = 1
    ) -> None:
        self._work, self._most = work, most
        self._free = threads
        self._waiting: deque[tuple[In, asyncio.Future[Out]]] = deque()
        self._pool = ThreadPoolExecutor(threads, name)

    async def do(self, request: In) -> Out:
        """The result for one request."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Out] = loop.create_future()
        self._waiting.append((request, answer))
        self._start(loop)
        return await answer

    def close(self) -> None:
        self._pool.shutdown()

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._free and self._waiting:
            self._free -= 1
            batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            under_way = loop.run_in_executor(self._pool, self._work, [request for request, _ in batch])
            under_way.add_done_callback(lambda done, batch=batch: self._done(loop, batch, done))

    def _done(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[tuple[In, asyncio.Future[Out]]],
        done: asyncio.Future[Sequence[Out]],
    ) -> None:
        self._free += 1
        self._start(loop)
        error = done.exception()
        results = [None] * len(batch) if error else done.result()
        for (_, answer), result in zip(batch, results, strict=True):
            if answer.done():
                continue  # who asked has gone
            if error:
                answer.set_exception(error)
            else:
                answer.set_result(result)
