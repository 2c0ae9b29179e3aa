"""Checks before a pipeline is built: all that the job needs is there, can be reached and fits together.

They run at once, so that they take seconds whatever is wrong; `CannotStart` then names every fault.
"""

from collections.abc import Callable
from contextlib import closing
from functools import partial

from features.usecase import BadUseCase, UseCase
from pipeline.bigquery import tables
from pipeline.bigquery.client import query_client
from pipeline.bigquery.log_end import Tail
from pipeline.engine.live_model import check_bundle
from pipeline.engine.start_check import begin, check_store
from pipeline.job.job import Job
from pipeline.pubsub.client import Publisher, Subscription
from pipeline.runtime import prometheus
from pipeline.runtime.errors import CannotStart
from pipeline.runtime.probe import outcomes
from pipeline.runtime.settings import faults
from pipeline.stores.connect import store_of

TIMEOUT_S = 6.0  # for all checks together; each answers within milliseconds when all is well


def check(job: Job) -> None:
    """Raise CannotStart within seconds unless the job could run now."""
    wrong = list(faults(job))
    try:
        use_case = job.use_case
    except BadUseCase as error:
        wrong.append(str(error))
    if not wrong:
        results = outcomes(_probes(job.with_paths(), use_case), TIMEOUT_S)
        wrong = [f"{each.name}: {each.fault}" for each in results if each.fault]
    if wrong:
        raise CannotStart("\n".join(wrong))


def _probes(job: Job, use_case: UseCase) -> dict[str, Callable[[], object]]:
    """Return the calls to try, by the name of what they check."""
    probes: dict[str, Callable[[], object]] = {
        "bundle": lambda: check_bundle(use_case, job.bundle),
        "Redis": lambda: _check_store(job, use_case),
        "subscription": lambda: Subscription(job.subscription).check(),
        "tables": lambda: tables.check(query_client(job.project), job.dataset),
    }
    if job.metrics_port:
        host, port = job.metrics_host, job.metrics_port
        probes["metrics"] = lambda: prometheus.check(host, port)
    for topic in (job.alerts_topic, job.dead_letters_topic):
        probes[f"topic {topic}"] = partial(Publisher().check, topic)
    return probes


def _check_store(job: Job, use_case: UseCase) -> None:
    """Check that Redis can be reached and is neither damaged nor empty by mistake."""
    with closing(store_of(job)) as store:
        store.check(job.allow_eviction)
        check_store(store, use_case, job.prefix, job.allow_empty_store, tail_of(job))


def note_start(job: Job) -> None:
    """Note in the store that the job begins. Raises StoreUnavailable, SinkUnavailable."""
    with closing(store_of(job)) as store:
        begin(store, job.use_case, job.prefix, tail_of(job))


def tail_of(job: Job) -> Tail:
    """Return the end of the job's log."""
    return Tail(job.project, job.dataset, job.use_case)
