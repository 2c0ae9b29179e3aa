"""The checks that a job, a launch and the service share: what each part is called, looked at for, and reported with.

A program lists those that it needs, beside its own, and runs them with `pipeline.runtime.checks`.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, Protocol

from google.cloud.bigquery.retry import DEFAULT_RETRY

from export.bundle import Bundle
from features.usecase import UseCase
from pipeline.bigquery import schemas
from pipeline.bigquery import tables as bigquery_tables
from pipeline.bigquery.client import query_client
from pipeline.bigquery.log_end import Tail
from pipeline.engine.live_model import check_bundle
from pipeline.engine.start_check import check_store
from pipeline.pubsub.client import Publisher, Subscription
from pipeline.runtime import prometheus
from pipeline.runtime.checks import Check
from pipeline.stores.connect import Place, store_of
from pipeline.stores.readiness import Warmth


class Needs(Place, Protocol):
    """The settings of a process that assesses events: a job's, or the service's."""

    @property
    def use_case(self) -> UseCase: ...
    @property
    def bundle(self) -> str: ...
    @property
    def allow_eviction(self) -> bool: ...
    @property
    def allow_empty_store(self) -> bool: ...
    @property
    def metrics_host(self) -> str: ...
    @property
    def metrics_port(self) -> int | None: ...


def _ignore(_: Bundle) -> None:
    pass


def bundle(needs: Needs, on_loaded: Callable[[Bundle], None] = _ignore) -> Check:
    """The bundle in use can be loaded and has the features of the use case; `on_loaded` receives it."""

    def look() -> str:
        loaded = check_bundle(needs.use_case, needs.bundle)
        on_loaded(loaded)
        return f"{loaded.manifest.id}, of these features"

    return Check("bundle", look)


def redis(needs: Needs, tail: Tail | None = None) -> Check:
    """Redis can be reached and written to, and it is neither empty by mistake nor damaged.

    With the `tail` of the log an empty store is compared with what was assessed before.
    """

    def look() -> str:
        use_case = needs.use_case
        with closing(store_of(needs)) as store:
            store.check(needs.allow_eviction)
            check_store(store, use_case, needs.prefix, needs.allow_empty_store, tail)
            filled = Warmth(store, needs.prefix, use_case.name).markers().get(use_case.fingerprint)
        return f"{store.address}: " + (
            f"has records ({filled.how}, {filled.at})" if filled else "to start cold"
        )

    return Check("Redis", look)


def subscription(path: str) -> Check:
    """The subscription exists and may be used."""

    def look() -> str:
        Subscription(path).check()
        return path

    return Check("subscription", look)


def topic(path: str, name: str = "") -> Check:
    """The topic exists and may be used."""

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
    """The tables exist and have the columns that rows carry."""

    def look() -> str:
        bigquery_tables.check(query_client(project), dataset, needed, retry)
        return f"{dataset}: {', '.join(table.name for table in needed)}"

    return Check("tables", look)


def metrics(needs: Needs) -> list[Check]:
    """The port for Prometheus is free, if metrics are wanted."""
    port = needs.metrics_port
    return [Check("metrics", lambda: prometheus.check(needs.metrics_host, port))] if port else []
