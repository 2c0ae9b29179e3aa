"""The checks that a job, a launch and the service share: what each part is called, looked at for, and reported with.

A program lists those that it needs, beside its own, and runs them with `pipeline.runtime.checks`.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from google.cloud.bigquery.retry import DEFAULT_RETRY

from export.bundle import Bundle
from features.usecase import UseCase
from pipeline.bigquery import schemas
from pipeline.bigquery import tables as bigquery_tables
from pipeline.bigquery.client import query_client
from pipeline.bigquery.log_end import LogEnd
from pipeline.engine.live_model import check_bundle
from pipeline.engine.start_check import check_store
from pipeline.pubsub.client import Publisher, Subscription
from pipeline.runtime import prometheus
from pipeline.runtime.checks import Check
from pipeline.stores.connect import store_of
from pipeline.stores.readiness import Readiness
from pipeline.stores.settings import RedisWriterSettings


def _ignore(_: Bundle) -> None:
    pass


def bundle(use_case: UseCase, root: str, on_loaded: Callable[[Bundle], None] = _ignore) -> Check:
    """Check that the bundle in use can be loaded and has the use case's features; `on_loaded` receives it."""

    def look() -> str:
        loaded = check_bundle(use_case, root)
        on_loaded(loaded)
        return f"{loaded.manifest.id}, of these features"

    return Check("bundle", look)


def redis(
    settings: RedisWriterSettings, use_case: UseCase, allow_empty_store: bool, log_end: LogEnd | None = None
) -> Check:
    """Check that Redis can be reached and written to, and is neither empty by mistake nor damaged.

    With `log_end` an empty store is compared with what was assessed before.
    """

    def look() -> str:
        with closing(store_of(settings)) as store:
            store.check(settings.allow_eviction)
            check_store(store, use_case, settings.prefix, allow_empty_store, log_end)
            filled = Readiness(store, settings.prefix, use_case.name).markers().get(use_case.fingerprint)
        return f"{store.address}: " + (
            f"has records ({filled.how}, {filled.at})" if filled else "to start cold"
        )

    return Check("Redis", look)


def subscription(path: str) -> Check:
    """Check that the subscription exists and may be used."""

    def look() -> str:
        Subscription(path).check()
        return path

    return Check("subscription", look)


def topic(path: str, name: str = "") -> Check:
    """Check that the topic exists and may be used."""

    def look() -> str:
        Publisher().check(path)
        return path

    return Check(name or f"topic {path}", look)


def tables(
    project: str,
    dataset: str,
    needed: Sequence[schemas.Table] = schemas.OF_JOB,
    retry: Any = DEFAULT_RETRY,
) -> Check:
    """Check that the tables exist and have the columns that rows carry."""

    def look() -> str:
        bigquery_tables.check(query_client(project), dataset, needed, retry)
        return f"{dataset}: {', '.join(table.name for table in needed)}"

    return Check("tables", look)


def metrics(host: str, port: int | None) -> list[Check]:
    """Check that the port for Prometheus is free, if there is to be one."""
    return [Check("metrics", lambda: prometheus.check(host, port))] if port else []
