"""Dataflow: jobs with names, labels and states, created, listed, updated in place, drained and cancelled.

A job moves one state on whenever somebody looks at it, so nothing here depends on time. A replacement is compared
with the job it replaces as the service does it: it fails, and the old job goes on, if steps are missing.
"""

import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from apache_beam.portability.api import beam_runner_api_pb2
from google.cloud import dataflow
from google.cloud.dataflow import JobState

from deploy.local.gcp.web import Answer, Refused, Request, Route, as_json

NEXT = {  # what a state becomes by itself
    JobState.JOB_STATE_QUEUED: JobState.JOB_STATE_RUNNING,
    JobState.JOB_STATE_DRAINING: JobState.JOB_STATE_DRAINED,
    JobState.JOB_STATE_CANCELLING: JobState.JOB_STATE_CANCELLED,
}
REQUESTS = {  # what may be asked for, from which states, and what the job then is at first
    JobState.JOB_STATE_DRAINING: ({JobState.JOB_STATE_RUNNING}, JobState.JOB_STATE_DRAINING),
    JobState.JOB_STATE_CANCELLED: (
        {JobState.JOB_STATE_QUEUED, JobState.JOB_STATE_RUNNING, JobState.JOB_STATE_DRAINING},
        JobState.JOB_STATE_CANCELLING,
    ),
}
ACTIVE = {*NEXT, JobState.JOB_STATE_RUNNING}
NAME = re.compile(r"[a-z]([-a-z0-9]{0,1022}[a-z0-9])?")
LABELS = re.compile(r"[a-z][a-z0-9_-]{0,62}=[a-z0-9_-]{0,63}")
SHORT_VIEW = ("environment", "steps", "pipeline_description")  # not told unless asked for all
PAGE = 100


class Dataflow:
    """The jobs of all projects and regions; `read` reads an object of Cloud Storage by its gs:// address."""

    def __init__(self, read: Callable[[str], bytes]) -> None:
        self.jobs: dict[str, dataflow.Job] = {}
        self._read = read
        self._messages: dict[str, list[str]] = {}
        self._lock = threading.RLock()
        jobs = "/v1b3/projects/{project}/locations/{region}/jobs"
        self.routes = [
            Route("POST", jobs, self._create),
            Route("GET", jobs, self._list),
            Route("GET", "/v1b3/projects/{project}/jobs:aggregated", self._list),
            Route("GET", jobs + "/{id}", self._get),
            Route("PUT", jobs + "/{id}", self._update),
            Route("GET", jobs + "/{id}/messages", self._told),
        ]

    def _create(self, request: Request) -> Answer:
        job = dataflow.Job.from_json(request.body, ignore_unknown_fields=True)
        job.project_id, job.location = request.path["project"], request.path["region"]
        with self._lock:
            for other in self._named(job):
                if job.client_request_id and other.client_request_id == job.client_request_id:
                    return _answer(other)
                if other.current_state in ACTIVE and other.id != job.replace_job_id:
                    raise Refused(
                        "ALREADY_EXISTS", f"There is already an active job named {job.name}: {other.id}"
                    )
            self._check(job)
            now = datetime.now(UTC)
            job.id = f"{now:%Y-%m-%d_%H_%M_%S}-{len(self.jobs) + 1:019d}"
            job.current_state, job.create_time, job.current_state_time = JobState.JOB_STATE_QUEUED, now, now
            self.jobs[job.id] = job
        return _answer(job)

    def _named(self, job: dataflow.Job) -> list[dataflow.Job]:
        place = (job.project_id, job.location, job.name)
        return [each for each in self.jobs.values() if (each.project_id, each.location, each.name) == place]

    def _check(self, job: dataflow.Job) -> None:
        """Refuses what the service would not take."""
        if not NAME.fullmatch(job.name):
            raise Refused("INVALID_ARGUMENT", f"{job.name!r} is no name for a job")
        for key, value in job.labels.items():
            if not LABELS.fullmatch(f"{key}={value}"):
                raise Refused("INVALID_ARGUMENT", f"label {key}={value} is not allowed")
        self._transforms(job)  # the pipeline is there and can be read
        if not job.replace_job_id:
            return
        old = self.jobs.get(job.replace_job_id)
        if old is None or old.name != job.name or old.current_state != JobState.JOB_STATE_RUNNING:
            raise Refused("FAILED_PRECONDITION", f"{job.replace_job_id} is no running job named {job.name}")

    def _transforms(self, job: dataflow.Job) -> dict[str, str]:
        """The unique names of the job's transforms, by id."""
        told = job.environment.sdk_pipeline_options or {}
        try:
            staged = self._read(told["options"]["pipelineUrl"])
        except (KeyError, Refused) as error:
            raise Refused("INVALID_ARGUMENT", f"the staged pipeline cannot be read: {error}") from None
        components = beam_runner_api_pb2.Pipeline.FromString(staged).components
        names = {id: each.unique_name for id, each in components.transforms.items()}
        return {id: name for id, name in names.items() if name and not name.startswith("ref_")}

    def _moved(self, job: dataflow.Job) -> dataflow.Job:
        """The job, one state on."""
        with self._lock:
            state = NEXT.get(job.current_state)
            if state is None:
                return job
            old = self.jobs[job.replace_job_id] if job.replace_job_id else None
            if state == JobState.JOB_STATE_RUNNING and old and not self._replaces(job, old):
                state = JobState.JOB_STATE_FAILED
            elif state == JobState.JOB_STATE_RUNNING and old:
                old.current_state, old.replaced_by_job_id = JobState.JOB_STATE_UPDATED, job.id
            job.current_state, job.current_state_time = state, datetime.now(UTC)
            return job

    def _replaces(self, job: dataflow.Job, old: dataflow.Job) -> bool:
        """Whether every step of the old job is in the new one, by its own name or a mapped one."""
        new, missing = set(self._transforms(job).values()), []
        for name in self._transforms(old).values():
            for prefix, other in job.transform_name_mapping.items():
                if name == prefix or name.startswith(f"{prefix}/"):
                    name = other + name[len(prefix) :]
            missing += [name] if name and name not in new else []
        if missing:
            names = ", ".join(sorted(missing))
            self._messages[job.id] = [f"Workflow failed. Causes: The new job is missing steps {names}."]
        return not missing

    def _list(self, request: Request) -> Answer:
        wanted = request.query.get("filter", "ALL")
        first = int(request.query.get("pageToken") or 0)
        size = int(request.query.get("pageSize") or 0) or PAGE
        with self._lock:
            own = [each for each in self.jobs.values() if each.project_id == request.path["project"]
                   and each.location == request.path.get("region", each.location)]  # fmt: skip
            found = [_short(self._moved(each)) for each in own]
        if wanted in ("ACTIVE", "3"):
            found = [each for each in found if each.current_state in ACTIVE]
        elif wanted in ("TERMINATED", "2"):
            found = [each for each in found if each.current_state not in ACTIVE]
        token = str(first + size) if first + size < len(found) else ""
        listed = dataflow.ListJobsResponse(jobs=found[first : first + size], next_page_token=token)
        return Answer(
            dataflow.ListJobsResponse.to_json(listed).encode(), 200, {"Content-Type": "application/json"}
        )

    def _found(self, request: Request) -> dataflow.Job:
        found = self.jobs.get(request.path["id"])
        if found is None or found.project_id != request.path["project"]:
            raise Refused("NOT_FOUND", f"Information about job {request.path['id']} could not be found.")
        if found.location != request.path["region"]:
            raise Refused("NOT_FOUND", f"job {found.id} is in another region")
        return found

    def _get(self, request: Request) -> Answer:
        found = self._moved(self._found(request))
        if request.query.get("view") not in ("JOB_VIEW_ALL", "2"):
            return _answer(_short(found))
        whole = dataflow.Job(found)
        whole.pipeline_description = dataflow.PipelineDescription(
            original_pipeline_transform=[
                dataflow.TransformSummary(id=id, name=name) for id, name in self._transforms(found).items()
            ]
        )
        return _answer(whole)

    def _update(self, request: Request) -> Answer:
        found = self._found(request)
        asked = dataflow.Job.from_json(request.body, ignore_unknown_fields=True).requested_state
        if asked not in REQUESTS:
            raise Refused("INVALID_ARGUMENT", f"{JobState(asked).name} may not be asked for")
        before, state = REQUESTS[asked]
        with self._lock:
            if found.current_state not in before:
                now = found.current_state.name
                raise Refused("FAILED_PRECONDITION", f"job {found.id} is {now}, {asked.name} is not possible")
            found.current_state, found.requested_state = state, asked
        return _answer(_short(found))

    def _told(self, request: Request) -> Answer:
        found = self._messages.get(self._found(request).id, [])
        messages = [
            {"id": str(i), "messageText": text, "messageImportance": "JOB_MESSAGE_ERROR"}
            for i, text in enumerate(found)
        ]
        return as_json({"jobMessages": messages})


def _short(job: dataflow.Job) -> dataflow.Job:
    short = dataflow.Job(job)
    for name in SHORT_VIEW:
        dataflow.Job.pb(short).ClearField(name)
    return short


def _answer(job: dataflow.Job) -> Answer:
    return Answer(dataflow.Job.to_json(job).encode(), 200, {"Content-Type": "application/json"})
