"""A history in batch, on one core and on all: through the kernel alone, through `replay`, and with polars beside them.

Events are decoded before the clock runs and freed while it stands: polars starts from a table as well. It computes the
same 16 features of the same payments, with windows that are exact to the event.
"""

import os
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np

from features.events import Batch
from features.kernel import ONE_CORE, Cores, advance
from features.kernel.plan import Arrivals
from features.replay import replay
from features.usecase import UseCase, load
from tests.benchmarks import workloads
from tests.benchmarks.report import Row
from tests.benchmarks.workloads import History, Payments
from training.data.replaying import usable_cores

BATCH = 100_000  # what one call of the kernel gets; decoded events of more would only take memory
WINDOWS = ("1h", "24h", "7d", "30d")
MIX = np.uint64(0x9E3779B97F4A7C15)  # odd: no two numbers give the same key
STATISTICS = ("sum", "mean", "max")


def replaying(events: int) -> list[Row]:
    use_case, payments = load(workloads.SIXTEEN), workloads.payments(events)
    kernel(use_case, workloads.payments(20_000))  # compiled code is loaded
    spent_s, cpu_s = kernel(use_case, payments)
    size, number = f"{events:,} events of {workloads.CUSTOMERS:,} customers", usable_cores()
    whole = f"{size}; arrays to raw columns and packed records, one call on one core; CPU {cpu_s:.2f} s"
    rows = [Row("replay_kernel_events_per_s", events / spent_s, "events/s", whole)]
    history = workloads.sixteen(use_case, payments)
    rows.append(replay_row("replay_events_per_s", history, size, ONE_CORE))
    with ThreadPoolExecutor(number) as pool:
        rows.append(replay_row("replay_all_cores_events_per_s", history, size, Cores(number, pool.map)))
    for name, threads in (("polars_replay", 1), ("polars_replay_all_cores", number)):
        with ProcessPoolExecutor(1, get_context("spawn"), limit_polars, (threads,)) as process:
            rows.append(process.submit(polars_row, f"{name}_events_per_s", events, threads).result())
    return rows


def replay_row(name: str, history: History, size: str, cores: Cores) -> Row:
    stopwatch = Stopwatch(history)
    vectors = sum(len(replayed.vectors) for replayed in replay(stopwatch.batches(), cores=cores))
    assert vectors == len(history)
    setting = (
        f"{size}; replay() from batches of {BATCH:,} to vectors on {cores.number} of {usable_cores()} cores, "
        f"decoding not included; CPU {stopwatch.cpu_s:.2f} s"
    )
    return Row(name, len(history) / stopwatch.spent_s, "events/s", setting)


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
    """Hands out batches; runs only while somebody works on one, and frees them while it stands."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.spent_s = self.cpu_s = 0.0

    def batches(self) -> Iterator[Batch]:
        kept = deque[Batch](maxlen=2)
        for batch in self.history.batches(BATCH):
            kept.append(batch)
            began_s, cpu_s = time.perf_counter(), time.process_time()
            yield batch
            self.spent_s += time.perf_counter() - began_s
            self.cpu_s += time.process_time() - cpu_s


def limit_polars(threads: int) -> None:
    """Set how many threads polars starts; it is not loaded yet."""
    os.environ["POLARS_MAX_THREADS"] = str(threads)


def polars_row(name: str, events: int, threads: int) -> Row:
    """Measure the better of polars' two ways."""
    import polars as pl

    assert pl.thread_pool_size() == threads
    payments = workloads.payments(events)
    table = pl.DataFrame(
        {"customer": payments.customer, "time": payments.time_us.astype("M8[us]"), "amount": payments.amount}
    ).with_columns(one=pl.lit(1.0))
    for way in (_grouped, _over):
        way(table[:20_000])  # polars has started its threads
    spent_s, cpu_s, way_name = min(timed(table) for timed in (_grouped, _over))
    setting = f"{events:,} events, polars {pl.__version__}, threads: {threads}, {way_name}; CPU {cpu_s:.2f} s"
    return Row(name, events / spent_s, "events/s", setting)


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
