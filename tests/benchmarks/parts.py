"""The parts of the benchmark, each run in a separate process, which takes its memory and its threads with it.

What takes less than half a minute is run several times: a single short run says as much of the machine as of the code.
"""

import signal
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from typing import NamedTuple

from tests.benchmarks.report import Row, medians


class Part(NamedTuple):
    """A function that returns rows, and how often it is run with how many events."""

    module: str
    function: str
    events: int = 0  # when not told
    runs: int = 1  # those of a part that repeats by itself are in its rows


PARTS: Mapping[str, Part] = {
    "assess": Part("assessing", "assess", 300_000, runs=3),
    "many": Part("many_customers", "many_customers", 400_000, runs=3),
    "offboarding": Part("assessing", "assess_offboarding", 210_000, runs=3),
    "deciding": Part("deciding", "deciding", 2_000_000),
    "limits": Part("limits", "limits", 200_000, runs=3),
    "textbook": Part("textbook", "textbook", 20_000, runs=3),
    "pubsub": Part("whole_way", "whole_way", 300_000, runs=3),
    "latency": Part("latency", "latency"),
    "slow-bigquery": Part("slow_bigquery", "slow_bigquery", 100_000),
    "recovery": Part("recovery", "recovery"),
    "serving": Part("answering", "answering", 20_000),
    "workers": Part("workers", "workers", 100_000),
    "crew": Part("crew", "crew", 3_000, runs=3),  # events of a worker
    "redis": Part("limits", "redis", 5_000, runs=3),
    "replay": Part("replaying", "replaying", 1_000_000, runs=3),
    "training": Part("training", "training", 1_000_000),
    "choosing": Part("training", "choosing", 1_000_000),
    "backfill": Part("filling", "filling", 1_000_000),
    "first-event": Part("first_event", "first_event"),
    "memory": Part("memory", "memory"),
    "memory-offboarding": Part("memory", "memory_offboarding"),
}


def measure(name: str, events: int | None, runs: int | None = None) -> list[Row]:
    """Run a part as often as it says, or `runs` times, and return its rows."""
    part = PARTS[name]
    return medians([_run(part, events or part.events) for _ in range(runs or part.runs)])


def _run(part: Part, events: int) -> list[Row]:
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(_measured, part.module, part.function, events).result()


def _measured(module: str, function: str, events: int) -> list[Row]:
    end_properly()
    rows: Callable[[int], list[Row]] = getattr(import_module(f"tests.benchmarks.{module}"), function)
    return rows(events)


def end_properly() -> None:
    """Let SIGTERM unwind as Ctrl-C does, so that servers end with the process that started them."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
