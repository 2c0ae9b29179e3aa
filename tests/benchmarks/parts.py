"""The parts of the benchmark, each run in a process of its own, which takes its memory and its threads with it."""

import signal
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context

from tests.benchmarks.report import Row

# part: module, function, events when not told
PARTS: Mapping[str, tuple[str, str, int]] = {
    "assess": ("assessing", "assess", 300_000),
    "offboarding": ("assessing", "assess_offboarding", 210_000),
    "limits": ("limits", "limits", 200_000),
    "textbook": ("textbook", "textbook", 20_000),
    "pubsub": ("whole_way", "whole_way", 200_000),
    "serving": ("answering", "answering", 20_000),
    "workers": ("workers", "workers", 100_000),
    "redis": ("limits", "redis", 5_000),
    "replay": ("replaying", "replaying", 1_000_000),
    "training": ("training", "training", 1_000_000),
    "choosing": ("training", "choosing", 1_000_000),
    "backfill": ("filling", "filling", 1_000_000),
    "memory": ("memory", "memory", 0),
    "memory-offboarding": ("memory", "memory_offboarding", 0),
}


def measure(part: str, events: int | None) -> list[Row]:
    """The rows of a part."""
    module, function, default = PARTS[part]
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(_measured, module, function, events or default).result()


def _measured(module: str, function: str, events: int) -> list[Row]:
    end_properly()
    found: Callable[[int], list[Row]] = getattr(import_module(f"tests.benchmarks.{module}"), function)
    return found(events)


def end_properly() -> None:
    """SIGTERM unwinds as Ctrl-C does, so that servers end with who started them."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
