"""A job of a test, and its topics, tables, records and bundle in the local stack."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from google.cloud import bigquery
from google.protobuf.field_mask_pb2 import FieldMask
from google.pubsub_v1.types import Subscription

from export.bundle import Bundle, promote, save
from features.usecase import UseCase, parse
from pipeline.bigquery import schemas, tables
from pipeline.bigquery.client import query_client
from pipeline.certification.job_process import ROOT, JobProcess, wait_for
from pipeline.operations.status import backlog
from pipeline.pubsub.topics import Names, create, short, subscriber_client
from pipeline.stores.redis_store import RedisStore
from tests.pipeline.models import trained

__all__ = ["ROOT", "Job", "Place", "job_of", "trained_once", "wait_for"]


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


class Job(JobProcess):
    """`riskstream run` for a place. `flags` are beside those that the place gives, and override them."""

    def __init__(self, place: Place, flags: Mapping[str, str], beam: Sequence[str] = ()) -> None:
        self.place = place
        merged = {
            "--project": place.project,
            "--use-case": str(place.use_case.file),
            "--bundle": place.bundles,
            "--prefix": place.project,
            **flags,
        }
        words = [word for flag in merged.items() for word in flag]
        if place.cluster_url:
            words += ["--redis-cluster", "--redis-url", place.cluster_url]
        super().__init__(place.folder, words, beam)


@contextmanager
def job_of(place: Place, beam: Sequence[str] = (), **flags: str) -> Iterator[Job]:
    """A job that does not outlive the test."""
    job = Job(place, {f"--{name.replace('_', '-')}": value for name, value in flags.items()}, beam)
    try:
        yield job
    finally:
        job.end()
