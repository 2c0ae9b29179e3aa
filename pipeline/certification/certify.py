"""A certification from start to end: plan, checks, resources, exercise, verdict, and everything removed again."""

import os
import secrets
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from features.usecase import UseCase
from pipeline.certification.balances import BalanceReader
from pipeline.certification.exercise import Exercise, FaultReport
from pipeline.certification.faults import FaultPlan, FaultySystem, can_proxy_redis, fault_plan
from pipeline.certification.job_process import JobProcess
from pipeline.certification.model import certification_bundle
from pipeline.certification.proxies import GoogleProxy, RedisProxy, has_proxy
from pipeline.certification.resources import RunPlace, check_prefix, furnish, kept_alive, remove
from pipeline.certification.run_names import run_name
from pipeline.certification.server_facts import check_bounds, server_facts
from pipeline.certification.settings import CertifySettings
from pipeline.certification.verdict import LatencyFigures, latency_figures, stream_figures, verdict
from pipeline.certification.workload import workload
from pipeline.reconciliation.compare import Invariant
from pipeline.reconciliation.published import audit_subscription, collect
from pipeline.stores.connect import store_of
from pipeline.stores.redis_client import Reach, tls_context
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.settings import SECRET

Progress = Callable[[str], None]
FLOW_S = 2.0  # that a part of the stream takes beside its fault
NOT_SHOWN = (
    "The worker's own clock is that of its machine. Skew is that of publishers' clocks.",
    "Servers are taken from the job alone, by proxies: nothing is known of what they do when they themselves die.",
    "The job runs on this machine. Dataflow and Flink, their networks and their rights, are not part of this.",
    "The job speaks to Redis through a relay without TLS; the relay speaks TLS to the server.",
    "The use case is that of certify: model, features and volumes of another one are not.",
    "A run of minutes says nothing of leaks, quotas and full disks.",
)


@dataclass(frozen=True)
class Certificate:
    """The outcome of a run, as the report shows it."""

    certified: bool
    run: str
    began_at: str
    took_s: float
    servers: dict[str, dict[str, str]]
    stream: dict[str, int]
    faults: list[FaultReport]
    left_out: list[str]
    latency_ms: LatencyFigures
    checks: list[Invariant]
    failures: list[str]
    not_shown: list[str]


def new_run(settings: CertifySettings, folder: Path) -> RunPlace:
    """Name a new run. Nothing is created yet."""
    name = run_name(datetime.now(UTC), secrets.token_hex(4))
    return RunPlace(settings.project, name, settings.prefix, settings.location, folder.absolute())


def check_before(settings: CertifySettings) -> dict[str, dict[str, str]]:
    """Check servers, prefix and bounds, and return facts about the servers; nothing is written.

    Raises CertificationRefused, StoreUnavailable.
    """
    with closing(store_of(settings)) as store:
        store.check(settings.allow_eviction)
        check_prefix(store, settings.prefix)
        check_bounds(settings, store)
        return {part: dict(facts) for part, facts in server_facts(settings, store).items()}


def certify(settings: CertifySettings, place: RunPlace, progress: Progress) -> Certificate:
    """Put the job through the faults on these servers, judge the outcome, and remove everything again.

    Raises CertificationRefused, StoreUnavailable, PubSubUnavailable, PubSubRefused, GoogleAPICallError if the run
    could not begin, or its outcome not be read. Resources are removed in any case.
    """
    facts = check_before(settings)
    plan, began, began_s = fault_plan(settings), datetime.now(UTC), time.monotonic()
    with certification(settings, place, plan, progress) as exercise:
        topic = place.names.events
        with audit_subscription(place.project, topic) as audit:
            evidence = exercise.run(plan.faults)
            progress("judging: the log is replayed and compared bit for bit")
            checks = verdict(exercise, evidence, collect(audit))
        figures = dict(stream_figures(exercise, evidence))
        latency = latency_figures(evidence.alerts, exercise.faults)
    return Certificate(
        certified=all(check.holds for check in checks),
        run=place.run,
        began_at=began.isoformat(timespec="seconds"),
        took_s=round(time.monotonic() - began_s, 1),
        servers=facts,
        stream=figures,
        faults=exercise.faults,
        left_out=list(plan.left_out),
        latency_ms=latency,
        checks=list(checks),
        failures=exercise.failures,
        not_shown=list(NOT_SHOWN),
    )


@contextmanager
def certification(
    settings: CertifySettings, place: RunPlace, plan: FaultPlan, progress: Progress
) -> Iterator[Exercise]:
    """Create the resources, proxies and the job of a run; whatever happens, they are gone afterwards."""
    with closing(store_of(settings)) as store, ExitStack() as stack:
        stack.enter_context(kept_alive(store, place))
        stack.callback(_removed, place, store, progress)
        progress(f"creating topics, subscriptions and a dataset named {place.run}")
        use_case = place.use_case()
        furnish(place, certification_bundle(use_case, datetime.now(UTC)))
        system = _system(settings, place, use_case, stack)
        seconds = len(plan.faults) * (FLOW_S + settings.outage_s)
        stream = workload(settings.events, settings.seed, time.time_ns() // 1_000, seconds)
        balances = BalanceReader(system.store.twin(), use_case, place.prefix, stream.groups)
        stack.callback(balances.reader.close)
        until_s = time.monotonic() + 60 * settings.minutes
        yield Exercise(place, use_case, stream, system, balances, until_s, progress)


def _removed(place: RunPlace, store: RedisStore, progress: Progress) -> None:
    progress(f"removing everything named {place.run}")
    remove(place.project, place.run, place.prefix, store)


def _system(settings: CertifySettings, place: RunPlace, use_case: UseCase, stack: ExitStack) -> FaultySystem:
    """Start the proxies and prepare the job that goes through them; it is started by the exercise."""
    store = store_of(settings)
    stack.callback(store.close)
    environment = {**os.environ, "REDIS_URL": store.reach.url}
    environment.pop(SECRET.variable, None)  # its password is in the URL by now
    redis = google = None
    if can_proxy_redis(settings):
        redis = stack.enter_context(RedisProxy(store.reach.url, _tls(store.reach)))
        environment["REDIS_URL"] = redis.url
    if not has_proxy():
        google = stack.enter_context(GoogleProxy(os.environ))
        environment |= google.environment
    job = JobProcess(
        place.folder, _flags(settings, place, use_case, redis is not None), environment=environment
    )
    stack.callback(job.end)
    return FaultySystem(job, redis, google, store, settings)


def _tls(reach: Reach) -> ssl.SSLContext | None:
    return tls_context(reach) if reach.url.startswith("rediss:") else None


def _flags(settings: CertifySettings, place: RunPlace, use_case: UseCase, is_proxied: bool) -> list[str]:
    """Return the flags of the job; the address of Redis, which may hold a password, is in its environment."""
    flags = {
        "--project": place.project,
        "--dataset": place.run,
        "--use-case": use_case.file,
        "--bundle": place.bundles,
        "--prefix": place.prefix,
        "--workers": str(settings.workers),
        "--batch": str(settings.batch),
        "--redis-replicas": str(settings.redis_replicas),
    }
    if not is_proxied:
        files = {
            "--redis-ca-file": settings.redis_ca_file,
            "--redis-cert-file": settings.redis_cert_file,
            "--redis-key-file": settings.redis_key_file,
        }
        flags |= {flag: file for flag, file in files.items() if file}
    words = [word for flag in flags.items() for word in flag]
    switches = {"--redis-cluster": settings.redis_cluster, "--allow-eviction": settings.allow_eviction}
    return [*words, *(flag for flag, is_on in switches.items() if is_on)]
