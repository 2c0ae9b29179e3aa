"""What is looked at before a pipeline is built: everything the job needs is there, reachable and of one kind.

All at once, so that it takes seconds whatever is wrong; `CannotStart` then says all of it.
"""

from collections.abc import Callable
from contextlib import closing

from features.usecase import BadUseCase, UseCase
from pipeline.bigquery import tables
from pipeline.bigquery.client import query_client
from pipeline.bigquery.log_end import Tail
from pipeline.engine.live_model import check_bundle
from pipeline.engine.start_check import begin, check_store
from pipeline.job.settings import Job
from pipeline.pubsub.client import Publisher, Subscription
from pipeline.runtime import prometheus
from pipeline.runtime.errors import CannotStart
from pipeline.runtime.probe import outcomes
from pipeline.stores.connect import store_of

TIMEOUT_S = 6.0  # for all checks together; each answers within milliseconds when all is well

# (setting, whether it will do, what is expected)
LIMITS: tuple[tuple[str, Callable[[Job], bool], str], ...] = (
    ("project", lambda job: bool(job.project), "the id of a Google Cloud project"),
    ("dataset", lambda job: bool(job.dataset), "the name of a BigQuery dataset"),
    ("prefix", lambda job: bool(job.prefix), "some text before keys in Redis"),
    ("batch", lambda job: 1 <= job.batch <= 20_000, "1 to 20000 messages"),
    ("workers", lambda job: 1 <= job.workers <= 64, "1 to 64 processes"),
    ("metrics_port", lambda job: job.metrics_port is None or 1 <= job.metrics_port <= 65_000, "1 to 65000"),
    ("generation_s", lambda job: job.generation_s >= 1, "at least 1 second"),
)


def check(job: Job) -> None:
    """Raises CannotStart within seconds unless the job could run now."""
    wrong = [
        f"--{name.replace('_', '-')}: found {getattr(job, name)!r}, expected {expected}"
        for name, is_good, expected in LIMITS
        if not is_good(job)
    ]
    try:
        use_case = job.use_case
    except BadUseCase as error:
        wrong.append(str(error))
    if not wrong:
        found = outcomes(_parts(job.with_paths(), use_case), TIMEOUT_S)
        wrong = [f"{each.name}: {each.fault}" for each in found if each.fault]
    if wrong:
        raise CannotStart("\n".join(wrong))


def _parts(job: Job, use_case: UseCase) -> dict[str, Callable[[], object]]:
    """What to try, by what to call it."""
    parts: dict[str, Callable[[], object]] = {
        "bundle": lambda: check_bundle(use_case, job.bundle),
        "Redis": lambda: _check_store(job, use_case),
        "subscription": lambda: Subscription(job.subscription).check(),
        "tables": lambda: tables.check(query_client(job.project), job.dataset),
    }
    if job.metrics_port:
        host, port = job.metrics_host, job.metrics_port
        parts["metrics"] = lambda: prometheus.check(host, port)
    for topic in (job.alerts_topic, job.dead_letters_topic):
        parts[f"topic {topic}"] = lambda topic=topic: Publisher().check(topic)
    return parts


def _check_store(job: Job, use_case: UseCase) -> None:
    """It can be reached, and it is neither empty by mistake nor damaged."""
    with closing(store_of(job)) as store:
        store.check(job.allow_eviction)
        check_store(store, use_case, job.prefix, job.allow_empty_store, tail_of(job))


def note_start(job: Job) -> None:
    """Note that the job begins. Raises StoreUnavailable, SinkUnavailable."""
    with closing(store_of(job)) as store:
        begin(store, job.use_case, job.prefix, tail_of(job))


def tail_of(job: Job) -> Tail:
    """The end of the job's log."""
    return Tail(job.project, job.dataset, job.use_case)
