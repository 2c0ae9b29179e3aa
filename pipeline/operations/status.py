"""Status of a use case: backlog, job, customers by level, dead letters, Redis; each part is asked by itself.

A part that cannot be asked is `Unknown` and says why: nothing here raises because a service is away. All
parts are asked at once, so the answer takes as long as the slowest of them, some seconds at most.
"""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import grpc
import msgspec

from features.errors import Unavailable
from features.usecase import UseCase
from pipeline.bigquery.schemas import DEAD_LETTERS
from pipeline.operations.settings import StatusSettings
from pipeline.pubsub.client import EMULATOR
from pipeline.runtime import process_metrics
from pipeline.runtime.errors import StoreUnavailable
from pipeline.stores.connect import store_of
from pipeline.stores.health import StoreHealth, store_health
from pipeline.stores.population import Population, population
from pipeline.stores.readiness import Marker, Readiness

STATS_METHOD = "/riskstream.local.Stats/Get"  # of the local server only
TIMEOUT_S = 5.0
QUERY_TIMEOUT_S = 10.0  # BigQuery takes a second or two
SILENT_S = 5.0  # a job that runs writes every second
COUNT_DEAD_LETTERS = """
SELECT reason, COUNT(*) AS letters FROM `{view}` WHERE use_case = @use_case GROUP BY reason ORDER BY reason
"""
Value = TypeVar("Value")


@dataclass(frozen=True)
class Unknown:
    """A part that cannot be asked, and why."""

    unknown: str


@dataclass(frozen=True)
class SubscriptionBacklog:
    """Messages that wait in one subscription, those out for delivery included."""

    subscription: str
    messages: int
    oldest_s: float


@dataclass(frozen=True)
class JobReport:
    """The job's latest status; it is `running` if it wrote that within the last seconds."""

    running: bool
    written_s_ago: float
    status: process_metrics.JobStatus


@dataclass(frozen=True)
class StatusReport:
    """Status of one use case at one moment."""

    use_case: str
    fingerprint: str
    at: str
    backlog: tuple[SubscriptionBacklog, ...] | Unknown
    job: JobReport | Unknown
    store: StoreHealth | Unknown
    customers: Population | Unknown
    filled: Mapping[str, Marker] | Unknown  # by fingerprint of the features that Redis has records of
    dead_letters: Mapping[str, int] | Unknown  # by reason

    @property
    def is_sound(self) -> bool:
        """False if the store is known to have lost records, or is being filled or repaired."""
        return isinstance(self.store, Unknown) or self.store.is_sound

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)


class Away(Unavailable):
    """A part cannot be asked; the message says why. It is shown as `Unknown`."""


def status(use_case: UseCase, settings: StatusSettings) -> StatusReport:
    """Ask for all parts at once."""
    now = datetime.now(UTC)
    asked: tuple[Callable[[], Any], ...] = (
        lambda: backlog(settings.project, use_case.name),
        lambda: job(Path(settings.state), now),
        lambda: store(use_case, settings),
        lambda: customers(use_case, settings),
        lambda: filled(use_case, settings),
        lambda: dead_letters(use_case.name, settings),
    )
    with ThreadPoolExecutor(len(asked)) as pool:
        answers = list(pool.map(_answer, asked))
    at = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    return StatusReport(use_case.name, use_case.fingerprint, at, *answers)


def _answer(ask: Callable[[], Value]) -> Value | Unknown:
    try:
        return ask()
    except Away as error:
        return Unknown(str(error))


def backlog(project: str, use_case: str) -> tuple[SubscriptionBacklog, ...]:
    """Return what waits in the subscriptions of the use case's topics. Raises Away."""
    stem = f"projects/{project}/subscriptions/"
    by_name = {path.removeprefix(stem): one for path, one in backlogs().items() if path.startswith(stem)}
    return tuple(by_name[name] for name in sorted(by_name) if name.startswith(f"{use_case}-"))


def backlogs() -> dict[str, SubscriptionBacklog]:
    """Return what waits in every subscription of the local server, by path. Raises Away."""
    address = os.environ.get(EMULATOR)
    if not address:
        raise Away("Pub/Sub itself does not say; Cloud Monitoring does: num_undelivered_messages")
    try:
        with grpc.insecure_channel(address) as channel:
            figures_by_path = msgspec.json.decode(channel.unary_unary(STATS_METHOD)(b"", timeout=TIMEOUT_S))
    except grpc.RpcError as error:
        raise Away(f"Pub/Sub at {address}: {error.code().name}: {error.details()}") from error
    return {
        path: SubscriptionBacklog(
            path.rpartition("/")[2],
            int(figures["num_undelivered_messages"]),
            round(figures["oldest_unacked_age_s"], 3),
        )
        for path, figures in figures_by_path.items()
    }


def job(state: Path, now: datetime) -> JobReport:
    """Read what the job in this folder wrote last. Raises Away."""
    try:
        status = process_metrics.read(state)
    except (OSError, msgspec.MsgspecError) as error:
        raise Away(f"{state / process_metrics.FILE} cannot be read: {error}") from error
    if status is None:
        raise Away(f"no job has written {state / process_metrics.FILE}: start one with `riskstream run`")
    ago_s = (now - datetime.fromisoformat(status.written_at)).total_seconds()
    return JobReport(ago_s < SILENT_S, round(ago_s, 1), status)


def customers(use_case: UseCase, settings: StatusSettings) -> Population:
    """Count the customers by level, and the bytes that they take in Redis. Raises Away."""
    if not settings.redis_url:
        raise Away("no Redis is given: set REDIS_URL (`riskstream env`)")
    stem = f"{settings.prefix}:{use_case.name}:{use_case.fingerprint}:{use_case.subject}:"
    try:
        return population(store_of(settings).reach, stem)
    except StoreUnavailable as error:
        raise Away(str(error)) from error


def filled(use_case: UseCase, settings: StatusSettings) -> Mapping[str, Marker]:
    """Return the features that there are records of: the present and former ones not yet dropped. Raises Away."""
    if not settings.redis_url:
        raise Away("no Redis is given: set REDIS_URL (`riskstream env`)")
    try:
        with closing(store_of(settings)) as store:
            return Readiness(store, settings.prefix, use_case.name).markers()
    except StoreUnavailable as error:
        raise Away(str(error)) from error


def store(use_case: UseCase, settings: StatusSettings) -> StoreHealth:
    """Return whether Redis holds what was written to it. Raises Away."""
    if not settings.redis_url:
        raise Away("no Redis is given: set REDIS_URL (`riskstream env`)")
    try:
        with closing(store_of(settings)) as opened:
            return store_health(opened, use_case, settings.prefix)
    except StoreUnavailable as error:
        raise Away(str(error)) from error


def dead_letters(use_case: str, settings: StatusSettings) -> dict[str, int]:
    """Count the dead letters by reason, each once. Raises Away."""
    from google.api_core.exceptions import GoogleAPIError  # these take seconds to import
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.bigquery import QueryJobConfig, ScalarQueryParameter
    from requests.exceptions import RequestException

    from pipeline.bigquery.client import query_client

    view = f"{settings.project}.{settings.dataset}.{DEAD_LETTERS.view}"
    config = QueryJobConfig(query_parameters=[ScalarQueryParameter("use_case", "STRING", use_case)])
    query = COUNT_DEAD_LETTERS.format(view=view)
    once: dict[str, Any] = {"retry": None, "job_retry": None, "timeout": QUERY_TIMEOUT_S}
    try:
        # `query_and_wait` takes the local server's refusals for empty answers.
        rows = query_client(settings.project).query(query, job_config=config, **once).result(**once)
        return {row.reason: row.letters for row in rows}
    except RequestException as error:
        raise Away(f"BigQuery cannot be reached for {view} ({type(error).__name__})") from error
    except (GoogleAPIError, GoogleAuthError, OSError) as error:
        raise Away(f"BigQuery, {view}: {error}") from error
