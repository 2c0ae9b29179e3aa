"""Checks before a pipeline is built: everything the job needs is there, reachable and of one kind.

All run at once, so that they take seconds whatever is wrong; `CannotStart` then has a line for each fault.
"""

from contextlib import closing

from features.usecase import BadUseCase
from pipeline.bigquery.log_end import LogEnd
from pipeline.engine import preflight
from pipeline.engine.start_check import begin
from pipeline.job.job import Job
from pipeline.runtime.checks import Check, demand, run_checks
from pipeline.runtime.errors import CannotStart
from pipeline.runtime.settings import faults
from pipeline.stores.connect import store_of

TIMEOUT_S = 6.0  # for all checks together; each answers within milliseconds when all is well


def check(job: Job) -> None:
    """Raise CannotStart within seconds unless the job could run now."""
    wrong = list(faults(job))
    try:
        _ = job.use_case
    except BadUseCase as error:
        wrong.append(str(error))
    if wrong:
        raise CannotStart("\n".join(wrong))
    demand(run_checks(checks(job.with_paths()), TIMEOUT_S))


def checks(job: Job) -> list[Check]:
    """Return the checks of a job with whole paths."""
    use_case = job.use_case
    return [
        preflight.bundle(use_case, job.bundle),
        preflight.redis(job, use_case, job.allow_empty_store, log_end_of(job)),
        preflight.subscription(job.subscription),
        preflight.tables(job.project, job.dataset),
        *preflight.metrics(job.metrics_host, job.metrics_port),
        preflight.topic(job.alerts_topic),
        preflight.topic(job.dead_letters_topic),
    ]


def note_start(job: Job) -> None:
    """Note in the store that the job begins. Raises StoreUnavailable, SinkUnavailable."""
    with closing(store_of(job)) as store:
        begin(store, job.use_case, job.prefix, log_end_of(job))


def log_end_of(job: Job) -> LogEnd:
    """Return the end of the job's log."""
    return LogEnd(job.project, job.dataset, job.use_case)
