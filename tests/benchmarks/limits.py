"""Limits of the parts of assess, each measured alone: Redis, ONNX, decoding, Beam."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from redis import Redis

from export import bundle as bundles
from export.onnx import Scorer
from features.events import known_codec
from features.record import SEQ, seq_bytes
from features.replay import replay
from features.usecase import load
from pipeline.job.beam_options import beam_options
from pipeline.job.job import Job
from pipeline.job.source import FOREVER
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.store import record_keys
from tests.benchmarks import workloads
from tests.benchmarks.assessing import server
from tests.benchmarks.graph import cpu_of
from tests.benchmarks.report import Row
from tests.benchmarks.workloads import History
from tests.pipeline.servers import RedisCluster

EVENTS = 200_000  # 30 days
SECONDS = 3.0  # of each measurement
BATCH = Job.batch
KEYS = 4_000  # records in such a batch
FEW_KEYS = 1_000  # of off-boarding, in a batch of 2,000
SIZES_KB = (1, 10)  # of records: a customer with few events, and one with 1,000 in 30 days
BEAM_ELEMENTS = 1_000_000
BUNDLE_ELEMENTS = 10_000


def limits(events: int) -> list[Row]:
    """All of them, on the 16 features' own messages, records and vectors."""
    use_case = load(workloads.SIXTEEN)
    history = workloads.sixteen(use_case, workloads.payments(events))
    records: dict[str, dict[str, bytes]] = {}
    vectors = np.concatenate([replayed.vectors for replayed in replay(history.batches(), records)])
    found = records[use_case.subject]
    keys = record_keys("bench", use_case.name, use_case.fingerprint, use_case.subject, list(found))
    return [
        *on_one_node("limit_redis_cas", keys, list(found.values()), KEYS),
        onnx_row(history, vectors),
        decode_row(history),
        beam_row("limit_beam_elements_per_s", 1, "single elements"),
        beam_row("limit_beam_batched_events_per_s", BATCH, f"elements are lists of {BATCH:,} events"),
    ]


def redis(n: int) -> list[Row]:
    """Redis by the size of records: one node, and a cluster of three on this machine.

    In the cluster a command carries the keys of one slot, which is mostly one key.
    """
    keys = [b"bench:offboarding:0123456789abcdef:customer:%032d" % i for i in range(n)]
    rows: list[Row] = []
    for size in SIZES_KB:
        blobs = [bytes(1_000 * size)] * n
        rows += on_one_node(f"redis_{size}kb", keys, blobs, FEW_KEYS)
        rows += on_a_cluster(f"redis_cluster_{size}kb", keys, blobs, FEW_KEYS)
    return rows


def rate(work: Callable[[], int]) -> float:
    """Things done a second; the first time is not counted."""
    work()
    done, began_s = 0, time.perf_counter()
    while time.perf_counter() < began_s + SECONDS:
        done += work()
    return done / (time.perf_counter() - began_s)


def on_one_node(name: str, keys: list[bytes], blobs: list[bytes], at_once: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as node:
        return cas_rows(name, RedisStore(node.url), [node.client], keys, blobs, at_once)


def on_a_cluster(name: str, keys: list[bytes], blobs: list[bytes], at_once: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        nodes = RedisCluster(Path(folder) / "cluster")
        try:
            store = RedisStore(nodes.url, cluster=True)
            return cas_rows(name, store, [node.client for node in nodes.nodes], keys, blobs, at_once)
        finally:
            nodes.stop()


def cas_rows(
    name: str,
    store: RedisStore,
    servers: Sequence[Redis],
    keys: list[bytes],
    blobs: list[bytes],
    at_once: int,
) -> list[Row]:
    """Reads and writes of whole records; each has two versions, which replace one another."""
    rng = np.random.default_rng(3)
    versions = [[blob[: SEQ.start] + seq_bytes(v) + blob[SEQ.stop :] for blob in blobs] for v in (1, 2)]
    batches = cycle([rng.permutation(len(keys))[:at_once].tolist() for _ in range(20)])
    seqs, done = [0] * len(keys), 0
    began_s = (sum(map(cpu_of, servers)), time.process_time())

    def work() -> int:
        nonlocal done
        rows = next(batches)
        names, before = [keys[i] for i in rows], [seqs[i] for i in rows]
        store.read(names)
        for i in rows:
            seqs[i] = 2 if seqs[i] == 1 else 1
        written = store.commit(names, before, [versions[seqs[i] - 1][i] for i in rows])
        assert all(written)
        done += len(rows)
        return len(rows)

    found = rate(work)
    ended_s = (sum(map(cpu_of, servers)), time.process_time())
    cpu_us, client_us = (1e6 * (end - begin) / done for begin, end in zip(began_s, ended_s, strict=True))
    store.close()
    size = sum(map(len, blobs)) // len(blobs)
    setting = f"records of {size:,} bytes on average, in batches of {at_once:,}, {len(servers)} redis-server"
    return [
        Row(f"{name}_keys_per_s", found, "keys/s", setting),
        Row(f"{name}_cpu_us", cpu_us, "us/key", f"CPU of redis-server for a read and a write; {setting}"),
        Row(f"{name}_client_cpu_us", client_us, "us/key", f"CPU of the worker for it; {setting}"),
    ]


def onnx_row(history: History, vectors: np.ndarray) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        workloads.train(history[:100_000], folder)
        scorer = Scorer(bundles.load_in_use(folder, history.use_case.name).model)
    parts = cycle(np.array_split(vectors, len(vectors) // BATCH))
    found = rate(lambda: len(scorer.score(next(parts))))
    setting = f"{workloads.TREES} trees of {workloads.LEAVES} leaves, one thread, batches of {BATCH:,}"
    return Row("limit_onnx_rows_per_s", found, "rows/s", setting)


def decode_row(history: History) -> Row:
    decode = known_codec(history.use_case, "transaction").decoder.decode
    parts = cycle([history.bodies[i : i + BATCH] for i in range(0, 25 * BATCH, BATCH)])
    found = rate(lambda: len(list(map(decode, next(parts)))))
    size = sum(map(len, history.bodies)) // len(history)
    return Row(
        "limit_decode_events_per_s", found, "events/s", f"msgspec into the struct, bodies of {size} bytes"
    )


class Elements(beam.DoFn):
    """A source as the job's: unbounded, in bundles, with a finalizer. Ends after `n` events."""

    def __init__(self, n: int, size: int) -> None:
        self.n, self.size = n, size

    @beam.DoFn.unbounded_per_element()
    def process(
        self, _: object, finalizer: Any = beam.DoFn.BundleFinalizerParam, tracker: Any = FOREVER
    ) -> Iterator[object]:
        start, element = tracker.current_restriction().start, b"x" * 250
        finalizer.register(lambda: None)
        for position in range(start, start + max(1, BUNDLE_ELEMENTS // self.size)):
            if not tracker.try_claim(position if position < self.n // self.size else 2**62 - 1):
                return
            if position >= self.n // self.size:
                return
            yield element if self.size == 1 else [element] * self.size
        tracker.defer_remainder()


class Pass(beam.DoFn):
    """Nothing."""

    def process(self, element: object) -> Iterator[object]:
        yield element


def beam_row(name: str, size: int, shape: str) -> Row:
    n = BEAM_ELEMENTS if size > 1 else BEAM_ELEMENTS // 2
    pipeline = beam.Pipeline(runner=FnApiRunner(), options=beam_options([]))
    found = pipeline | beam.Impulse() | beam.ParDo(Elements(n, size))
    for step in ("Decode", "Assess", "Send"):
        found = found | step >> beam.ParDo(Pass())
    began_s = time.perf_counter()
    pipeline.run().wait_until_finish()
    spent_s = time.perf_counter() - began_s
    setting = f"FnApiRunner, splittable source and three steps that pass on, {shape}; with the start of the pipeline"
    return Row(name, n / spent_s, "elements/s" if size == 1 else "events/s", setting)
