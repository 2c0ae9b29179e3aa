"""A history in batch, on one core: through the kernel alone, through `replay`, and with polars for comparison.

Events are decoded before the clock runs: polars starts from a table as well.
"""

import os
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from features.events import Batch
from features.kernel import advance
from features.kernel.plan import Arrivals
from features.replay import replay
from features.usecase import UseCase, load
from tests.benchmarks import workloads
from tests.benchmarks.report import Row
from tests.benchmarks.workloads import History, Payments

BATCH = 100_000  # what one call of the kernel gets; decoded events of more would only take memory
WINDOWS = ("1h", "24h", "7d", "30d")
MIX = np.uint64(0x9E3779B97F4A7C15)  # odd: no two numbers give the same key
STATISTICS = ("sum", "mean", "max")


def replaying(events: int) -> list[Row]:
    use_case, found = load(workloads.SIXTEEN), workloads.payments(events)
    kernel(use_case, workloads.payments(20_000))  # compiled code is loaded
    spent_s, cpu_s = kernel(use_case, found)
    told = f"{events:,} events of {workloads.CUSTOMERS:,} customers"
    whole = f"{told}; arrays to raw columns and packed records, one call; CPU {cpu_s:.2f} s"
    rows = [Row("replay_kernel_events_per_s", events / spent_s, "events/s", whole)]
    stopwatch = Stopwatch(workloads.sixteen(use_case, found))
    for replayed in replay(stopwatch.batches()):
        stopwatch.vectors += len(replayed.vectors)
    assert stopwatch.vectors == events
    batched = (
        f"{told}; replay() from batches of {BATCH:,} to vectors, decoding not included; "
        f"CPU {stopwatch.cpu_s:.2f} s"
    )
    rows.append(Row("replay_events_per_s", events / stopwatch.spent_s, "events/s", batched))
    return [*rows, polars_row(found)]


def kernel(use_case: UseCase, found: Payments) -> tuple[float, float]:
    """Seconds by the clock, and of CPU."""
    plan, arrivals = use_case.plans[use_case.subject], arrivals_of(found)
    began_s, cpu_s = time.perf_counter(), time.process_time()
    advance(plan, [None] * len(arrivals.ids), arrivals).blobs()
    return time.perf_counter() - began_s, time.process_time() - cpu_s


def arrivals_of(found: Payments) -> Arrivals:
    """Return the arrivals of payments in the use case with 16 features."""
    n = len(found)
    ids, record = np.unique(found.customer, return_inverse=True)
    return Arrivals(
        record=record.astype(np.int32),
        key=found.number.astype(np.uint64) * MIX,
        time_us=found.time_us,
        lanes=np.ones(n, np.uint64),
        values=found.amount[:, None],
        slots=np.zeros((n, 0), np.uint8),
        scored=np.ones(n, np.bool_),
        source=np.full(n, -1, np.int8),
        attribute_row=np.full(n, -1, np.int32),
        attributes=np.zeros((0, 0)),
        attribute_source=np.zeros(0, np.int8),
        ids=tuple(map(str, ids.tolist())),
    )


class Stopwatch:
    """Hands out batches; runs only while somebody works on one."""

    def __init__(self, history: History) -> None:
        self.history, self.vectors = history, 0
        self.spent_s = self.cpu_s = 0.0

    def batches(self) -> Iterator[Batch]:
        for batch in self.history.batches(BATCH):
            began_s, cpu_s = time.perf_counter(), time.process_time()
            yield batch
            self.spent_s += time.perf_counter() - began_s
            self.cpu_s += time.process_time() - cpu_s


def polars_row(found: Payments) -> Row:
    """The better of polars' two ways; windows are exact to the event there."""
    os.environ["POLARS_MAX_THREADS"] = "1"
    import polars as pl

    table = pl.DataFrame(
        {"customer": found.customer, "time": found.time_us.astype("M8[us]"), "amount": found.amount}
    ).with_columns(one=pl.lit(1.0))
    spent_s, cpu_s, way = min(timed(table) for timed in (_grouped, _over))
    setting = f"{len(found):,} events, polars {pl.__version__}, one thread, {way}; CPU {cpu_s:.2f} s"
    return Row("polars_replay_events_per_s", len(found) / spent_s, "events/s", setting)


def _grouped(table: Any) -> tuple[float, float, str]:
    import polars as pl

    began_s, cpu_s, amount = time.perf_counter(), time.process_time(), pl.col("amount")
    ordered = table.sort("customer", "time")
    wanted = [pl.len(), *(getattr(amount, name)().alias(name) for name in STATISTICS)]
    frames = [ordered.rolling("time", period=w, group_by="customer").agg(wanted) for w in WINDOWS]
    assert all(len(frame) == len(table) for frame in frames)
    return time.perf_counter() - began_s, time.process_time() - cpu_s, "rolling, a frame for each window"


def _over(table: Any) -> tuple[float, float, str]:
    import polars as pl

    wanted = [("one", "sum"), *(("amount", name) for name in STATISTICS)]
    columns = [
        getattr(pl.col(column), f"rolling_{name}_by")("time", window_size=window)
        .over("customer")
        .alias(f"{column}_{name}_{window}")
        for column, name in wanted
        for window in WINDOWS
    ]
    began_s, cpu_s = time.perf_counter(), time.process_time()
    assert len(table.select(columns)) == len(table)
    return time.perf_counter() - began_s, time.process_time() - cpu_s, "rolling_*_by().over()"
