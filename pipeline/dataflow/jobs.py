"""Jobs on Dataflow, through its API: listed, found by name, waited for, drained, cancelled.

With DATAFLOW_EMULATOR_HOST set (a URL with the word localhost, which is how Beam knows a local one), everything
goes to a local server, without credentials.
"""

import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from typing import Any

import google.auth
from google.api_core.exceptions import NotFound, ServiceUnavailable
from google.auth.credentials import AnonymousCredentials
from google.cloud import dataflow
from google.cloud.dataflow import JobState, JobView

from features.errors import Refused

EMULATOR = "DATAFLOW_EMULATOR_HOST"
TIMEOUT_S = 20.0  # of one call
POLL_S = (0.1, 10.0)  # between two looks at a job: at first, at most
ENDED = frozenset({"DONE", "FAILED", "CANCELLED", "UPDATED", "DRAINED"})
ENDINGS = {  # what is asked for, and what then becomes of the job
    "drain": (JobState.JOB_STATE_DRAINING, "DRAINED"),
    "cancel": (JobState.JOB_STATE_CANCELLED, "CANCELLED"),
}
Filter = dataflow.ListJobsRequest.Filter


class NoSuchJob(Refused):
    """There is no job of this name or id in this project and region, or it has ended."""


@dataclass(frozen=True)
class Facts:
    """One job. `state` is RUNNING, DRAINING, ...; `model` is that of the start: a job takes over later ones."""

    id: str
    name: str
    state: str
    created_at: str  # RFC 3339, UTC
    use_case: str
    fingerprint: str
    model: str
    labels: dict[str, str]

    @classmethod
    def of(cls, job: dataflow.Job) -> "Facts":
        labels = dict(job.labels)
        own = {name: labels.get(name, "") for name in ("use_case", "fingerprint", "model")}
        created_at = job.create_time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if job.create_time else ""
        return cls(job.id, job.name, short(job.current_state), created_at, labels=labels, **own)

    @property
    def is_active(self) -> bool:
        return self.state not in ENDED


OnState = Callable[[Facts], None]


@dataclass(frozen=True)
class Place:
    """A project and a region; the names of jobs are unique there."""

    project: str
    region: str

    def __str__(self) -> str:
        return f"{self.project} in {self.region}"

    def console(self, job_id: str) -> str:
        """Return the address of a job's page in the console."""
        where = f"https://console.cloud.google.com/dataflow/jobs/{self.region}/{job_id}"
        return f"{where}?project={self.project}"


def short(state: int) -> str:
    """RUNNING for JOB_STATE_RUNNING."""
    return str(JobState(state).name).removeprefix("JOB_STATE_")


def listed(place: Place, *, ended: bool = False, everyones: bool = False) -> list[Facts]:
    """List the jobs that riskstream started, the newest first; also `ended` ones, and `everyones`."""
    request = dataflow.ListJobsRequest(
        project_id=place.project, location=place.region, filter=Filter.ALL if ended else Filter.ACTIVE
    )
    with _jobs() as client:
        jobs = [Facts.of(job) for job in client.list_jobs(request=request, retry=None, timeout=TIMEOUT_S)]
    ours = [each for each in jobs if everyones or "riskstream" in each.labels]
    return sorted(ours, key=lambda each: (each.created_at, each.id), reverse=True)


def running(place: Place, name: str) -> Facts | None:
    """Return the active job of this name, of which there is one at most."""
    active = listed(place, everyones=True)
    return next((each for each in active if each.name == name and each.is_active), None)


def find(place: Place, name_or_id: str) -> Facts:
    """Find the active job of this name or id. Raises NoSuchJob."""
    active = [each for each in listed(place, everyones=True) if each.is_active]
    for each in active:
        if name_or_id in (each.name, each.id):
            return each
    names = ", ".join(each.name for each in active) or "none"
    raise NoSuchJob(f"found no active job {name_or_id} of {place}; active are: {names}")


def whole(place: Place, job_id: str) -> dataflow.Job:
    """Read everything that Dataflow holds about a job. Raises NoSuchJob."""
    request = dataflow.GetJobRequest(
        project_id=place.project, location=place.region, job_id=job_id, view=JobView.JOB_VIEW_ALL
    )
    try:
        with _jobs() as client:
            return client.get_job(request=request, retry=None, timeout=TIMEOUT_S)
    except NotFound as error:
        raise NoSuchJob(f"{job_id} of {place}: {error.message}") from error


def end(place: Place, job_id: str, how: str) -> None:
    """Request the end of a job, `how` being a key of ENDINGS."""
    request = dataflow.UpdateJobRequest(
        project_id=place.project, location=place.region, job_id=job_id,
        job=dataflow.Job(requested_state=ENDINGS[how][0]),
    )  # fmt: skip
    with _jobs() as client:
        client.update_job(request=request, retry=None, timeout=TIMEOUT_S)


def wait(place: Place, job_id: str, states: Collection[str], timeout_s: float, on_state: OnState) -> Facts:
    """Wait until the job is in one of these states, has ended, or the time is over; pass on each new state."""
    until_s, pause_s, before = time.monotonic() + timeout_s, POLL_S[0], ""
    while True:
        facts = Facts.of(whole(place, job_id))
        if facts.state != before:
            on_state(facts)
        before = facts.state
        if facts.state in states or not facts.is_active or time.monotonic() >= until_s:
            return facts
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, POLL_S[1])


def errors(place: Place, job_id: str) -> list[str]:
    """Read the error messages of a job."""
    request = dataflow.ListJobMessagesRequest(
        project_id=place.project, location=place.region, job_id=job_id,
        minimum_importance=dataflow.JobMessageImportance.JOB_MESSAGE_ERROR,
    )  # fmt: skip
    with dataflow.MessagesV1Beta3Client(**_options()) as client:
        messages = client.list_job_messages(request=request, retry=None, timeout=TIMEOUT_S)
        return [message.message_text for message in messages]


def demand_credentials() -> None:
    """Demand credentials at once: parts would miss them later, some after long retries.

    Raises DefaultCredentialsError.
    """
    if not os.environ.get(EMULATOR):
        google.auth.default()


@contextmanager
def _jobs() -> Iterator[dataflow.JobsV1Beta3Client]:
    """Open the client. Raises ServiceUnavailable also where a local server does not run."""
    with dataflow.JobsV1Beta3Client(**_options()) as client:
        try:
            yield client
        except OSError as error:  # gRPC has errors of its own
            where = os.environ.get(EMULATOR)
            raise ServiceUnavailable(f"Dataflow at {where} ({EMULATOR}): is it running?") from error


def _options() -> dict[str, Any]:
    url = os.environ.get(EMULATOR)
    if not url:
        return {}
    return {
        "credentials": AnonymousCredentials(), "transport": "rest", "client_options": {"api_endpoint": url},
    }  # fmt: skip
