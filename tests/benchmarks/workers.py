"""One and two worker processes on one subscription and one Redis: throughput, conflicts, processor time.

The off-boarding use case, the whole way from Pub/Sub to BigQuery. On a machine of two cores the servers, which
are processes of the same machine, take what a second worker would need: throughput of two says little there, the
processor time of an event and the conflicts say what more cores would give.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import psutil

from deploy.local import stack
from features.usecase import load
from pipeline.bigquery import tables
from pipeline.bigquery.client import query_client
from pipeline.pubsub.client import Publisher
from pipeline.pubsub.topics import Names, create
from pipeline.runtime import process_metrics
from tests.benchmarks import workloads
from tests.benchmarks.assessing import EVENTS_A_CUSTOMER, OFFBOARDING_DAYS
from tests.benchmarks.report import Row
from tests.benchmarks.whole_way import (
    DATASET,
    PROJECT,
    WARM_EVENTS,
    Place,
    Worked,
    forget_servers,
    job,
    publications,
    publish,
    use,
    worked_off,
)
from tests.benchmarks.workloads import History

COUNTS = (1, 2)
BATCH = 2_000  # at most: what a distributed runner hands over at once, rather than the job's own 16,000
MORE = 1.6  # customers are made for so many times the events: those of some are fewer
DONE = """
SELECT (SELECT COUNT(*) FROM {0}.assessments_unique) AS assessed,
  (SELECT COUNT(*) FROM {0}.dead_letters_unique) AS refused
"""


def workers(events: int) -> list[Row]:
    use_case = load(workloads.OFFBOARDING)
    customers = round(MORE * (WARM_EVENTS + events) / EVENTS_A_CUSTOMER)
    with tempfile.TemporaryDirectory() as folder:
        history = workloads.offboarding(use_case, customers, OFFBOARDING_DAYS, Path(folder))
        history = history[: WARM_EVENTS + events]
        workloads.train(history, f"{folder}/bundles")
        return [row for count in COUNTS for row in measured(count, history, f"{folder}/bundles")]


def measured(workers: int, history: History, bundles: str) -> list[Row]:
    """On a stack of its own, which nothing has used before."""
    forget_servers()
    with tempfile.TemporaryDirectory() as root, stack.running(Path(root) / "stack") as up:
        use(up)
        place = Place(
            Names(PROJECT, history.use_case.name), workloads.OFFBOARDING, bundles, Path(root) / "state"
        )
        create(place.names)
        tables.create(query_client(PROJECT), DATASET)
        publisher = Publisher()
        publish(publisher, place, publications(history))
        publisher.close()
        servers = [each.pid for each in up.services if each.pid]
        with job(place, "--workers", str(workers), "--batch", str(BATCH)) as pid:
            worked = worked_off(place, len(history), lambda: [cpu_s([pid]), cpu_s(servers)])
        said = process_metrics.read(place.state)
        assert said is not None
        return rows(workers, worked, said, refused(len(history)))


def cpu_s(pids: Iterable[int]) -> float:
    """Processor seconds that these processes and their children have had."""
    roots = [psutil.Process(pid) for pid in pids]
    times = [each.cpu_times() for root in roots for each in [root, *root.children(recursive=True)]]
    return sum(spent.user + spent.system for spent in times)


def refused(n: int) -> int:
    """Every event is a row or a dead letter, or what was measured is not the whole way; how many dead letters."""
    (row,) = query_client(PROJECT).query_and_wait(DONE.format(DATASET))
    assert row["assessed"] + row["refused"] == n, f"{n:,} events were published, in BigQuery are {dict(row)}"
    return int(row["refused"])


def rows(workers: int, worked: Worked, said: process_metrics.JobStatus, refused: int) -> list[Row]:
    of_workers_us, of_servers_us = (1e6 * spent / worked.events for spent in worked.cpu_s)
    setting = (
        f"off-boarding use case, worker processes: {workers}, one subscription, one Redis, batches of "
        f"{BATCH:,} at most, all servers on this machine; "
        f"{worked.events:,} events in {worked.seconds:.1f} s out of a backlog, {said.conflicts:,} conflicts, "
        f"{refused:,} too late; CPU {of_workers_us:.1f} us an event in the workers, {of_servers_us:.1f} in the servers"
    )
    name, per_s = f"workers_{workers}", worked.events / worked.seconds
    print(f"{name}: {per_s:,.0f}/s; {setting}", flush=True)
    return [
        Row(f"{name}_events_per_s", per_s, "events/s", setting),
        Row(f"{name}_cpu_us", of_workers_us, "us/event", "CPU of the worker processes"),
        Row(f"{name}_conflicts_per_event", said.conflicts / said.events, "events/event", "assessed again"),
    ]
