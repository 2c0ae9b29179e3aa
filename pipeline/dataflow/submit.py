"""Jobs submitted to Dataflow, as new ones or to replace a running one, and watched until they have done so."""

from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from export import storage
from pipeline.dataflow import jobs
from pipeline.dataflow.jobs import Facts, OnState, Place
from pipeline.dataflow.plan import Plan
from pipeline.dataflow.preflight import Replacement
from pipeline.job.beam_options import DATAFLOW, beam_options
from pipeline.job.graph import stream
from pipeline.job.preflight import note_start
from pipeline.runtime.checks import demand
from pipeline.runtime.errors import CannotStart

START_TIMEOUT_S = 600.0  # workers take one to three minutes to come up


DRAIN_TIMEOUT_S = 3_600.0  # a drain works off what it has pulled, some minutes at most
SECONDS = {"s": 1, "m": 60, "h": 3_600}  # in a unit of a duration


@dataclass(frozen=True)
class Submitted:
    """A job that Dataflow has taken; `replaced` is the job that ran beside it, once somebody has waited for its end."""

    job: Facts
    console: str
    replaced: Facts | None = None

    @property
    def is_done(self) -> bool:
        """True unless the job that is replaced has ended otherwise than drained."""
        return self.replaced is None or self.replaced.state == "DRAINED"


def submit(plan: Plan, *, wait: bool, on_state: OnState) -> Submitted:
    """Submit the job of a plan; with `wait`, return once it runs and a job beside it has drained, and pass on states.

    Raises CannotStart when a check has failed, or when it does not run.
    """
    demand(plan.preflight.checks)
    launch = plan.launch
    if not launch.settings.skip_redis_check:
        note_start(launch.job)
    storage.without_credentials()
    pipeline = beam.Pipeline(options=beam_options(launch.beam_args))
    stream(pipeline, launch.job, DATAFLOW)
    result: Any = pipeline.run()  # a DataflowPipelineResult
    job_id = result.job_id()
    console = launch.place.console(job_id)
    if not wait:
        return Submitted(Facts.of(jobs.whole(launch.place, job_id)), console)
    facts, replaces = started(launch.place, job_id, on_state), launch.replaces
    replaced = drained(launch.place, replaces, on_state) if replaces and replaces.overlap else None
    return Submitted(facts, console, replaced)


def drained(place: Place, replaces: Replacement, on_state: OnState) -> Facts:
    """Wait until the job that ran beside the new one has ended, and return what became of it."""
    timeout_s = seconds_of(replaces.overlap) + DRAIN_TIMEOUT_S
    return jobs.wait(place, replaces.old.id, {"DRAINED"}, timeout_s, on_state)


def seconds_of(duration: str) -> float:
    """Return the seconds of a duration such as 90s, 10m or 1h."""
    return float(duration[:-1]) * SECONDS[duration[-1]]


def started(place: Place, job_id: str, on_state: OnState) -> Facts:
    """Wait until the job runs. Raises CannotStart, with Dataflow's messages, if it does not."""
    facts = jobs.wait(place, job_id, {"RUNNING"}, START_TIMEOUT_S, on_state)
    if facts.state != "RUNNING":
        messages = jobs.errors(place, job_id) or ["it says nothing; look at its page"]
        reasons = "\n".join(f"Dataflow: {line}" for line in messages)
        raise CannotStart(f"{facts.name} ({job_id}) is {facts.state}\n{reasons}\n{place.console(job_id)}")
    return facts
