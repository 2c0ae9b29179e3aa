"""The whole way on one machine: Pub/Sub, the job as a process, Redis and BigQuery, all of them of the local stack.

A backlog is worked off as fast as it goes. The clock is the job's count of events, with the time at which it counted
them: acknowledgements come later, once the rows are stored. How long an alert takes is measured in `latency`.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from deploy.local import stack
from deploy.local.pubsub.server import stats
from deploy.local.services import SERVICES
from features.usecase import load
from pipeline.bigquery import tables
from pipeline.bigquery.client import query_client
from pipeline.pubsub.client import Publication, Publisher
from pipeline.pubsub.topics import Names, create
from pipeline.runtime import process_metrics
from pipeline.runtime.process_metrics import LastBatch
from tests.benchmarks import workloads
from tests.benchmarks.report import Row
from tests.benchmarks.workloads import History

PROJECT, DATASET = "bench", "riskstream"
PUBLISHED_AT_ONCE = 1_000
WARM_EVENTS = 20_000
POLL_S = 0.02
PATIENCE_S = 300.0
# Levels that are left as easily as they are entered, so that there are many alerts.
POLICY = (
    "policy: {high: 0.6, medium: 0.3, exit_ratio: 1.0, cooldown: 1s, "
    "recommend: {in_a_row: 1000, min_events: 1000}}"
)


class Place(NamedTuple):
    """Addresses of all parts."""

    names: Names
    use_case: Path
    bundle: str
    state: Path

    @property
    def reader(self) -> str:
        return self.names.reader(self.names.events)


def whole_way(events: int) -> list[Row]:
    forget_servers()
    with tempfile.TemporaryDirectory() as root, stack.running(Path(root) / "stack") as up:
        use(up)
        place, backlog = prepared(Path(root), WARM_EVENTS + events)
        print(f"pubsub: publishing a backlog of {len(backlog):,}", flush=True)
        publisher = Publisher()
        publish(publisher, place, publications(backlog))
        publisher.close()
        with job(place):
            print("pubsub: the job works it off", flush=True)
            rows = throughput(place, len(backlog))
        check_rows(len(backlog))
    return rows


def forget_servers() -> None:
    """Drop the addresses of servers from the environment: a stack that starts then runs all of them."""
    for service in SERVICES:
        for name in service.environment([0] * service.ports):
            os.environ.pop(name, None)


def use(up: stack.Stack) -> None:
    """Use the servers of a stack in this process and in those that it starts."""
    os.environ.update(up.environment)


def prepared(root: Path, n: int) -> tuple[Place, History]:
    """A bundle, topics, tables; and n events."""
    lines = workloads.SIXTEEN.read_text().splitlines()
    file = root / "sixteen.yaml"
    file.write_text("\n".join(POLICY if line.startswith("policy:") else line for line in lines) + "\n")
    use_case = load(file)
    history = workloads.sixteen(use_case, workloads.payments(n))
    workloads.train(history[:60_000], str(root / "bundles"), medium=0.5, high=0.75)
    names = Names(PROJECT, use_case.name)
    create(names)
    tables.create(query_client(PROJECT), DATASET)
    return Place(names, file, str(root / "bundles"), root / "state"), history


def publications(history: History) -> list[Publication]:
    return [Publication(*row) for row in zip(history.bodies, history.attributes(), strict=True)]


def publish(publisher: Publisher, place: Place, messages: Sequence[Publication]) -> None:
    for first in range(0, len(messages), PUBLISHED_AT_ONCE):
        publisher.publish(place.names.events, messages[first : first + PUBLISHED_AT_ONCE])


@contextmanager
def job(place: Place, *flags: str) -> Iterator[int]:
    """`riskstream run` as a process of its own; its id."""
    command = [
        sys.executable,
        "-m",
        "riskstream",
        "run",
        "--allow-empty-store",
        "--project",
        PROJECT,
        "--dataset",
        DATASET,
    ]
    command += ["--use-case", str(place.use_case), "--bundle", place.bundle, "--state", str(place.state)]
    with subprocess.Popen([*command, *flags]) as process:
        try:
            yield process.pid
            assert process.poll() is None, f"the job has ended with {process.returncode}"
        finally:
            process.send_signal(signal.SIGTERM)


def throughput(place: Place, n: int) -> list[Row]:
    worked = worked_off(place, n)
    setting = (
        f"embedded Pub/Sub server, `riskstream run` with one worker, redis-server with append-only file, bqemulator, "
        f"all on this machine; {worked.events:,} events in {worked.seconds:.1f} s out of a backlog, the last of them "
        f"acknowledged {worked.acknowledged_s:.1f} s later"
    )
    print(f"pubsub: {worked.events / worked.seconds:,.0f}/s; {setting}", flush=True)
    return [Row("pubsub_events_per_s", worked.events / worked.seconds, "events/s", setting)]


class Worked(NamedTuple):
    """Events that the job assessed after the first WARM_EVENTS, the seconds that took, and processor time."""

    events: int
    seconds: float
    acknowledged_s: float  # from the last of them until all n messages were acknowledged
    cpu_s: list[float]  # of the processes that `cpu` measures, until the acknowledgement


def worked_off(place: Place, n: int, cpu: Callable[[], list[float]] = list) -> Worked:
    """Wait until all n messages are assessed and acknowledged; `cpu` returns processor seconds so far."""
    began, cpu_began_s = counted(place, min(n, WARM_EVENTS)), cpu()
    ended = counted(place, n)
    until_s = time.monotonic() + PATIENCE_S
    while left := undelivered():
        assert time.monotonic() < until_s, f"{left:,} of {n:,} messages are left after {PATIENCE_S:g} s"
        time.sleep(POLL_S)
    spent_s = [end - begin for begin, end in zip(cpu_began_s, cpu(), strict=True)]
    acknowledged_s = max(0.0, time.time() - ended.at_s)
    return Worked(ended.events - began.events, ended.at_s - began.at_s, acknowledged_s, spent_s)


class Counted(NamedTuple):
    """Number of events that the job had counted, and the time of the last of them (seconds since 1970)."""

    events: int
    at_s: float


def counted(place: Place, least: int) -> Counted:
    """Wait until the job has counted so many events."""
    until_s, events = time.monotonic() + PATIENCE_S, -1
    while events < least:
        assert time.monotonic() < until_s, (
            f"{events:,} of {least:,} events are counted after {PATIENCE_S:g} s"
        )
        time.sleep(POLL_S)
        status = process_metrics.read(place.state)
        if status is not None and status.last_batch is not None:
            events, last = status.events, status.last_batch
    return Counted(events, at_s(last))


def at_s(batch: LastBatch) -> float:
    return datetime.fromisoformat(batch.at).timestamp()


def undelivered() -> int:
    figures = stats(os.environ["PUBSUB_EMULATOR_HOST"])
    return next(int(of["num_undelivered_messages"]) for name, of in figures.items() if "events" in name)


def check_rows(n: int, dataset: str = DATASET) -> None:
    """Every event is a row, or what was measured is not the whole way."""
    query = f"SELECT COUNT(*) AS n, COUNT(DISTINCT event_id) AS d FROM {dataset}.assessments"
    (row,) = query_client(PROJECT).query_and_wait(query)
    assert row["d"] == n, f"{n:,} events were published, {row['d']:,} are in BigQuery"
