"""Assess with 500,000 customers, of whom a batch holds nearly every one once, beside what Redis can do at most.

No record is shared by the events of a batch, so each event costs a read and a write. Records are those of
5,000 customers with 30 days of payments, each given to 100 customers: a record does not hold its customer's id.
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from redis import Redis

from features.record import SEQ, seq_bytes, seq_of
from features.replay import replay
from features.usecase import UseCase, load
from pipeline.job import worker
from pipeline.job.job import Job
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.store import record_keys
from tests.benchmarks import graph, workloads
from tests.benchmarks.assessing import WARM_EVENTS, assess_rows, server
from tests.benchmarks.graph import cpu_of
from tests.benchmarks.report import ASSESS_MANY, Row
from tests.benchmarks.workloads import DAY_US, EVENTS_A_DAY, START_US, History, Payments
from tests.pipeline.vital import begun

CUSTOMERS = 500_000
TRAINED_ON = 100_000
FIRST_BATCHES = 2  # not measured
LIMIT_BATCHES = 12
FILLED = 2_000  # records in one command


def many_customers(events: int) -> list[Row]:
    """The workload of 16 features."""
    use_case = load(workloads.SIXTEEN)
    first = FIRST_BATCHES * Job.batch
    history = everybody(use_case, first + events)
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as redis:
        job = Job.load(workloads.SIXTEEN, bundle=f"{folder}/bundles", redis_url=redis.url, project="bench")
        print(f"many: training, and filling {CUSTOMERS:,} records", flush=True)
        fill(redis.client, records_of_a_month(use_case, job.bundle), keys_of(use_case))
        begun(redis.url, use_case)
        job = job.with_paths()
        graph.run(job, history[:first].received(), redis.client)
        print(f"many: measuring {events:,} events", flush=True)
        measured = graph.run(job, history[first:].received(), redis.client)
        setting = f"16 features, {CUSTOMERS:,} customers, each of them once in {CUSTOMERS:,} events"
        rows = assess_rows(ASSESS_MANY, measured, history, setting)
        worker.close(job)
        return [*rows, *limit_rows(redis.url, redis.client, keys_of(use_case))]


def everybody(use_case: UseCase, n: int) -> History:
    """Payments after the first month, by all customers in turn, in a random order each time."""
    rng = np.random.default_rng(5)
    customer = np.concatenate([rng.permutation(CUSTOMERS) for _ in range(-(-n // CUSTOMERS))])[:n]
    spread_us = n * DAY_US // (EVENTS_A_DAY * CUSTOMERS // workloads.CUSTOMERS)
    time_us = START_US + 30 * DAY_US + np.sort(rng.integers(0, spread_us, n))
    number = WARM_EVENTS + np.arange(n)
    return workloads.sixteen(
        use_case, Payments(number, customer, time_us, np.round(rng.lognormal(3, 1, n), 2))
    )


def records_of_a_month(use_case: UseCase, bundles: str) -> list[bytes]:
    """Train a model in the folder of bundles, and return records of 30 days of payments."""
    history = workloads.sixteen(use_case, workloads.payments(WARM_EVENTS))
    workloads.train(history[:TRAINED_ON], bundles)
    records: dict[str, dict[str, bytes]] = {}
    for _ in replay(history.batches(), records):
        pass
    return list(records[use_case.subject].values())


def keys_of(use_case: UseCase) -> list[bytes]:
    """Return the key of each customer's record."""
    ids = [f"c-{i:06d}" for i in range(CUSTOMERS)]
    return record_keys(Job.prefix, use_case.name, use_case.fingerprint, use_case.subject, ids)


def fill(redis: Redis, records: Sequence[bytes], keys: Sequence[bytes]) -> None:
    """Write the records, over and over, under all keys."""
    for some in parts(range(len(keys)), FILLED):
        redis.mset({keys[i]: records[i % len(records)] for i in some})


def parts(rows: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def limit_rows(url: str, redis: Redis, keys: Sequence[bytes]) -> list[Row]:
    """Read and write the same records by the job's own commands, and do nothing else.

    One thread reads a batch while the other writes the one before it, with another seq; the new records are made
    before the clock runs. So Redis always has something to do.
    """
    store = RedisStore(url)
    order = np.random.default_rng(6).permutation(len(keys))[: LIMIT_BATCHES * Job.batch].tolist()
    batches = [[keys[i] for i in rows] for rows in parts(order, Job.batch)]
    records = [dict(zip(batch, filter(None, store.read(batch)), strict=True)) for batch in batches]
    before = [[seq_of(record) for record in batch.values()] for batch in records]
    after = [[following(record) for record in batch.values()] for batch in records]
    with ThreadPoolExecutor(1) as reader:
        began = time.perf_counter(), time.process_time(), cpu_of(redis)
        reading = reader.submit(store.read, batches[0])
        for i, batch in enumerate(batches):
            assert reading.result() == list(records[i].values())
            if i + 1 < len(batches):
                reading = reader.submit(store.read, batches[i + 1])
            assert all(store.commit(batch, before[i], after[i]))
        ended = time.perf_counter(), time.process_time(), cpu_of(redis)
    store.close()
    wall_s, client_s, redis_s = (end - begin for begin, end in zip(began, ended, strict=True))
    size = sum(map(len, after[0])) // len(after[0])
    setting = f"records of {size:,} bytes on average, batches of {Job.batch:,}, read and written side by side"
    return [
        Row("limit_redis_many_keys_per_s", len(order) / wall_s, "keys/s", setting),
        Row(
            "limit_redis_many_cpu_us", 1e6 * redis_s / len(order), "us/key", f"CPU of redis-server; {setting}"
        ),
        Row(
            "limit_redis_many_client_cpu_us",
            1e6 * client_s / len(order),
            "us/key",
            f"CPU of the worker; {setting}",
        ),
    ]


def following(record: bytes) -> bytes:
    """Return the record with the next seq."""
    return record[: SEQ.start] + seq_bytes(seq_of(record) + 1) + record[SEQ.stop :]
