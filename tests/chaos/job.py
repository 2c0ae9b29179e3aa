"""The job as a process of its own, as an operator would start it, and what it has in Pub/Sub, BigQuery and Redis."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from google.cloud import bigquery
from google.protobuf.field_mask_pb2 import FieldMask
from google.pubsub_v1.types import Subscription

from export.bundle import Bundle, promote, save
from features.usecase import UseCase, parse
from pipeline.bigquery import schemas, tables
from pipeline.bigquery.client import query_client
from pipeline.operations.status import backlog
from pipeline.pubsub.topics import Names, create, short, subscriber_client
from pipeline.runtime import process_metrics
from pipeline.stores.redis_store import RedisStore
from tests.pipeline.models import trained

ROOT = Path(__file__).parents[2]
PATIENCE_S = 240.0  # on a busy machine; what is waited for takes seconds
STOP_S = 30.0
POLL_S = 0.05


def wait_for(condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    until_s = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < until_s, f"{what}: not within {patience_s:g} s"
        time.sleep(POLL_S)


@lru_cache
def trained_once(use_case_text: str) -> Bundle:
    return trained(parse(use_case_text))


@dataclass(frozen=True)
class Place:
    """A project of one test's own in the local stack: topics, tables, a promoted bundle, a folder.

    The environment of this process must be the stack's. `cluster_url`: records are in that cluster, not in the stack.
    """

    project: str
    folder: Path
    use_case: UseCase
    dataset: str = "riskstream"
    cluster_url: str | None = None

    @property
    def names(self) -> Names:
        return Names(self.project, self.use_case.name)

    @property
    def bundles(self) -> str:
        return str(self.folder / "bundles")

    def store(self) -> RedisStore:
        """Return the store of the job's records."""
        return RedisStore(self.cluster_url or os.environ["REDIS_URL"], cluster=self.cluster_url is not None)

    def furnish(self, ack_deadline_s: int) -> None:
        create(self.names)
        tables.create(query_client(self.project), self.dataset)
        bundle = trained_once(self.use_case.text)
        save(bundle, self.bundles)
        promote(self.bundles, bundle.manifest.id)
        changed = Subscription(name=self.names.reader(self.names.events), ack_deadline_seconds=ack_deadline_s)
        with subscriber_client() as client:
            client.update_subscription(
                subscription=changed, update_mask=FieldMask(paths=["ack_deadline_seconds"])
            )

    def unacknowledged(self, topic: str = "") -> int:
        """Messages in a topic's (default: the job's) subscription that are not done with."""
        reader = short(self.names.reader(topic or self.names.events))
        found = backlog(self.project, self.use_case.name)
        return next(one.messages for one in found if one.subscription == reader)

    def wait_until_drained(self) -> None:
        wait_for(lambda: self.unacknowledged() == 0, "everything acknowledged")

    def rows(self) -> int:
        """Rows in BigQuery, those of the dead letters included."""
        return sum(self.count(name) for name in schemas.TABLES)

    def count(self, table: str, where: str = "TRUE") -> int:
        ((number,),) = self.query(
            f"SELECT COUNT(*) FROM `{self.project}.{self.dataset}.{table}` WHERE {where}"
        )
        return int(number)

    def query(self, text: str) -> bigquery.table.RowIterator:
        return query_client(self.project).query_and_wait(text)


@dataclass
class Job:
    """`riskstream run` for a place, started and ended any number of times."""

    place: Place
    flags: Mapping[str, str] = field(default_factory=dict)
    beam: Sequence[str] = ()  # Beam's own flags
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.place.folder / "job.log"

    @property
    def state(self) -> Path:
        return self.place.folder / "state"

    def start(self) -> None:
        flags = {
            "--project": self.place.project,
            "--use-case": self.place.use_case.file,
            "--bundle": self.place.bundles,
            "--prefix": self.place.project,
            "--state": str(self.state),
            **self.flags,
        }
        words = [word for flag in flags.items() for word in flag]
        if self.place.cluster_url:
            words += ["--redis-cluster", "--redis-url", self.place.cluster_url]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "riskstream", "run", "--allow-empty-store", *words, "--", *self.beam],
                cwd=ROOT, env=os.environ, stdout=output, stderr=output,
            )  # fmt: skip

    def wait_until_checked(self) -> None:
        """Until it has found everything it needs, and builds its pipeline."""
        wait_for(lambda: self.said() is not None, "the job starts")

    def wait_until_at_work(self) -> None:
        """Until it has assessed something; it says so within a second."""
        wait_for(lambda: self.events() > 0, "the job works")

    def events(self) -> int:
        """Messages that this process has assessed."""
        said = self.said()
        return said.events if said else 0

    def of_workers(self) -> list[process_metrics.JobStatus]:
        """Return the latest report of each worker process of a job with several."""
        found = [process_metrics.read(folder) for folder in sorted(self.state.glob("worker-*"))]
        return [status for status in found if status]

    def said(self) -> process_metrics.JobStatus | None:
        """Return the latest report of this very process."""
        pid, said = self.running().pid, process_metrics.read(self.state)
        return said if said and said.pid == pid else None

    def running(self) -> subprocess.Popen[bytes]:
        """The process. Fails with its last words if it has ended by itself."""
        assert self.process is not None
        assert self.process.poll() is None, f"the job ended by itself:\n{self.log.read_text()[-4_000:]}"
        return self.process

    def kill(self) -> None:
        """kill -9: it can finish nothing."""
        self.running().kill()
        self.running_no_more()

    def running_no_more(self) -> int:
        assert self.process is not None
        return self.process.wait(STOP_S)

    def stop(self) -> None:
        """Asks it to end. It must do so in good order."""
        self.running().send_signal(signal.SIGTERM)
        code = self.running_no_more()
        assert code == 0, f"exit code {code}:\n{self.log.read_text()[-4_000:]}"


@contextmanager
def job_of(place: Place, beam: Sequence[str] = (), **flags: str) -> Iterator[Job]:
    """A job that does not outlive the test."""
    job = Job(place, {f"--{name.replace('_', '-')}": value for name, value in flags.items()}, beam)
    try:
        yield job
    finally:
        if job.process is not None:
            job.process.kill()
            job.process.wait()
