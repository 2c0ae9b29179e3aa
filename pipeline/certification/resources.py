"""The things that a run creates, all under its name: topics, subscriptions, a dataset, keys. Made, found and removed.

PREFIX:RUN:alive        a key that expires: the run goes on, and nobody else may remove what it has
PREFIX:RUN...           the job's keys, because the use case is called like the run
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from google.api_core.exceptions import NotFound
from google.cloud import bigquery
from google.protobuf.field_mask_pb2 import FieldMask
from google.pubsub_v1 import SubscriberClient
from google.pubsub_v1.types import Subscription

from export.bundle import Bundle, promote, save
from features.usecase import UseCase, load
from pipeline.bigquery import tables
from pipeline.bigquery.client import query_client
from pipeline.certification.run_names import STEM, run_in
from pipeline.pubsub.topics import (
    CALL_TIMEOUT_S,
    Names,
    create,
    explained,
    publisher_client,
    short,
    subscriber_client,
)
from pipeline.runtime.errors import CannotStart, StoreUnavailable
from pipeline.stores.redis_store import RedisStore

TEMPLATE = Path(__file__).with_name("transfers.yaml")
ACK_DEADLINE_S = 10  # the least there is: what a killed job had comes again soon
ALIVE_S, RENEW_S = 60, 10.0  # a run renews its key far more often than it expires


class CertificationRefused(CannotStart):
    """A certification cannot start: the prefix is in use, a bound is too low, or a server does not fit."""


@dataclass(frozen=True)
class RunPlace:
    """The place of one run in the user's project. `folder` is on this machine: use case, bundle, log and state."""

    project: str
    run: str
    prefix: str
    location: str
    folder: Path

    @property
    def names(self) -> Names:
        return Names(self.project, self.run)

    @property
    def dataset(self) -> str:
        return f"{self.project}.{self.run}"

    @property
    def bundles(self) -> str:
        return str(self.folder / "bundles")

    @property
    def alive_key(self) -> str:
        return f"{self.prefix}:{self.run}:alive"

    def use_case(self) -> UseCase:
        """Write the use case under the run's name, and load it."""
        file = self.folder / "transfers.yaml"
        file.write_text(TEMPLATE.read_text().replace("use_case: transfers", f"use_case: {self.run}"))
        return load(file)


def check_prefix(store: RedisStore, prefix: str) -> None:
    """Check that no key begins with the prefix. Raises CertificationRefused, StoreUnavailable."""
    keys = [key.decode(errors="replace") for key in store.scan(f"{prefix}:".encode())]
    if keys:
        runs = sorted({run for key in keys if (run := run_in(key))})
        advice = (
            "`riskstream certify --clean-up` removes what earlier runs left"
            if runs
            else "name another --prefix"
        )
        raise CertificationRefused(
            f"{store.address}: found {len(keys):,} keys under {prefix}: (such as {keys[0]}), expected none; {advice}"
        )


def furnish(place: RunPlace, bundle: Bundle) -> None:
    """Create topics, subscriptions, the dataset with its tables, and the bundle in the folder.

    Raises PubSubUnavailable, PubSubRefused, GoogleAPICallError.
    """
    create(place.names)
    tables.create(query_client(place.project), place.run, place.location)
    save(bundle, place.bundles)
    promote(place.bundles, bundle.manifest.id)
    events = place.names.reader(place.names.events)
    changed = Subscription(name=events, ack_deadline_seconds=ACK_DEADLINE_S)
    with subscriber_client() as client, explained(events):
        client.update_subscription(
            subscription=changed, update_mask=FieldMask(paths=["ack_deadline_seconds"])
        )


@contextmanager
def kept_alive(store: RedisStore, place: RunPlace) -> Iterator[None]:
    """Note that the run goes on, for as long as the block lasts. Raises StoreUnavailable if that cannot be noted."""
    ended = threading.Event()

    def note() -> None:
        store.call("SET", place.alive_key, "1", "EX", ALIVE_S)

    def renew() -> None:
        while not ended.wait(RENEW_S):
            with suppress(StoreUnavailable):
                note()

    note()
    thread = threading.Thread(target=renew, name="alive", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with suppress(StoreUnavailable):
            store.call("DEL", place.alive_key)


def remove(project: str, run: str, prefix: str, store: RedisStore) -> list[str]:
    """Remove all that a run has created; return what was removed. Idempotent.

    Raises PubSubUnavailable, PubSubRefused, GoogleAPICallError, StoreUnavailable.
    """
    names, removed = Names(project, run), []
    with subscriber_client() as subscriber, publisher_client() as publisher:
        for path in _subscriptions(subscriber, project, run):
            with explained(path), suppress(NotFound):
                subscriber.delete_subscription(subscription=path, retry=None, timeout=CALL_TIMEOUT_S)
                removed.append(f"subscription {short(path)}")
        for path in names.topics:
            with explained(path), suppress(NotFound):
                publisher.delete_topic(topic=path, retry=None, timeout=CALL_TIMEOUT_S)
                removed.append(f"topic {short(path)}")
    client = query_client(project)
    with suppress(NotFound):
        client.delete_dataset(f"{project}.{run}", delete_contents=True)
        removed.append(f"dataset {run}")
    if keys := _remove_keys(store, f"{prefix}:{run}"):
        removed.append(f"{keys:,} keys under {prefix}:{run}")
    return removed


def _subscriptions(client: SubscriberClient, project: str, run: str) -> list[str]:
    """List the subscriptions of a run, those that were made while it went on included."""
    with explained(f"projects/{project}"):
        pages = client.list_subscriptions(project=f"projects/{project}", timeout=CALL_TIMEOUT_S)
        return [each.name for each in pages if short(each.name).startswith(f"{run}-")]


def _remove_keys(store: RedisStore, stem: str) -> int:
    """Remove the keys that begin with the stem; they are a run's, by its random name."""
    keys = set(store.scan(stem.encode()))
    return sum(int(store.call("UNLINK", key)) for key in keys)


def left_behind(project: str, prefix: str, store: RedisStore) -> Iterator[str]:
    """Yield the names of runs of which something is left, oldest first.

    Raises PubSubUnavailable, PubSubRefused, GoogleAPICallError, StoreUnavailable.
    """
    with publisher_client() as publisher, subscriber_client() as subscriber, explained(f"projects/{project}"):
        path = f"projects/{project}"
        texts = [each.name for each in publisher.list_topics(project=path, timeout=CALL_TIMEOUT_S)]
        texts += [each.name for each in subscriber.list_subscriptions(project=path, timeout=CALL_TIMEOUT_S)]
    client: bigquery.Client = query_client(project)
    texts += [each.dataset_id for each in client.list_datasets()]
    texts += [key.decode(errors="replace") for key in store.scan(f"{prefix}:{STEM}".encode())]
    yield from sorted({run for text in texts if (run := run_in(text))})


def clean_up(
    project: str, prefix: str, store: RedisStore, progress: Callable[[str], None]
) -> tuple[list[str], list[str]]:
    """Remove what runs that no longer go on have left; return what was removed, and the runs that do go on."""
    removed, alive = [], []
    for run in left_behind(project, prefix, store):
        if store.call("EXISTS", f"{prefix}:{run}:alive"):
            alive.append(run)
            continue
        progress(f"removing what {run} left")
        removed += remove(project, run, prefix, store)
    return removed, alive
