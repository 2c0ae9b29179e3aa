"""Batches that overlap: one is prepared while the one before it is committed, with the results of one by one."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from export.bundle import promote, save
from features.events import Batch
from features.usecase import UseCase, load
from pipeline.engine.assess import assess
from pipeline.engine.assessments import Assessments
from pipeline.engine.live_model import LiveModel
from pipeline.job.assessing import MOST_SHARED, AssessingThreads, may_overlap
from pipeline.runtime.errors import StoreUnavailable
from pipeline.stores.store import Expiry, MemoryStore, RecordStore
from tests.benchmarks import workloads
from tests.benchmarks.workloads import Payments
from tests.pipeline.market import assert_same, batched, columns, history, market
from tests.pipeline.models import engine, trained

PATIENCE_S = 20.0
SIZE = 320
FEW = int(MOST_SHARED * SIZE)


@cache
def one_entity() -> UseCase:
    return load(workloads.SIXTEEN)


def batches(shared: int, n: int = 4) -> list[Batch]:
    """Batches of SIZE customers each, of whom so many are also in the batch before."""
    rng = np.random.default_rng(1)
    customer = np.concatenate([i * (SIZE - shared) + np.arange(SIZE) for i in range(n)])
    time_us = workloads.START_US + 60_000_000 * np.arange(n * SIZE)
    events = Payments(np.arange(n * SIZE), customer, time_us, np.round(rng.lognormal(3, 1, n * SIZE), 2))
    return list(workloads.sixteen(one_entity(), events).batches(SIZE))


class Watched:
    """A store in memory that first calls `before_read` or `before_commit` with the number of the call, from 0."""

    def __init__(self, before_read: Callable[[int], object], before_commit: Callable[[int], object]) -> None:
        self.before_read, self.before_commit = before_read, before_commit
        self.reads = self.commits = 0
        self.below = MemoryStore()

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        self.reads += 1
        self.before_read(self.reads - 1)
        return self.below.read(keys)

    def commit(
        self, keys: Sequence[bytes], before: Sequence[int], blobs: Sequence[bytes], expiry_ms: Expiry = None
    ) -> list[bool]:
        self.commits += 1
        self.before_commit(self.commits - 1)
        return self.below.commit(keys, before, blobs, expiry_ms)

    def holds_other(self, keys: Sequence[bytes]) -> list[bool]:
        return self.below.holds_other(keys)


def nothing(_: int) -> None:
    pass


@contextmanager
def threads_on(store: RecordStore, root: Path) -> Iterator[tuple[AssessingThreads, LiveModel]]:
    bundle = trained(one_entity())
    save(bundle, str(root))
    promote(str(root), bundle.manifest.id)
    with closing(LiveModel(one_entity(), str(root), store, "riskstream")) as model:
        threads = AssessingThreads(model)
        yield threads, model
        threads.close()


def assessed(threads: AssessingThreads, parts: Sequence[Batch]) -> list[Assessments]:
    return [future.result(PATIENCE_S)[1] for future in [threads.submit(part) for part in parts]]


def one_by_one(parts: Sequence[Batch]) -> tuple[list[Assessments], MemoryStore]:
    store = MemoryStore()
    serial = engine(one_entity(), store)
    return [assess(serial, part) for part in parts], store


@pytest.mark.parametrize("shared", [0, FEW])
def test_a_batch_is_prepared_while_the_one_before_it_is_committed(shared: int, tmp_path: Path) -> None:
    """The first commit waits until the second batch has been read, so customers in both are read too early."""
    second_read = threading.Event()

    def wait(commit: int) -> None:
        assert commit or second_read.wait(PATIENCE_S), "nothing overlaps"

    parts = batches(shared)
    store = Watched(lambda read: second_read.set() if read else None, wait)
    with threads_on(store, tmp_path) as (threads, _):
        overlapped = assessed(threads, parts)
    serial, expected = one_by_one(parts)
    assert overlapped[1].conflicts == shared and overlapped[0].conflicts == 0
    assert_same(columns(overlapped), columns(serial))
    assert store.below.records == expected.records


def test_batches_of_the_same_customers_are_read_one_after_the_other(tmp_path: Path) -> None:
    parts = batches(shared=FEW + 1)
    store = Watched(nothing, nothing)
    store.before_read = lambda read: assert_equal(store.commits, read)
    with threads_on(store, tmp_path) as (threads, _):
        overlapped = assessed(threads, parts)
    assert [each.conflicts for each in overlapped] == [0] * len(parts)
    assert_same(columns(overlapped), columns(one_by_one(parts)[0]))


def assert_equal(left: int, right: int) -> None:
    assert left == right


def test_a_store_that_was_away_while_a_batch_was_prepared_is_asked_again(tmp_path: Path) -> None:
    second_read = threading.Event()

    def fail_once(read: int) -> None:
        if read == 1:
            second_read.set()
            raise StoreUnavailable("away")

    parts = batches(shared=FEW)
    store = Watched(fail_once, lambda commit: commit or second_read.wait(PATIENCE_S))
    with threads_on(store, tmp_path) as (threads, _):
        overlapped = assessed(threads, parts)
    serial, expected = one_by_one(parts)
    assert_same(columns(overlapped), columns(serial))
    assert store.below.records == expected.records


def test_what_another_model_has_prepared_is_not_used(tmp_path: Path) -> None:
    second_read, exchanged = threading.Event(), threading.Event()
    store = Watched(
        lambda read: second_read.set() if read == 1 else None,
        lambda commit: commit or exchanged.wait(PATIENCE_S),
    )
    first, second = batches(shared=0, n=2)
    with threads_on(store, tmp_path) as (threads, model):
        futures = [threads.submit(first), threads.submit(second)]
        assert second_read.wait(PATIENCE_S)
        model._load(trained(one_entity()).manifest.id)  # as the watch does when the pointer has moved
        old = model.in_use
        exchanged.set()
        assessments = [future.result(PATIENCE_S)[1] for future in futures]
        assert model.in_use is not old
    assert store.reads == 3, "the second batch is read again, by the new engine"
    assert_same(columns(assessments), columns(one_by_one([first, second])[0]))


def test_batches_with_records_of_other_entities_do_not_overlap() -> None:
    """A merchant is in every batch, and what an owner has counted cannot be prepared twice."""
    events = history(market(), 20, seed=1)
    assert not may_overlap(batched(market(), events[:10]), batched(market(), events[10:]))
