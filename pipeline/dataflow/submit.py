"""Jobs submitted to Dataflow, as new ones or in place of a running one, and watched until they run."""

from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from export import storage
from pipeline.dataflow import jobs
from pipeline.dataflow.jobs import Facts, Place, Tell
from pipeline.dataflow.plan import Plan
from pipeline.job.beam_options import DATAFLOW, beam_options
from pipeline.job.graph import stream
from pipeline.job.preflight import note_start
from pipeline.runtime.checks import demand
from pipeline.runtime.errors import CannotStart

START_TIMEOUT_S = 600.0  # workers take one to three minutes to come up


@dataclass(frozen=True)
class Submitted:
    """A job that Dataflow has taken."""

    job: Facts
    console: str


def submit(plan: Plan, *, wait: bool, tell: Tell) -> Submitted:
    """Submit the job of a plan; with `wait`, return once it runs, and tell its states.

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
    facts = started(launch.place, job_id, tell) if wait else Facts.of(jobs.whole(launch.place, job_id))
    return Submitted(facts, launch.place.console(job_id))


def started(place: Place, job_id: str, tell: Tell) -> Facts:
    """Wait until the job runs. Raises CannotStart, with Dataflow's messages, if it does not."""
    facts = jobs.wait(place, job_id, {"RUNNING"}, START_TIMEOUT_S, tell)
    if facts.state != "RUNNING":
        messages = jobs.errors(place, job_id) or ["it says nothing; look at its page"]
        reasons = "\n".join(f"Dataflow: {line}" for line in messages)
        raise CannotStart(f"{facts.name} ({job_id}) is {facts.state}\n{reasons}\n{place.console(job_id)}")
    return facts
