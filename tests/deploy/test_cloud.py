"""The local Cloud Storage, Dataflow and Secret Manager, as their own clients meet them."""

from collections.abc import Iterator

import pytest
from apache_beam.portability.api import beam_runner_api_pb2
from google.api_core.exceptions import BadRequest, Conflict, NotFound, PreconditionFailed
from google.auth.credentials import AnonymousCredentials
from google.cloud import dataflow, storage
from google.cloud.dataflow import JobState, JobView

from deploy.local.gcp.server import LocalCloud, serve
from export import storage as files

PROJECT, REGION = "bank-tests", "europe-west1"
ACTIVE = dataflow.ListJobsRequest.Filter.ACTIVE


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCloud]:
    with serve() as cloud:
        for name, value in cloud.environment.items():
            monkeypatch.setenv(name, value)
        yield cloud


@pytest.fixture
def bucket(cloud: LocalCloud) -> storage.Bucket:
    return storage.Client.create_anonymous_client().create_bucket("bank")


def test_objects_are_written_read_listed_copied_and_deleted(bucket: storage.Bucket) -> None:
    small, large = b"one", bytes(range(256)) * 4_096  # the second in four parts
    bucket.blob("a/small").upload_from_string(small, content_type="text/plain")
    with bucket.blob("a/b/large").open("wb", chunk_size=1 << 18) as stream:
        stream.write(large)
    assert bucket.blob("a/small").download_as_bytes() == small
    assert bucket.get_blob("a/small").content_type == "text/plain"
    assert bucket.blob("a/b/large").download_as_bytes(start=1_000, end=1_003) == large[1_000:1_004]
    with bucket.blob("a/b/large").open("rb") as stream:
        assert stream.read() == large
    assert [each.name for each in bucket.list_blobs(prefix="a/")] == ["a/b/large", "a/small"]
    bucket.copy_blob(bucket.blob("a/small"), bucket, "c d")
    assert bucket.blob("c d").download_as_bytes() == small
    bucket.blob("c d").delete()
    assert not bucket.blob("c d").exists()


def test_a_condition_on_the_generation_holds(bucket: storage.Bucket) -> None:
    bucket.blob("pointer").upload_from_string("1", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.blob("pointer").upload_from_string("2", if_generation_match=0)
    assert bucket.blob("pointer").download_as_text() == "1"


def test_what_is_not_there_is_not_found(bucket: storage.Bucket) -> None:
    assert bucket.client.lookup_bucket("nowhere") is None
    with pytest.raises(NotFound):
        bucket.blob("nothing").download_as_bytes()
    with pytest.raises(Conflict):
        bucket.client.create_bucket("bank")


def test_bundles_files_are_kept_there(bucket: storage.Bucket) -> None:
    """Through Beam, as workers and launcher read them."""
    files.write_folder("gs://bank/bundles/b1", {"model": b"m", "manifest.json": b"{}"})
    files.write("gs://bank/bundles/current", b"b1")
    assert files.read("gs://bank/bundles/current") == b"b1"
    assert files.folders_with("gs://bank/bundles", "manifest.json") == ["b1"]
    with pytest.raises(FileNotFoundError):
        files.read("gs://bank/bundles/nothing")


@pytest.fixture
def jobs(cloud: LocalCloud) -> dataflow.JobsV1Beta3Client:
    options = {"api_endpoint": cloud.environment["DATAFLOW_EMULATOR_HOST"]}
    return dataflow.JobsV1Beta3Client(
        credentials=AnonymousCredentials(), transport="rest", client_options=options
    )


def told(
    bucket: storage.Bucket, *steps: str, name: str = "stream", **fields: object
) -> dataflow.CreateJobRequest:
    """A request for a job whose staged pipeline has these steps."""
    pipeline = beam_runner_api_pb2.Pipeline()
    for step in steps:
        pipeline.components.transforms[step].unique_name = step
    blob = bucket.blob("/".join(("staged", *steps)))
    blob.upload_from_string(pipeline.SerializeToString())
    options = {"options": {"pipelineUrl": f"gs://bank/{blob.name}"}}
    environment = dataflow.Environment(sdk_pipeline_options=options)
    job = dataflow.Job(name=name, environment=environment, **fields)
    return dataflow.CreateJobRequest(project_id=PROJECT, location=REGION, job=job)


def state(jobs: dataflow.JobsV1Beta3Client, job: dataflow.Job) -> str:
    request = dataflow.GetJobRequest(project_id=PROJECT, location=REGION, job_id=job.id)
    return jobs.get_job(request=request).current_state.name.removeprefix("JOB_STATE_")


def ask(jobs: dataflow.JobsV1Beta3Client, job: dataflow.Job, wanted: JobState) -> dataflow.Job:
    job_id, asked = job.id, dataflow.Job(requested_state=wanted)
    request = dataflow.UpdateJobRequest(project_id=PROJECT, location=REGION, job_id=job_id, job=asked)
    return jobs.update_job(request=request)


def test_a_job_runs_and_is_drained_or_cancelled(
    bucket: storage.Bucket, jobs: dataflow.JobsV1Beta3Client
) -> None:
    job = jobs.create_job(request=told(bucket, "A"))
    assert job.current_state == JobState.JOB_STATE_QUEUED
    assert state(jobs, job) == "RUNNING"
    assert ask(jobs, job, JobState.JOB_STATE_DRAINING).current_state == JobState.JOB_STATE_DRAINING
    assert state(jobs, job) == "DRAINED"
    with pytest.raises(BadRequest, match="is JOB_STATE_DRAINED"):
        ask(jobs, job, JobState.JOB_STATE_CANCELLED)
    other = jobs.create_job(request=told(bucket, "A"))
    assert ask(jobs, other, JobState.JOB_STATE_CANCELLED).current_state == JobState.JOB_STATE_CANCELLING
    assert state(jobs, other) == "CANCELLED"
    listed = list(
        jobs.list_jobs(request=dataflow.ListJobsRequest(project_id=PROJECT, location=REGION, filter=ACTIVE))
    )
    assert listed == []


def test_a_name_is_given_once_at_a_time(bucket: storage.Bucket, jobs: dataflow.JobsV1Beta3Client) -> None:
    job = jobs.create_job(request=told(bucket, "A", client_request_id="r1"))
    assert jobs.create_job(request=told(bucket, "A", client_request_id="r1")).id == job.id, "the same request"
    with pytest.raises(Conflict, match="already an active job named stream"):
        jobs.create_job(request=told(bucket, "A", client_request_id="r2"))
    assert jobs.create_job(request=told(bucket, "A", name="other")).id != job.id
    with pytest.raises(BadRequest):
        jobs.create_job(request=told(bucket, "A", name="Not A Name"))


def test_a_replacement_takes_over_if_its_steps_fit(
    bucket: storage.Bucket, jobs: dataflow.JobsV1Beta3Client
) -> None:
    old = jobs.create_job(request=told(bucket, "A", "A/B"))
    with pytest.raises(BadRequest, match="no running job"):
        jobs.create_job(request=told(bucket, "A", replace_job_id=old.id))
    assert state(jobs, old) == "RUNNING"
    lacking = jobs.create_job(request=told(bucket, "A", replace_job_id=old.id))
    assert (state(jobs, lacking), state(jobs, old)) == ("FAILED", "RUNNING")
    mapped = told(bucket, "C", "C/B", replace_job_id=old.id, transform_name_mapping={"A": "C"})
    new = jobs.create_job(request=mapped)
    assert (state(jobs, new), state(jobs, old)) == ("RUNNING", "UPDATED")
    request = dataflow.GetJobRequest(
        project_id=PROJECT, location=REGION, job_id=new.id, view=JobView.JOB_VIEW_ALL
    )
    steps = jobs.get_job(request=request).pipeline_description.original_pipeline_transform
    assert sorted(each.name for each in steps) == ["C", "C/B"]


def test_lists_come_in_pages(bucket: storage.Bucket, jobs: dataflow.JobsV1Beta3Client) -> None:
    for i in range(5):
        jobs.create_job(request=told(bucket, "A", name=f"job-{i}"))
    request = dataflow.ListJobsRequest(project_id=PROJECT, location=REGION, page_size=2)
    pager = jobs.list_jobs(request=request)
    assert [job.name for job in pager] == [f"job-{i}" for i in range(5)]
    assert not any(dataflow.Job.pb(job).HasField("environment") for job in pager.jobs)


def test_a_pipeline_must_be_staged(bucket: storage.Bucket, jobs: dataflow.JobsV1Beta3Client) -> None:
    request = told(bucket, "A")
    bucket.blob("staged/A").delete()
    with pytest.raises(BadRequest, match="staged pipeline cannot be read"):
        jobs.create_job(request=request)
