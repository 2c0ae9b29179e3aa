"""Memory of a customer in Redis, key included, by the number of events within 30 days."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
from redis import Redis

from features.usecase import load
from pipeline.job import worker
from pipeline.job.job import Job
from tests.benchmarks import graph, workloads
from tests.benchmarks.assessing import server
from tests.benchmarks.report import Row
from tests.benchmarks.workloads import DAY_US, START_US, History, Payments
from tests.pipeline.vital import begun

COUNTS = (10, 40, 100, 1_000)  # events a customer
MOST_EVENTS = 100_000
CUSTOMERS = 200
DAYS = 30


def memory(_events: int) -> list[Row]:
    use_case = load(workloads.SIXTEEN)
    histories = {count: workloads.sixteen(use_case, _even_payments(count)) for count in COUNTS}
    return list(_rows("redis_bytes_per_customer", workloads.SIXTEEN, histories))


def memory_offboarding(_events: int) -> list[Row]:
    """Generated transactions, given to customers of whom each gets the same number."""
    use_case = load(workloads.OFFBOARDING)
    with tempfile.TemporaryDirectory() as folder:
        source = workloads.offboarding(use_case, 1_500, 90, Path(folder))
    histories = {count: _dealt_out(source, count) for count in COUNTS}
    return list(_rows("redis_bytes_per_customer_offboarding", workloads.OFFBOARDING, histories))


def _even_payments(count: int) -> Payments:
    n = min(CUSTOMERS * count, MOST_EVENTS)
    rng = np.random.default_rng(count)
    time_us = START_US + np.sort(rng.integers(0, DAYS * DAY_US, n))
    customer = rng.permutation(np.arange(n) % (n // count))
    return Payments(np.arange(n), customer, time_us, np.round(rng.lognormal(3, 1, n), 2))


def _dealt_out(source: History, count: int) -> History:
    """A profile for each customer, then transactions of anybody, with times of their own within 30 days."""
    profiles = [body for body, kind in zip(source.bodies, source.types, strict=True) if kind == "customer"]
    moves = [body for body, kind in zip(source.bodies, source.types, strict=True) if kind == "transaction"]
    n = min(CUSTOMERS * count, MOST_EVENTS)
    names = [f"{i:08x}-0000-4000-8000-000000000000" for i in range(n // count)]
    rng = np.random.default_rng(count)
    time_us = START_US + np.sort(rng.integers(0, DAYS * DAY_US, n))
    owners = [names[i] for i in rng.permutation(np.arange(n) % len(names)).tolist()]
    users = [_changed(body, user_id=name) for body, name in zip(profiles, names, strict=False)]
    chosen = [moves[i] for i in rng.integers(0, len(moves), n).tolist()]
    rows = list(_moved(chosen, owners, time_us))
    return History(
        source.use_case,
        ["customer"] * len(users) + ["transaction"] * n,
        [str(i) for i in range(len(users) + n)],
        users + rows,
        np.concatenate([np.full(len(users), START_US), time_us]),
    )


def _moved(bodies: Sequence[bytes], owners: Sequence[str], time_us: np.ndarray) -> Iterator[bytes]:
    texts = np.datetime_as_string(time_us.astype("M8[us]")).tolist()
    for i, (body, owner, text) in enumerate(zip(bodies, owners, texts, strict=True)):
        at = f"{text.replace('T', ' ')} UTC"
        yield _changed(
            body, user_id=owner, id=f"{i:08x}-0000-4000-8000-000000000000", created_at=at, completed_at=at
        )


def _changed(body: bytes, **fields: str) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(body) | fields)


def _rows(name: str, use_case: Path, histories: dict[int, History]) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as redis:
        workloads.train(histories[COUNTS[-1]], f"{folder}/bundles")
        for count, history in histories.items():
            job = Job.load(
                use_case, bundle=f"{folder}/bundles", redis_url=redis.url, project="bench"
            ).with_paths()
            redis.client.flushall()
            begun(redis.url, job.use_case)
            used_before = redis.client.info("memory")["used_memory"]
            graph.run(job, history.received(), redis.client)
            used = redis.client.info("memory")["used_memory"] - used_before
            sizes, lengths = _sizes(redis.client)
            setting = (
                f"{count:,} events in {DAYS} days, mean of {len(sizes)} customers, MEMORY USAGE; the record alone "
                f"{np.mean(lengths):,.0f}, used_memory {used / len(sizes):,.0f}"
            )
            print(f"{name}_{count}: {np.mean(sizes):,.0f}", flush=True)
            yield Row(f"{name}_{count}", float(np.mean(sizes)), "bytes", setting)
        worker.close(job)


def _sizes(client: Redis) -> tuple[list[int], list[int]]:
    keys = client.keys("*")
    return [int(client.memory_usage(key) or 0) for key in keys], [client.strlen(key) for key in keys]
