"""Dataflow: jobs with names, labels and states, created, listed, updated, drained and cancelled.

A job moves on by one state whenever it is read, so nothing here depends on time. A replacement in place is compared
with the job that it replaces, as the service does: if steps are missing it fails, and the old job goes on. In a
parallel update both run, and the old job is drained once the new one runs.
"""

import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from apache_beam.portability.api import beam_runner_api_pb2
from google.cloud import dataflow
from google.cloud.dataflow import JobState

from deploy.local.gcp.web import Answer, HttpRequest, RequestRefused, Route, as_json

NEXT = {  # the state that follows by itself
    JobState.JOB_STATE_QUEUED: JobState.JOB_STATE_RUNNING,
    JobState.JOB_STATE_DRAINING: JobState.JOB_STATE_DRAINED,
    JobState.JOB_STATE_CANCELLING: JobState.JOB_STATE_CANCELLED,
}
REQUESTS = {  # requested state -> (states from which it may be requested, the state that follows)
    JobState.JOB_STATE_DRAINING: ({JobState.JOB_STATE_RUNNING}, JobState.JOB_STATE_DRAINING),
    JobState.JOB_STATE_CANCELLED: (
        {JobState.JOB_STATE_QUEUED, JobState.JOB_STATE_RUNNING, JobState.JOB_STATE_DRAINING},
        JobState.JOB_STATE_CANCELLING,
    ),
}
ACTIVE = {*NEXT, JobState.JOB_STATE_RUNNING}
NAME = re.compile(r"[a-z]([-a-z0-9]{0,1022}[a-z0-9])?")
LABELS = re.compile(r"[a-z][a-z0-9_-]{0,62}=[a-z0-9_-]{0,63}")
SHORT_VIEW = ("environment", "steps", "pipeline_description")  # left out unless the whole job is requested
PAGE = 100
PARALLEL = "update_strategy_parallel_job_update"
OVERLAP = "parallel_replace_job_min_parallel_pipelines_duration"
DURATION = re.compile(r"\d+[smh]")


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
            Route("GET", jobs + "/{id}/messages", self._list_messages),
        ]

    def _create(self, request: HttpRequest) -> Answer:
        job = dataflow.Job.from_json(request.body, ignore_unknown_fields=True)
        job.project_id, job.location = request.path["project"], request.path["region"]
        with self._lock:
            for other in self._named(job):
                if job.client_request_id and other.client_request_id == job.client_request_id:
                    return _answer(other)
                if other.current_state in ACTIVE and other.id != job.replace_job_id:
                    raise RequestRefused(
                        "ALREADY_EXISTS", f"There is already an active job named {job.name}: {other.id}"
                    )
            self._check(job)
            now = datetime.now(UTC)
            job.id = f"{now:%Y-%m-%d_%H_%M_%S}-{len(self.jobs) + 1:019d}"
            _set_state(job, JobState.JOB_STATE_QUEUED)
            job.create_time = job.current_state_time = now
            self.jobs[job.id] = job
        return _answer(job)

    def _named(self, job: dataflow.Job) -> list[dataflow.Job]:
        place = (job.project_id, job.location, job.name)
        return [each for each in self.jobs.values() if (each.project_id, each.location, each.name) == place]

    def _check(self, job: dataflow.Job) -> None:
        """Refuse a job that the service would not take."""
        if not NAME.fullmatch(job.name):
            raise RequestRefused("INVALID_ARGUMENT", f"{job.name!r} is no name for a job")
        for key, value in job.labels.items():
            if not LABELS.fullmatch(f"{key}={value}"):
                raise RequestRefused("INVALID_ARGUMENT", f"label {key}={value} is not allowed")
        self._transforms(job)  # refuses a pipeline that is missing or cannot be read
        if not job.replace_job_id:
            return
        old = self.jobs.get(job.replace_job_id)
        if old is None or old.name != job.name or old.current_state != JobState.JOB_STATE_RUNNING:
            raise RequestRefused(
                "FAILED_PRECONDITION", f"{job.replace_job_id} is no running job named {job.name}"
            )
        if is_parallel(job):
            _check_parallel(job)

    def _transforms(self, job: dataflow.Job) -> dict[str, str]:
        """Return the unique names of the job's transforms, by id."""
        options = job.environment.sdk_pipeline_options or {}
        try:
            staged = self._read(options["options"]["pipelineUrl"])
        except (KeyError, RequestRefused) as error:
            raise RequestRefused("INVALID_ARGUMENT", f"the staged pipeline cannot be read: {error}") from None
        components = beam_runner_api_pb2.Pipeline.FromString(staged).components
        names = {id: each.unique_name for id, each in components.transforms.items()}
        return {id: name for id, name in names.items() if name and not name.startswith("ref_")}

    def _moved_on(self, job: dataflow.Job) -> dataflow.Job:
        """Move a job on by one state and return it."""
        with self._lock:
            state = NEXT.get(job.current_state)
            if state is None and self._is_superseded(job):
                state = JobState.JOB_STATE_DRAINING
            if state is None:
                return job
            old = self.jobs[job.replace_job_id] if job.replace_job_id else None
            if state == JobState.JOB_STATE_RUNNING and old and not self._replaces(job, old):
                state = JobState.JOB_STATE_FAILED
            elif state == JobState.JOB_STATE_RUNNING and old and not is_parallel(job):
                _set_state(old, JobState.JOB_STATE_UPDATED)
                old.replaced_by_job_id = job.id
            _set_state(job, state)
            job.current_state_time = datetime.now(UTC)
            return job

    def _is_superseded(self, job: dataflow.Job) -> bool:
        """Return whether a job runs that has been started beside this running one to replace it."""
        running = JobState.JOB_STATE_RUNNING
        return job.current_state == running and any(
            each.replace_job_id == job.id and each.current_state == running and is_parallel(each)
            for each in self.jobs.values()
        )

    def _replaces(self, job: dataflow.Job, old: dataflow.Job) -> bool:
        """Return whether the new job can take over: in place every step must be there, by its name or a mapped one."""
        if is_parallel(job):
            return True
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

    def _list(self, request: HttpRequest) -> Answer:
        wanted = request.query.get("filter", "ALL")
        first = int(request.query.get("pageToken") or 0)
        size = int(request.query.get("pageSize") or 0) or PAGE
        with self._lock:
            in_place = [each for each in self.jobs.values() if each.project_id == request.path["project"]
                        and each.location == request.path.get("region", each.location)]  # fmt: skip
            jobs = [_short(self._moved_on(each)) for each in in_place]
        if wanted in ("ACTIVE", "3"):
            jobs = [each for each in jobs if each.current_state in ACTIVE]
        elif wanted in ("TERMINATED", "2"):
            jobs = [each for each in jobs if each.current_state not in ACTIVE]
        token = str(first + size) if first + size < len(jobs) else ""
        listed = dataflow.ListJobsResponse(jobs=jobs[first : first + size], next_page_token=token)
        return Answer(
            dataflow.ListJobsResponse.to_json(listed).encode(), 200, {"Content-Type": "application/json"}
        )

    def _job(self, request: HttpRequest) -> dataflow.Job:
        job = self.jobs.get(request.path["id"])
        if job is None or job.project_id != request.path["project"]:
            raise RequestRefused(
                "NOT_FOUND", f"Information about job {request.path['id']} could not be found."
            )
        if job.location != request.path["region"]:
            raise RequestRefused("NOT_FOUND", f"job {job.id} is in another region")
        return job

    def _get(self, request: HttpRequest) -> Answer:
        job = self._moved_on(self._job(request))
        if request.query.get("view") not in ("JOB_VIEW_ALL", "2"):
            return _answer(_short(job))
        full = dataflow.Job(job)
        full.pipeline_description = dataflow.PipelineDescription(
            original_pipeline_transform=[
                dataflow.TransformSummary(id=id, name=name) for id, name in self._transforms(job).items()
            ]
        )
        return _answer(full)

    def _update(self, request: HttpRequest) -> Answer:
        job = self._job(request)
        asked = dataflow.Job.from_json(request.body, ignore_unknown_fields=True).requested_state
        if asked not in REQUESTS:
            raise RequestRefused("INVALID_ARGUMENT", f"{JobState(asked).name} may not be requested")
        before, state = REQUESTS[asked]
        with self._lock:
            if job.current_state not in before:
                now = JobState(job.current_state).name
                raise RequestRefused(
                    "FAILED_PRECONDITION", f"job {job.id} is {now}, {asked.name} is not possible"
                )
            _set_state(job, state)
            job.requested_state = asked
        return _answer(_short(job))

    def _list_messages(self, request: HttpRequest) -> Answer:
        texts = self._messages.get(self._job(request).id, [])
        messages = [
            {"id": str(i), "messageText": text, "messageImportance": "JOB_MESSAGE_ERROR"}
            for i, text in enumerate(texts)
        ]
        return as_json({"jobMessages": messages})


def is_parallel(job: dataflow.Job) -> bool:
    """Return whether the job runs beside the one that it replaces."""
    return PARALLEL in job.environment.service_options


def _check_parallel(job: dataflow.Job) -> None:
    """Refuse a parallel update without an overlap, or without Streaming Engine."""
    options = dict(each.partition("=")[::2] for each in job.environment.service_options)
    overlap = options.get(OVERLAP)
    if overlap is None:
        raise RequestRefused("INVALID_ARGUMENT", f"The parallel replace job requires you to set {OVERLAP}")
    if not DURATION.fullmatch(overlap):
        raise RequestRefused("INVALID_ARGUMENT", f"An invalid duration string {overlap} is set for {OVERLAP}")
    if "enable_streaming_engine" not in job.environment.experiments:
        raise RequestRefused(
            "INVALID_ARGUMENT", "Parallel replace job is only supported for Streaming Engine"
        )


def _set_state(job: dataflow.Job, state: int) -> None:
    """Set a job's state; the members of JobState are integers for the type checker."""
    job.current_state = JobState(state)


def _short(job: dataflow.Job) -> dataflow.Job:
    """Return the job without the parts that only the full view has."""
    short = dataflow.Job(job)
    for name in SHORT_VIEW:
        dataflow.Job.pb(short).ClearField(name)
    return short


def _answer(job: dataflow.Job) -> Answer:
    return Answer(dataflow.Job.to_json(job).encode(), 200, {"Content-Type": "application/json"})
