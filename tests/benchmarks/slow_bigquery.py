"""Publish to alert, and a backlog, while BigQuery answers each append some seconds late.

The delay is in a server between the job and BigQuery, also when it is nought. A backlog is published while the job's
process is stopped, and its clock runs until the job has counted the last event; rows may come later.
"""

import os
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path

from deploy.local import stack
from pipeline.bigquery.client import STORAGE_EMULATOR
from pipeline.pubsub.client import Publication, Publisher
from pipeline.runtime.process_tuning import tune_process
from tests.benchmarks import latency
from tests.benchmarks.latency import following
from tests.benchmarks.report import Row
from tests.benchmarks.whole_way import (
    WARM_EVENTS,
    Place,
    check_rows,
    counted,
    forget_servers,
    job,
    prepared,
    publications,
    publish,
    undelivered,
    use,
    worked_off,
)
from tests.pipeline.slow_bigquery import SlowBigQuery

DELAYS_S = (0.0, 0.2, 1.0, 3.0)
RATE_PER_S = 1_000
STEADY_EVENTS = RATE_PER_S * (latency.SETTLE_S + latency.STEADY_S)


def slow_bigquery(events: int) -> list[Row]:
    """Measure all delays with one job: latency, a backlog of so many events, and the memory of the job."""
    forget_servers()
    with tempfile.TemporaryDirectory() as root, stack.running(Path(root) / "stack") as up:
        use(up)
        each = STEADY_EVENTS + events
        place, history = prepared(Path(root), WARM_EVENTS + len(DELAYS_S) * each)
        messages = publications(history)
        with proxy_process(os.environ[STORAGE_EMULATOR]) as proxy:
            os.environ[STORAGE_EMULATOR] = proxy.recv()
            publisher, rows = Publisher(), []
            with job(place) as pid, following(place) as seen:
                publish(publisher, place, messages[:WARM_EVENTS])
                worked_off(place, WARM_EVENTS)
                for i, delay_s in enumerate(DELAYS_S):
                    proxy.send(delay_s)
                    part = messages[WARM_EVENTS + i * each : WARM_EVENTS + (i + 1) * each]
                    steady, backlog = part[:STEADY_EVENTS], part[STEADY_EVENTS:]
                    measured = latency.run(publisher, place, steady, RATE_PER_S, seen)
                    rows += [row._replace(name=f"slow_{delay_s:g}_{row.name}") for row in measured]
                    rows += worked(publisher, place, pid, backlog, delay_s)
            check_rows(len(messages))
            publisher.close()
    return rows


@contextmanager
def proxy_process(address: str) -> Iterator["Connection[float, str]"]:
    """Start a slow BigQuery in a process of its own, which sends its address and receives delays."""
    near, far = Pipe()
    process = get_context("spawn").Process(target=serve, args=(address, far), daemon=True)
    process.start()
    try:
        yield near
    finally:
        process.kill()
        process.join()


def serve(address: str, orders: "Connection[str, float]") -> None:
    """Serve with the latest delay received."""
    tune_process()
    proxy = SlowBigQuery(address)
    orders.send(proxy.address)
    while True:
        proxy.delay_s = orders.recv()


def worked(
    publisher: Publisher, place: Place, pid: int, backlog: Sequence[Publication], delay_s: float
) -> list[Row]:
    """Measure a backlog, and the job's memory when its last row is stored."""
    before = counted(place, 0).events
    os.kill(pid, signal.SIGSTOP)
    try:
        publish(publisher, place, backlog)
    finally:
        began_s = time.time()
        os.kill(pid, signal.SIGCONT)
    seconds = counted(place, before + len(backlog)).at_s - began_s
    while undelivered():
        time.sleep(0.1)
    resident_mib = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    setting = f"{len(backlog):,} events in {seconds:.1f} s, each append answered {delay_s:g} s late"
    print(f"slow_bigquery: {len(backlog) / seconds:,.0f}/s, {resident_mib:,.0f} MiB; {setting}", flush=True)
    return [
        Row(f"slow_{delay_s:g}_events_per_s", len(backlog) / seconds, "events/s", setting),
        Row(f"slow_{delay_s:g}_resident_mib", resident_mib, "MiB", setting),
    ]
