"""Events a second through the whole Beam graph in one worker process, with a real redis-server beside it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.usecase import load
from pipeline.job import worker
from pipeline.job.job import Job
from tests.benchmarks import graph, workloads
from tests.benchmarks.graph import Measured
from tests.benchmarks.report import Row
from tests.benchmarks.workloads import History
from tests.pipeline.servers import RedisServer
from tests.pipeline.vital import begun

WARM_EVENTS = 200_000  # 30 days: the longest window is full from the first measured event on
STAGE_SETTING = "wall time; decode, encode and serialize go on beside the others"
OFFBOARDING_DAYS = 90
EVENTS_A_CUSTOMER = 81  # of generated transactions in that time


def assess(events: int) -> list[Row]:
    """The workload of 16 features; and once more with customers as unequal as Zipf's law has them."""
    use_case = load(workloads.SIXTEEN)
    rows = []
    for name, head in (("assess_events_per_s", workloads.HEAD), ("assess_zipf_events_per_s", 0)):
        history = workloads.sixteen(use_case, workloads.payments(WARM_EVENTS + events, head))
        setting = f"16 features, {workloads.CUSTOMERS:,} customers, shares 1 / (rank + {head})"
        rows += measured(name, history, WARM_EVENTS, workloads.SIXTEEN, setting)
    return rows


def assess_offboarding(events: int) -> list[Row]:
    """The off-boarding use case on generated customers."""
    use_case = load(workloads.OFFBOARDING)
    customers = round(1.6 * events / EVENTS_A_CUSTOMER)
    with tempfile.TemporaryDirectory() as folder:
        history = workloads.offboarding(use_case, customers, OFFBOARDING_DAYS, Path(folder))
    setting = f"{len(use_case.features)} features, {customers:,} generated customers"
    warm = max(len(history) - events, len(history) // 3)
    return measured("assess_offboarding_events_per_s", history, warm, workloads.OFFBOARDING, setting)


def measured(name: str, history: History, warm: int, use_case: Path, setting: str) -> list[Row]:
    """All events are unique; the first `warm` only bring the records into the state in which they stay."""
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as redis:
        print(f"{name}: training on {min(warm, 100_000):,} events", flush=True)
        root = f"{folder}/bundles"
        workloads.train(history[: min(warm, 100_000)], root)
        job = Job.load(use_case, bundle=root, redis_url=redis.url, project="bench").with_paths()
        begun(redis.url, job.use_case)
        print(f"{name}: warming with {warm:,} events", flush=True)
        graph.run(job, history[:warm].received(), redis.client)
        print(f"{name}: measuring {len(history) - warm:,} events", flush=True)
        found = graph.run(job, history[warm:].received(), redis.client)
        told = f"{setting}; {found.events:,} events in {found.wall_s:.1f} s after {warm:,} for warming"
        rows = assess_rows(name, found, history, f"{told}, {redis.client.dbsize():,} records")
        worker.close(job)
    return rows


def assess_rows(name: str, found: Measured, history: History, setting: str) -> list[Row]:
    """Return the rows of a run over events of this history."""
    told = (
        f"{setting}, batches of {Job.batch:,}, {workloads.TREES} trees of {workloads.LEAVES} leaves, "
        f"{found.alerts:,} alerts, {found.row_bytes // found.events} bytes a row; {found.told()}"
    )
    print(f"{name}: {found.per_s:,.0f}/s; {found.told()}", flush=True)
    stem = name.removesuffix("_events_per_s")
    stages = [(stage, 1e6 * spent / found.events) for stage, spent in found.stages_s.items()]
    return [
        Row(name, found.per_s, "events/s", told),
        Row(f"{stem}_cpu_us", 1e6 * found.cpu_s / found.events, "us/event", "CPU of the worker process"),
        Row(
            f"{stem}_redis_cpu_us", 1e6 * found.redis_cpu_s / found.events, "us/event", "CPU of redis-server"
        ),
        Row(f"{stem}_message_bytes", message_bytes(history), "bytes", "of a message, attributes included"),
        Row(f"{stem}_row_bytes", found.row_bytes / found.events, "bytes", "of a row as sent to BigQuery"),
        Row(f"{stem}_alerts_per_event", found.alerts / found.events, "alerts/event", "changes of level"),
        *(Row(f"{stem}_stage_{stage}_us", spent, "us/event", STAGE_SETTING) for stage, spent in stages),
    ]


def message_bytes(history: History) -> float:
    """Return the mean bytes of bodies, and of attributes with their names."""
    attributes = sum(len(name) + len(value) for said in history.attributes() for name, value in said.items())
    return (sum(map(len, history.bodies)) + attributes) / len(history)


@contextmanager
def server(folder: Path) -> Iterator[RedisServer]:
    """A redis-server of its own, nothing written to disk."""
    found = RedisServer(folder / "redis")
    try:
        yield found
    finally:
        found.stop()
