"""A history in a file into a real redis-server: read, sorted on disk, assessed, written. And the memory that takes."""

import resource
import tempfile
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

from export import bundle as bundles
from features.usecase import load
from pipeline.batch.backfill import BATCH, backfill
from pipeline.engine.engine import Engine
from pipeline.files.history import history
from pipeline.stores.readiness import Readiness
from pipeline.stores.redis_store import RedisStore
from tests.benchmarks import workloads
from tests.benchmarks.assessing import server
from tests.benchmarks.report import Row

TRAINED_ON = 100_000
FEW = 2_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOW_US = int(NOW.timestamp()) * 1_000_000


def filling(events: int) -> list[Row]:
    """The workload of 16 features from JSON lines; models and compiled code are loaded before the clock runs."""
    use_case = load(workloads.SIXTEEN)
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as redis:
        file, root = Path(folder) / "events.jsonl", f"{folder}/bundles"
        with ProcessPoolExecutor(1, get_context("spawn")) as process:  # it takes its memory with it
            process.submit(make, events, file, root).result()
        store = RedisStore(redis.url)
        engine, readiness = (
            Engine.from_bundle(use_case, bundles.load_in_use(root, use_case.name), store),
            Readiness(store, "bench", use_case.name),
        )
        with history(use_case, [file.with_name("few.jsonl")], NOW_US) as few:  # compiled code is loaded
            backfill(
                Engine.from_bundle(use_case, bundles.load_in_use(root, use_case.name), store, "warming"),
                few,
                readiness,
                NOW,
            )
        before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = datetime.now(UTC)
        with history(use_case, [file], NOW_US) as found:
            read_s = (datetime.now(UTC) - began).total_seconds()
            done = backfill(engine, found, readiness, NOW)
        more_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / 1_024
        store.close()
    assert done.applied == events
    setting = (
        f"16 features, {workloads.CUSTOMERS:,} customers, {events:,} events in JSON lines; {read_s:.1f} s to read "
        f"and sort, {done.seconds:.1f} s to assess and write in batches of {BATCH:,}; peak memory grew by "
        f"{more_mb:,.0f} MB"
    )
    return [Row("backfill_events_per_s", events / (read_s + done.seconds), "events/s", setting)]


def make(events: int, file: Path, root: str) -> None:
    """The files, and the model."""
    made = workloads.sixteen(load(workloads.SIXTEEN), workloads.payments(events))
    workloads.train(made[:TRAINED_ON], root)
    file.write_bytes(b"\n".join(made.bodies) + b"\n")
    file.with_name("few.jsonl").write_bytes(b"\n".join(made.bodies[:FEW]) + b"\n")
