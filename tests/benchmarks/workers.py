"""One, two and four worker processes on one subscription and one Redis: throughput, attempts, processor time.

The whole way from Pub/Sub to BigQuery: the off-boarding use case, which keeps customers only, and payments of which the
busiest merchant takes a tenth, with owners of the merchants' records and without. On a machine of two cores the
servers, which are processes of the same machine, take what more workers would need: throughput of several says little
there, the processor time of an event and the attempts say what more cores would give.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

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
from tests.benchmarks.simulation.payments import MERCHANTS_FILE, merchant_payments
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

COUNTS = (1, 2, 4)
BATCH = 2_000  # at most: what a distributed runner hands over at once, rather than the job's own 16,000
TRAINED_ON = 60_000
MORE = 1.6  # customers are made for so many times the events: those of some are fewer
DONE = """
SELECT (SELECT COUNT(*) FROM {0}.assessments_unique) AS assessed,
  (SELECT COUNT(*) FROM {0}.dead_letters_unique) AS refused
"""


class Workload(NamedTuple):
    """Events and a model of one use case, and flags of the job."""

    name: str  # of its rows
    title: str
    use_case: Path
    history: History
    bundles: str
    flags: tuple[str, ...] = ()


def workers(events: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as root:
        customers = offboarding(events, Path(root) / "offboarding")
        merchants = with_merchants(events, Path(root) / "merchants")
        direct = merchants._replace(name="workers_merchants_direct", flags=("--no-owners",))
        cases = [(each, count) for each in (customers, direct, merchants) for count in COUNTS]
        return [row for workload, count in cases for row in measured(count, workload)]


def offboarding(events: int, folder: Path) -> Workload:
    """Generated customers of the off-boarding use case."""
    use_case = load(workloads.OFFBOARDING)
    customers = round(MORE * (WARM_EVENTS + events) / EVENTS_A_CUSTOMER)
    history = workloads.offboarding(use_case, customers, OFFBOARDING_DAYS, folder)[: WARM_EVENTS + events]
    bundles = f"{folder}/bundles"
    workloads.train(history, bundles)
    return Workload("workers", "off-boarding use case", workloads.OFFBOARDING, history, bundles)


def with_merchants(events: int, folder: Path) -> Workload:
    """Customers who pay merchants, of whom one is in a tenth of the events."""
    history = merchant_payments(load(MERCHANTS_FILE), WARM_EVENTS + events).history
    bundles = f"{folder}/bundles"
    workloads.train(history[:TRAINED_ON], bundles)
    title = "customers and merchants, the busiest in 10 % of the events"
    return Workload("workers_merchants_owners", title, MERCHANTS_FILE, history, bundles)


def measured(workers: int, workload: Workload) -> list[Row]:
    """Return the figures of so many workers, on a stack that nothing has used before."""
    history = workload.history
    forget_servers()
    with tempfile.TemporaryDirectory() as root, stack.running(Path(root) / "stack") as up:
        use(up)
        names = Names(PROJECT, history.use_case.name)
        place = Place(names, workload.use_case, workload.bundles, Path(root) / "state")
        create(place.names)
        tables.create(query_client(PROJECT), DATASET)
        publisher = Publisher()
        publish(publisher, place, publications(history))
        publisher.close()
        servers = [each.pid for each in up.services if each.pid]
        with job(place, "--workers", str(workers), "--batch", str(BATCH), *workload.flags) as pid:
            worked = worked_off(place, len(history), lambda: [cpu_s([pid]), cpu_s(servers)])
        status = process_metrics.read(place.state)
        assert status is not None
        return rows(workers, workload, worked, status, refused(len(history)))


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


def rows(
    workers: int, workload: Workload, worked: Worked, status: process_metrics.JobStatus, refused: int
) -> list[Row]:
    workers_us, servers_us = (1e6 * spent / worked.events for spent in worked.cpu_s)
    owners = "no owners, " if workload.flags else ""
    setting = (
        f"{workload.title}, worker processes: {workers}, {owners}one subscription, one Redis, batches of "
        f"{BATCH:,} at most, all servers on this machine; "
        f"{worked.events:,} events in {worked.seconds:.1f} s out of a backlog, {status.conflicts:,} conflicts, "
        f"{refused:,} too late; CPU {workers_us:.1f} us an event in the workers, {servers_us:.1f} in the servers"
    )
    name, per_s = f"{workload.name}_{workers}", worked.events / worked.seconds
    print(f"{name}: {per_s:,.0f}/s; {setting}", flush=True)
    return [
        Row(f"{name}_events_per_s", per_s, "events/s", setting),
        Row(f"{name}_cpu_us", workers_us, "us/event", "CPU of the worker processes"),
        Row(
            f"{name}_conflicts_per_event", status.conflicts / status.events, "events/event", "assessed again"
        ),
    ]
