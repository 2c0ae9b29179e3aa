"""The parts that a process has once, however many pipelines and threads it runs: store, model, puller, sinks.

Each is built when a step first asks for it, from the job's settings alone.
"""

import threading
from contextlib import ExitStack
from functools import cached_property, partial
from pathlib import Path

from pipeline.engine.live_model import LiveModel
from pipeline.job.deliveries import Deliveries
from pipeline.job.job import Job
from pipeline.job.sinks import Sinks
from pipeline.operations import gauges
from pipeline.owners.member import Member
from pipeline.pubsub.client import Subscription
from pipeline.pubsub.puller import Puller
from pipeline.runtime import liveness, tracing, undelivered, watchdog
from pipeline.runtime.metrics import OF_JOB
from pipeline.runtime.process_tuning import tune_process
from pipeline.runtime.prometheus import Endpoint
from pipeline.stores.connect import cold_since_us, guarded_store_of, store_of
from pipeline.stores.guarded_store import GuardedStore

# What is committed and has no row yet comes again after a crash, and must still be found in its record then: hence half
# of the allowed lateness, and for use cases that allow none, this.
LEAST_WAIT_S = 60.0

_lock = threading.RLock()  # building a part asks for another
_workers: dict[Job, "Worker"] = {}


class Worker:
    """The parts of a job in this process."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.use_case = job.use_case
        tracing.start()
        tune_process()
        self._watched = ExitStack()
        self._watched.enter_context(watchdog.watching(job.limits, Path(job.state)))

    @cached_property
    def _store(self) -> GuardedStore:
        return guarded_store_of(self.job, self.use_case, "job", undelivered.total)

    @cached_property
    def _endpoint(self) -> Endpoint | None:
        job = self.job
        if not job.metrics_port:
            return None
        read = [partial(gauges.redis_memory, self._store)]
        if job.subscription:
            read.append(partial(gauges.backlog, job.subscription))
        return Endpoint(job.metrics_host, job.metrics_port, OF_JOB, read)

    @cached_property
    def _model(self) -> LiveModel:
        cold_us = cold_since_us(self.job, self.use_case)
        owners = self._member.owners if self._member else None
        model = LiveModel(
            self.use_case, self.job.bundle, self._store, self.job.prefix, cold_us=cold_us, owners=owners
        )
        if self._member:
            self._member.start()  # not before all compiled code is loaded: others wait for its answers
        return model

    @cached_property
    def _member(self) -> Member | None:
        """This worker among those that share records; None where there are none to share but the subjects'."""
        job = self.job
        if not job.owners or len(self.use_case.entities) < 2:
            return None
        return Member(self._store, store_of(job), self.use_case, job.prefix)

    @cached_property
    def _puller(self) -> Puller:
        return Puller(Subscription(self.job.subscription), self.job.batch)

    @cached_property
    def _deliveries(self) -> Deliveries:
        puller = Puller(Subscription(self.job.subscription), self.job.batch, extends=True)
        longest_s = max(LEAST_WAIT_S, self.use_case.lateness_us / 1e6 / 2)
        return Deliveries(puller, self._sinks.rows.crowded, self.job.most_unacknowledged, longest_s)

    @cached_property
    def _sinks(self) -> Sinks:
        return Sinks(self.job)

    @property
    def model(self) -> LiveModel:
        with liveness.call("load the model and open Redis", is_start=True), _lock:
            _ = self._endpoint  # a process that assesses serves its metrics
            return self._model

    @property
    def puller(self) -> Puller:
        """Messages for a source that acknowledges them itself."""
        with _lock:
            self._be_ready()
            return self._puller

    @property
    def deliveries(self) -> Deliveries:
        """Batches that are acknowledged once they are delivered, for a source that lasts as long as the process."""
        with _lock:
            self._be_ready()
            return self._deliveries

    @property
    def sinks(self) -> Sinks:
        with _lock:
            return self._sinks

    def _be_ready(self) -> None:
        """Load the model before a message is pulled: it would wait for that here, and another worker has time."""
        if not vars(self).get("_model"):
            _ = self.model

    def close(self) -> None:
        """Close the parts that were built."""
        with liveness.call("close the connections"):
            for part in ("_endpoint", "_model", "_puller", "_deliveries", "_sinks", "_member", "_store"):
                if vars(self).get(part):
                    vars(self).pop(part).close()
        self._watched.close()


def of(job: Job) -> Worker:
    """Return this process's worker for the job."""
    with _lock:
        return _workers.setdefault(job, Worker(job))


def close(job: Job) -> None:
    """Close this process's worker for the job; another `of` builds a new one."""
    with _lock:
        worker = _workers.pop(job, None)
    if worker:
        worker.close()
