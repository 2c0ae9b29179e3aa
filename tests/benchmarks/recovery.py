"""Recovery on one machine: how long alerts take longer than usual after a part was killed, stopped or exchanged.

Events are due at RATE_PER_S throughout, whatever the parts do, and an event's clock runs from then until its alert is
here. Its time to recover is the end of the last window of WINDOW_S, by due time, in which the 99th percentile is out
of the usual band; an outage's length is part of it. Whoever restarts a killed job does so at once.
"""

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deploy.local import stack
from export.bundle import promote, read_pointer
from pipeline.bigquery import tables
from pipeline.bigquery.client import query_client
from pipeline.certification.job_process import JobProcess
from pipeline.pubsub.client import Publication, Publisher
from pipeline.runtime.errors import PubSubUnavailable
from pipeline.runtime.process_tuning import tune_process
from pipeline.runtime.retry import retrying
from tests.benchmarks import workloads
from tests.benchmarks.latency import TICK_S, Seen, following
from tests.benchmarks.report import Row
from tests.benchmarks.whole_way import (
    DATASET,
    POLL_S,
    PROJECT,
    WARM_EVENTS,
    Place,
    check_rows,
    forget_servers,
    prepared,
    publications,
    publish,
    undelivered,
    use,
)
from tests.deploy import outages
from tests.pipeline.failover import AT_ONCE, pair
from tests.pipeline.servers import RedisServer

FAILOVER_DATASET = "failover"  # of a pair of servers that begins without records
RATE_PER_S = 1_000
USUAL_S = 10  # before a disturbance: the usual latency
AFTER_S = 30  # of the stream after it
OUTAGE_S = 5.0
WINDOW_S = 1.0
BAND = 2.0  # times the usual 99th percentile is still usual,
BAND_MS = 20.0  # and so much more than it
LAST_ALERTS_S = 150.0  # a killed job's messages come again after the acknowledgement deadline

EVENTS = RATE_PER_S * (USUAL_S + AFTER_S)  # of a disturbance
Disturb = Callable[[], None]


class Bench(NamedTuple):
    """The parts of a running job that a disturbance may touch."""

    root: Path
    stack_folder: Path
    place: Place
    job: JobProcess


def recovery(_events: int) -> list[Row]:
    """Measure every disturbance, one after another, each with a stream that begins well before it."""
    forget_servers()
    with tempfile.TemporaryDirectory() as root, stack.running(Path(root) / "stack") as up:
        use(up)
        count = len(DISTURBANCES) + 1
        place, history = prepared(Path(root), WARM_EVENTS * 2 + EVENTS * count)
        workloads.train(history[30_000:90_000], str(Path(root) / "next"), medium=0.5, high=0.75)
        messages = publications(history)
        publisher = Publisher()
        tune_process()
        with following(place) as seen:
            with running(Path(root) / "first", place) as job:
                bench = Bench(Path(root), up.folder, place, job)
                at = warm(publisher, place, messages)
                rows: list[Row] = []
                for name, (meaning, disturb) in DISTURBANCES.items():
                    part = messages[at : at + EVENTS]
                    rows += measure(name, meaning, publisher, place, part, seen, lambda d=disturb: d(bench))
                    at += EVENTS
            check_rows(at)
            rows += failover(Path(root), publisher, place, messages[at:], seen)
        publisher.close()
    return rows


def failover(
    root: Path, publisher: Publisher, place: Place, messages: Sequence[Publication], seen: Seen
) -> list[Row]:
    """Measure a primary that is gone and a replica in its place, with commits that a replica must confirm."""
    folder = root / "pair"
    folder.mkdir()
    tables.create(query_client(PROJECT), FAILOVER_DATASET)
    with pair(folder) as servers:
        flags = ["--redis-url", servers.line.url, "--redis-replicas", "1", "--dataset", FAILOVER_DATASET]
        third = RedisServer(root / "third", *AT_ONCE)

        def fail_over() -> None:
            servers.fail_over()
            third.client.replicaof("127.0.0.1", servers.replica.port)

        try:
            with running(root / "second", place, *flags):
                at = warm(publisher, place, messages)
                meaning = "the primary killed, its replica promoted at once, another replica attached"
                rows = measure("failover", meaning, publisher, place, messages[at:], seen, fail_over)
            check_rows(len(messages), FAILOVER_DATASET)
            return rows
        finally:
            third.stop()


@contextmanager
def running(folder: Path, place: Place, *flags: str) -> Iterator[JobProcess]:
    """Run a job until the block ends."""
    folder.mkdir()
    words = [
        "--project",
        PROJECT,
        "--dataset",
        DATASET,
        "--use-case",
        str(place.use_case),
        "--bundle",
        place.bundle,
    ]
    job = JobProcess(folder, [*words, *flags])
    job.start()
    try:
        job.wait_until_checked()
        yield job
        job.stop()
    finally:
        job.end()


def warm(publisher: Publisher, place: Place, messages: Sequence[Publication]) -> int:
    """Let the job work off the first messages; how many."""
    publish(publisher, place, messages[:WARM_EVENTS])
    wait_until_idle()
    return WARM_EVENTS


def wait_until_idle() -> None:
    until_s = time.monotonic() + LAST_ALERTS_S
    while left := undelivered():
        assert time.monotonic() < until_s, f"{left:,} messages are left after {LAST_ALERTS_S:g} s"
        time.sleep(POLL_S)


def killed(bench: Bench) -> None:
    bench.job.kill()
    bench.job.start()


def redis_restarted(bench: Bench) -> None:
    outages.restart(bench.stack_folder, "redis")


def pubsub_frozen(bench: Bench) -> None:
    outages.freeze(bench.stack_folder, "pubsub")
    time.sleep(OUTAGE_S)
    outages.thaw(bench.stack_folder, "pubsub")


def model_exchanged(bench: Bench) -> None:
    name = bench.place.names.use_case
    id = read_pointer(str(bench.root / "next"), name)
    assert id is not None
    shutil.copytree(bench.root / "next" / id, Path(bench.place.bundle) / id)
    promote(bench.place.bundle, id)


def replaced(bench: Bench) -> None:
    """Start a second job beside the first, and stop it again once it has assessed something."""
    beside = JobProcess(bench.root / "beside", bench.job.flags)
    beside.folder.mkdir()
    beside.start()
    try:
        beside.wait_until_at_work()
        beside.stop()
    finally:
        beside.end()


DISTURBANCES: dict[str, tuple[str, Callable[[Bench], None]]] = {
    "model": ("a bundle promoted that the job takes over", model_exchanged),
    "redis": ("Redis killed and started again from its append-only file", redis_restarted),
    "pubsub": (f"Pub/Sub frozen for {OUTAGE_S:g} s", pubsub_frozen),
    "beside": ("a second job started beside the first and stopped again after its first batches", replaced),
    "worker": ("the job killed and started again at once", killed),
}


def measure(
    name: str,
    meaning: str,
    publisher: Publisher,
    place: Place,
    messages: Sequence[Publication],
    seen: Seen,
    disturb: Disturb,
) -> list[Row]:
    """Publish the messages at the rate, disturb after USUAL_S, and return the rows of this disturbance."""
    due_ns: dict[str, int] = {}
    thread = threading.Thread(target=publish_when_due, args=(publisher, place.names.events, messages, due_ns))
    began_ns = time.time_ns()
    thread.start()
    time.sleep(USUAL_S)
    disturb()
    thread.join()
    wait_until_idle()
    time.sleep(1.0)  # the last alerts are on their way to this process
    alerts = [id for id in due_ns if id in seen]
    since_s = np.array([(due_ns[id] - began_ns) / 1e9 - USUAL_S for id in alerts])
    spent_ms = np.array([(seen[id] - due_ns[id]) / 1e6 for id in alerts])
    usual_ms, limit_ms, seconds = recovered(since_s, spent_ms)
    after_ms = spent_ms[since_s >= 0]
    setting = (
        f"{meaning}; {RATE_PER_S:,} events/s; p99 usually {usual_ms:.0f} ms, back when within {limit_ms:.0f} ms; "
        f"{len(alerts):,} alerts, after it p99 {np.percentile(after_ms, 99):.0f} ms, largest {spent_ms.max():.0f} ms"
    )
    print(f"recovery: {name} {seconds:.0f} s; {setting}", flush=True)
    return [Row(f"recovery_{name}_s", seconds, "s", setting)]


def recovered(since_s: NDArray[np.float64], spent_ms: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the usual 99th percentile, the end of the band (both ms), and the seconds until it is back in it.

    `since_s` is when each event was due, from the disturbance on; negative before it.
    """
    window = np.floor(since_s / WINDOW_S).astype(int)
    p99_ms = {each: float(np.percentile(spent_ms[window == each], 99)) for each in np.unique(window).tolist()}
    # The first seconds settle, and what was under way at the disturbance belongs to it.
    usual_ms = float(np.median([ms for each, ms in p99_ms.items() if -USUAL_S + 2 <= each < -1]))
    limit_ms = max(BAND * usual_ms, usual_ms + BAND_MS)
    late = [each for each, ms in p99_ms.items() if each >= -1 and ms > limit_ms]
    return usual_ms, limit_ms, (max(late) + 1) * WINDOW_S if late else 0.0


def publish_when_due(
    publisher: Publisher, topic: str, messages: Sequence[Publication], due_ns: dict[str, int]
) -> None:
    """Publish each burst when it is due, or as soon as Pub/Sub takes it; note the due times (ns since 1970)."""
    size = round(RATE_PER_S * TICK_S)
    began_ns = time.time_ns()
    for i, first in enumerate(range(0, len(messages), size)):
        at_ns = began_ns + round(i * TICK_S * 1e9)
        time.sleep(max(0.0, (at_ns - time.time_ns()) / 1e9))
        burst = messages[first : first + size]
        due_ns.update((message.attributes["event_id"], at_ns) for message in burst)
        retrying(lambda burst=burst: publisher.publish(topic, burst), PubSubUnavailable, "publish")
