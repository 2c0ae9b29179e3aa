"""The parts of the benchmark, each run in a process of its own, which takes its memory and its threads with it."""

from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context

from tests.benchmarks.report import Row

# part: module, function, events when not told
PARTS: Mapping[str, tuple[str, str, int]] = {
    "assess": ("assessing", "assess", 300_000),
    "offboarding": ("assessing", "assess_offboarding", 210_000),
}


def measure(part: str, events: int | None) -> list[Row]:
    """The rows of a part."""
    module, function, default = PARTS[part]
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(_measured, module, function, events or default).result()


def _measured(module: str, function: str, events: int) -> list[Row]:
    found: Callable[[int], list[Row]] = getattr(import_module(f"tests.benchmarks.{module}"), function)
    return found(events)
