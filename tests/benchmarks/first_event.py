"""Seconds from the start of a worker process to its first committed assessment, with warm and with cold caches.

Each run is a process by itself, which takes one message through the whole Beam graph. `python -m
tests.benchmarks.first_event URL BUNDLES MESSAGE` is that process.
"""

import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec
from redis import Redis

from pipeline.job import worker
from pipeline.job.job import Job
from pipeline.pubsub.client import Received
from tests.benchmarks import graph
from tests.benchmarks.report import Row
from tests.pipeline.servers import RedisServer
from tests.pipeline.vital import begun

USE_CASE = Path(__file__).parent / "sixteen.yaml"
TRAINED_ON = 100_000
WARM_RUNS = 5
COLD_RUNS = 1  # compiling takes about a minute


class Start(msgspec.Struct):
    """Moments of a process, in seconds since 1970."""

    imported_s: float
    loaded_s: float  # model in an ONNX session and tried
    scored_s: float  # kernel loaded, the first assessment committed, the pipeline ended


def first_event(_events: int) -> list[Row]:
    """The workload of 16 features."""
    from features.usecase import load  # a worker's imports are part of what is measured
    from tests.benchmarks import workloads

    use_case = load(USE_CASE)
    history = workloads.sixteen(use_case, workloads.payments(TRAINED_ON + 1 + WARM_RUNS + COLD_RUNS))
    with tempfile.TemporaryDirectory() as folder:
        bundles = f"{folder}/bundles"
        workloads.train(history[:TRAINED_ON], bundles)
        redis = RedisServer(Path(folder) / "redis")
        try:
            begun(redis.url, use_case)
            messages = history[TRAINED_ON:].received()
            run(redis.url, bundles, messages[0])  # caches are filled
            warm = [run(redis.url, bundles, message) for message in messages[1 : 1 + WARM_RUNS]]
            cold = [run(redis.url, bundles, message, f"{folder}/numba") for message in messages[-COLD_RUNS:]]
        finally:
            redis.stop()
    return [
        *rows("first_event_warm", warm, "compiled code cached"),
        *rows("first_event_cold", cold, "nothing cached"),
    ]


def run(url: str, bundles: str, message: Received, numba_cache: str = "") -> tuple[float, float, float]:
    """Start a process for one message; return seconds to import, to load and to assess."""
    environment = os.environ | ({"NUMBA_CACHE_DIR": numba_cache} if numba_cache else {})
    with tempfile.NamedTemporaryFile() as file:
        file.write(pickle.dumps(message))
        file.flush()
        command = [sys.executable, "-m", "tests.benchmarks.first_event", url, bundles, file.name]
        began_s = time.time()
        out = subprocess.run(command, env=environment, check=True, capture_output=True).stdout
    start = msgspec.json.decode(out.splitlines()[-1], type=Start)
    return start.imported_s - began_s, start.loaded_s - start.imported_s, start.scored_s - start.loaded_s


def rows(name: str, runs: Sequence[tuple[float, float, float]], cached: str) -> list[Row]:
    """Return the medians of the runs."""
    imports_s, load_s, assess_s = (median(stage) for stage in zip(*runs, strict=True))
    setting = f"median of {len(runs)}, {cached}, 16 features"
    return [
        Row(f"{name}_s", median(map(sum, runs)), "s", f"start of the process to its first commit; {setting}"),
        Row(f"{name}_stage_imports_s", imports_s, "s", f"Python and its modules; {setting}"),
        Row(
            f"{name}_stage_load_s",
            load_s,
            "s",
            f"bundle loaded into an ONNX session and tried; {setting}",
        ),
        Row(
            f"{name}_stage_assess_s", assess_s, "s", f"the pipeline, compiled code and first event; {setting}"
        ),
    ]


def main() -> None:
    """Take one message from a file through the graph and print the moments."""
    url, bundles, file = sys.argv[1:]
    imported_s = time.time()
    job = Job.load(USE_CASE, bundle=bundles, redis_url=url, project="bench").with_paths()
    assert worker.of(job).model.current()
    loaded_s = time.time()
    graph.run(job, [pickle.loads(Path(file).read_bytes())], Redis.from_url(url))
    print(msgspec.json.encode(Start(imported_s, loaded_s, time.time())).decode())
    worker.close(job)


if __name__ == "__main__":
    main()
