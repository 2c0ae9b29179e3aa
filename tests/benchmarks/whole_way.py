"""The whole way on one machine: Pub/Sub, the job as a process, Redis and BigQuery, all of them of the local stack.

First a backlog as fast as it goes, then a steady stream in which each alert is timed from the moment at which its
event was handed to Pub/Sub until the alert is there.
"""

import gc
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from deploy.local import stack
from deploy.local.pubsub.server import stats
from deploy.local.services import SERVICES
from features.usecase import load
from pipeline.bigquery import tables
from pipeline.bigquery.client import query_client
from pipeline.pubsub.client import Publication, Publisher, Subscription
from pipeline.pubsub.topics import Names, create
from tests.benchmarks import workloads
from tests.benchmarks.report import Row
from tests.benchmarks.workloads import History

PROJECT, DATASET = "bench", "riskstream"
PUBLISHED_AT_ONCE = 1_000
WARM_EVENTS = 20_000
RATE_PER_S = 1_000
SETTLE_S, STEADY_S = 5, 25  # the first seconds of the steady stream are not counted
TICK_S = 0.005
POLL_S = 0.02
PATIENCE_S = 300.0
MOST_WAITING_S = 10.0  # for the last alerts
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
    steady = RATE_PER_S * (SETTLE_S + STEADY_S)
    for service in SERVICES:  # the stack is to be our own
        for name in service.environment([0] * service.ports):
            os.environ.pop(name, None)
    with tempfile.TemporaryDirectory() as root, stack.running(Path(root) / "stack") as found:
        os.environ.update(found.environment)
        place, history = prepared(Path(root), WARM_EVENTS + events + steady)
        backlog, stream = history[: WARM_EVENTS + events], history[WARM_EVENTS + events :]
        print(f"pubsub: publishing a backlog of {len(backlog):,}", flush=True)
        publisher = Publisher()
        publish(publisher, place, publications(backlog))
        with job(place), following(place) as seen:
            print("pubsub: the job works it off", flush=True)
            rows = [throughput(len(backlog))]
            print(f"pubsub: {rows[0].value:,.0f}/s; now {RATE_PER_S:,}/s for {STEADY_S} s", flush=True)
            messages = publications(stream)
            gc.collect()
            gc.freeze()  # a million objects of this process: looking through them would stop its clock for a second
            sent = steadily(publisher, place, messages)
            rows += latency(sent, seen)
        check_rows(len(history))
        publisher.close()
    return rows


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


@contextmanager
def following(place: Place) -> Iterator[dict[str, int]]:
    """Return the arrival time (ns) of each event's alert, by event id."""
    seen: dict[str, int] = {}
    source = Subscription(place.names.reader(place.names.alerts))
    ended = threading.Event()

    def follow() -> None:
        while not ended.is_set():
            received = source.received(source.pulling())
            now_ns = time.time_ns()
            for one in received:
                seen.setdefault(msgspec.json.decode(one.message.data)["event_id"], now_ns)
            source.acknowledge([one.ack_id for one in received])

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()


def throughput(n: int) -> Row:
    worked = worked_off(n)
    setting = (
        f"embedded Pub/Sub server, `riskstream run` with one worker, redis-server with append-only file, bqemulator, "
        f"all on this machine; {worked.events:,} events in {worked.seconds:.1f} s out of a backlog"
    )
    return Row("pubsub_events_per_s", worked.events / worked.seconds, "events/s", setting)


class Worked(NamedTuple):
    """Time and CPU to work off a backlog, from the first acknowledgement after WARM_EVENTS to the last."""

    events: int
    seconds: float
    cpu_s: list[float]  # of whom one asked


def worked_off(n: int, cpu: Callable[[], list[float]] = list) -> Worked:
    """Waits until all n messages are acknowledged; `cpu` tells processor seconds so far."""
    began = None
    left, until_s = n, time.monotonic() + PATIENCE_S
    while left:
        assert time.monotonic() < until_s, f"{left:,} of {n:,} messages are left after {PATIENCE_S:g} s"
        time.sleep(POLL_S)
        if left != undelivered():
            left = undelivered()
            print(f"pubsub: {left:,} left", flush=True)
        if began is None and left <= n - WARM_EVENTS:
            began = (time.perf_counter(), left, cpu())
    assert began is not None
    spent_s = [end - begin for begin, end in zip(began[2], cpu(), strict=True)]
    return Worked(began[1], time.perf_counter() - began[0], spent_s)


def undelivered() -> int:
    figures = stats(os.environ["PUBSUB_EMULATOR_HOST"])
    return next(int(of["num_undelivered_messages"]) for name, of in figures.items() if "events" in name)


def steadily(publisher: Publisher, place: Place, messages: Sequence[Publication]) -> dict[str, int]:
    """Return the time (ns) of publishing by event id, without the events of the first seconds."""
    sent: dict[str, int] = {}
    began_s, at = time.perf_counter(), 0
    while at < len(messages):
        due = min(len(messages), round((time.perf_counter() - began_s) * RATE_PER_S))
        if due > at:
            now_ns, part = time.time_ns(), messages[at:due]
            publisher.publish(place.names.events, part)
            if at >= SETTLE_S * RATE_PER_S:
                sent.update((message.attributes["event_id"], now_ns) for message in part)
            at = due
        time.sleep(TICK_S)
    return sent


def latency(sent: dict[str, int], seen: dict[str, int]) -> list[Row]:
    """Return the latencies of all events that made an alert."""
    until_s, alerts = time.monotonic() + MOST_WAITING_S, -1
    while time.monotonic() < until_s and (undelivered() or alerts < len(seen)):
        alerts = len(seen)
        time.sleep(0.5)
    spent_ms = np.array([(seen[id] - at_ns) / 1e6 for id, at_ns in sent.items() if id in seen])
    assert len(spent_ms) >= 1_000, f"only {len(spent_ms)} alerts for {len(sent):,} events"
    setting = (
        f"publish to alert, {RATE_PER_S:,} events/s for {STEADY_S} s, {len(spent_ms):,} alerts; the same machine "
        f"publishes and receives; largest {spent_ms.max():.0f} ms"
    )
    return [Row(f"latency_p{p}_ms", float(np.percentile(spent_ms, p)), "ms", setting) for p in (50, 99)]


def check_rows(n: int) -> None:
    """Every event is a row, or what was measured is not the whole way."""
    query = f"SELECT COUNT(*) AS n, COUNT(DISTINCT event_id) AS d FROM {DATASET}.assessments"
    (row,) = query_client(PROJECT).query_and_wait(query)
    assert row["d"] == n, f"{n:,} events were published, {row['d']:,} are in BigQuery"
