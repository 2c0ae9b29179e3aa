"""Batches assessed in order by two threads: one prepares a batch while the other commits the one before it.

Redis works for as long on a batch as compiled code does, so neither waits for the other. The rule: batches are decided
and committed one by one, in order. What a batch was prepared with and the one before it has changed since, its commit
finds out by the seq, and does again.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from features.events import Batch
from pipeline.engine.assess import Prepared, assess, prepare
from pipeline.engine.assessments import Assessments
from pipeline.engine.engine import Engine
from pipeline.engine.live_model import LiveModel
from pipeline.runtime.errors import StoreUnavailable
from pipeline.runtime.metrics import BREAKER, key
from pipeline.runtime.process_metrics import progress, waiting_out

AHEAD = 2  # full batches under way: one is committed and the next prepared while a third is decoded
MOST_SHARED = 1 / 16  # of a batch's customers; those of the batch before are done twice

Assessed = tuple[int, Assessments | None]  # when it began, in ns since 1970; None: no events


@dataclass(frozen=True)
class _UnderWay:
    """A batch whose assessment is not done with."""

    events: Batch
    assessed: Future[Assessed]


class AssessingThreads:
    """The threads that assess the batches of one step. Not safe for several callers."""

    def __init__(self, model: LiveModel) -> None:
        self._model = model
        self._preparing = ThreadPoolExecutor(1, "prepare")
        self._completing = ThreadPoolExecutor(1, "assess")
        self._latest: list[_UnderWay] = []  # the last two

    def submit(self, events: Batch | None) -> Future[Assessed]:
        """Assess a batch after those before it, however long Redis is away.

        The future raises StoreUnavailable if the process is to stop before Redis is back.
        """
        if events is None:
            return self._completing.submit(self.assess, events)
        before = [each for each in self._latest if not each.assessed.done()]
        prepared = None
        if before and may_overlap(events, before[-1].events):
            earlier = [each.assessed for each in before[:-1]]
            prepared = self._preparing.submit(self._prepare, events, earlier)
        assessed = self._completing.submit(self._complete, events, prepared)
        self._latest = [*before[-1:], _UnderWay(events, assessed)]
        return assessed

    def assess(self, events: Batch | None) -> Assessed:
        """Assess a batch in the caller's thread, while no other is under way. Raises StoreUnavailable as above."""
        return (time.time_ns(), None) if events is None else self._complete(events, None)

    def close(self) -> None:
        """End the threads once all that was submitted is done."""
        self._preparing.shutdown()
        self._completing.shutdown()

    def _prepare(self, events: Batch, earlier: list[Future[Assessed]]) -> tuple[int, Prepared]:
        """Prepare a batch once all but the one before it are done: further ahead, more would be done twice."""
        for assessed in earlier:
            assessed.exception()
        return time.time_ns(), prepare(self._model.in_use, events)

    def _complete(self, events: Batch, preparing: Future[tuple[int, Prepared]] | None) -> Assessed:
        began_ns, prepared = time.time_ns(), None
        if preparing is not None and not isinstance(preparing.exception(), StoreUnavailable):
            began_ns, prepared = preparing.result()
        engine, assessments = waiting_out(
            "redis", self._attempts(events, prepared), StoreUnavailable, "assess events"
        )
        progress.gauges[key(BREAKER)] = engine.breaker.is_open(int(events.time_us.max()))
        return began_ns, assessments

    def _attempts(self, events: Batch, prepared: Prepared | None) -> Callable[[], tuple[Engine, Assessments]]:
        """Return the attempt to assess; only the first one, and with the same model, takes what is prepared."""
        waiting = [prepared]

        def attempt() -> tuple[Engine, Assessments]:
            engine, ready = self._model.current(), waiting.pop() if waiting else None
            return engine, assess(
                engine, events, prepared=ready if ready and ready.engine is engine else None
            )

        return attempt


def may_overlap(events: Batch, before: Batch) -> bool:
    """Return whether a batch may be prepared before the one before it is committed.

    It may if the two share few customers, in a use case that keeps records of nothing else: a merchant is in every
    batch.
    """
    use_case = events.use_case
    if len(use_case.entities) > 1:
        return False
    ids = events.arrivals[use_case.subject].ids
    shared = len(set(ids).intersection(before.arrivals[use_case.subject].ids))
    return shared <= MOST_SHARED * len(ids)
