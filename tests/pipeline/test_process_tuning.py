"""Garbage in a process: nothing is done about the objects of a batch, and no cycle stays for ever."""

import gc
import sys
from collections.abc import Iterator

import pytest

from pipeline.runtime.process_tuning import NEW_OBJECTS, SWITCH_INTERVAL_S, tune_process


class Node:
    """An object that refers to itself."""

    alive = 0

    def __init__(self) -> None:
        self.self = self
        Node.alive += 1

    def __del__(self) -> None:
        Node.alive -= 1


@pytest.fixture(autouse=True)
def tuned() -> Iterator[None]:
    """Tune the process of the test, and put everything back."""
    threshold, interval_s = gc.get_threshold(), sys.getswitchinterval()
    tune_process()
    yield
    gc.set_threshold(*threshold)
    sys.setswitchinterval(interval_s)
    gc.unfreeze()


def collections() -> int:
    return sum(generation["collections"] for generation in gc.get_stats())


def test_batches_are_not_looked_through() -> None:
    before = collections()
    for _ in range(100):
        _ = [{"id": i} for i in range(10_000)]
    assert collections() == before
    assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL_S)


def test_objects_that_refer_to_themselves_are_collected() -> None:
    most = 0
    for _ in range(2 * NEW_OBJECTS):
        Node()
        most = max(most, Node.alive)
    assert 1_000 < most <= NEW_OBJECTS, "they wait for the collector, which comes in time"
