"""A job launched, updated, drained and cancelled whole: the real runner and clients against local servers.

What was submitted is read back from them: the job as Dataflow was told it, the pipeline as it was staged.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import pytest
from apache_beam.portability.api import beam_runner_api_pb2
from google.cloud import dataflow
from google.cloud.dataflow import JobState

from commands import dataflow_jobs
from deploy.dataflow import launcher
from deploy.local.gcp import dataflow as local_dataflow
from deploy.local.gcp.server import LocalCloud, serve
from export.bundle import promote, save
from features.usecase import UseCase, parse
from pipeline.bigquery import tables
from pipeline.bigquery.client import query_client
from pipeline.dataflow import submit, update_compatibility
from pipeline.job.steps import Assess, Decode, Send
from pipeline.runtime.errors import BadSettings, CannotStart
from tests.commands import Ended, Run
from tests.pipeline.broker import Broker, broker_of
from tests.pipeline.market import MARKET, market
from tests.pipeline.models import trained
from tests.pipeline.servers import RedisServer

PROJECT = "bank-tests"
BUNDLES = "gs://bank/bundles"
REGION = "europe-west1"
IMAGE = "europe-west1-docker.pkg.dev/bank/riskstream/worker:0.1.0"
ACCOUNT = "riskstream-worker@bank-tests.iam.gserviceaccount.com"
LABELS = Path(__file__).with_name("step_labels.txt")
CODERS = Path(__file__).with_name("step_coders.txt")  # digests, as `riskstream update` compares them


class World(NamedTuple):
    """Every service that a launch talks to."""

    cloud: LocalCloud
    broker: Broker
    redis: RedisServer


@pytest.fixture(scope="module")
def servers(bigquery_environment: Mapping[str, str], redis_server: RedisServer) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch, broker_of("market", PROJECT) as broker, serve() as cloud:
        for name, value in {**bigquery_environment, **cloud.environment}.items():
            patch.setenv(name, value)
        tables.create(query_client(PROJECT), "risk")
        cloud.storage.buckets["bank"] = {}
        save(trained(market()), BUNDLES)
        promote(BUNDLES, trained(market()).manifest.id)
        yield World(cloud, broker, redis_server)


@pytest.fixture
def world(servers: World) -> World:
    """The servers, without jobs, with an empty Redis."""
    servers.redis.client.flushall()
    servers.cloud.dataflow.jobs.clear()
    return servers


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    return Run(monkeypatch, capsys)


@pytest.fixture
def env(world: World, tmp_path: Path) -> Path:
    """An environment file with which a launch works."""
    return written(tmp_path / "env.yaml", env_settings(world))


def env_settings(world: World) -> dict[str, Any]:
    return {
        "project": PROJECT, "region": REGION, "use_case": str(MARKET), "bundle": BUNDLES, "dataset": "risk",
        "redis_url": world.redis.url, "image": IMAGE, "staging": "gs://bank/dataflow",
        "service_account": ACCOUNT, "subnetwork": "workers", "min_workers": 2, "max_workers": 7,
        "machine_type": "n2d-standard-2", "labels": {"team": "risk"}, "allow_empty_store": True,
    }  # fmt: skip


def written(file: Path, settings: dict[str, Any]) -> Path:
    file.write_text(json.dumps(settings))  # JSON is YAML
    return file


def only_job(world: World) -> dataflow.Job:
    (job,) = world.cloud.dataflow.jobs.values()
    return job


def staged(world: World, job: dataflow.Job) -> beam_runner_api_pb2.Pipeline:
    url = job.environment.sdk_pipeline_options["options"]["pipelineUrl"]
    assert url.startswith("gs://bank/dataflow/staging/")
    return beam_runner_api_pb2.Pipeline.FromString(world.cloud.storage.read(url))


def steps_by_name(pipeline: beam_runner_api_pb2.Pipeline) -> dict[str, beam_runner_api_pb2.PTransform]:
    return {
        each.unique_name: each
        for each in pipeline.components.transforms.values()
        if update_compatibility.is_label(each.unique_name)
    }


def checks(ended: Ended) -> dict[str, tuple[str, str]]:
    return {each["name"]: (each["result"], each["detail"]) for each in json.loads(ended.out)["checks"]}


def test_a_launch_submits_the_job_as_told(world: World, run: Run, env: Path) -> None:
    ended = run("launch", "--env", str(env), "--max-workers", "9", "--label", "cost=c7", "--wait", "--json")
    assert ended.code == 0, ended.err
    said, job = json.loads(ended.out), only_job(world)
    assert said["job"] | {"created_at": ""} == {
        "id": job.id, "name": "riskstream-market", "state": "RUNNING", "created_at": "", "use_case": "market",
        "fingerprint": market().fingerprint, "model": trained(market()).manifest.id.lower(),
        "labels": dict(job.labels),
    }  # fmt: skip
    assert said["console"].endswith(f"/{REGION}/{job.id}?project={PROJECT}")
    assert {each["result"] for each in said["checks"]} == {"ok"}
    assert (job.name, job.project_id, job.location) == ("riskstream-market", PROJECT, REGION)
    assert job.type_ == dataflow.JobType.JOB_TYPE_STREAMING
    assert {"team": "risk", "cost": "c7", "riskstream": "job"}.items() <= dict(job.labels).items()
    place, pool = job.environment, job.environment.worker_pools[0]
    assert place.service_account_email == ACCOUNT
    assert set(place.service_options) == {"min_num_workers=2", "streaming_mode_at_least_once"}
    assert "enable_streaming_engine" in place.experiments
    assert (pool.num_workers, pool.autoscaling_settings.max_num_workers) == (2, 9)
    assert pool.autoscaling_settings.algorithm == dataflow.AutoscalingAlgorithm.AUTOSCALING_ALGORITHM_BASIC
    assert pool.machine_type == "n2d-standard-2"
    assert pool.subnetwork == f"regions/{REGION}/subnetworks/workers"
    assert pool.ip_configuration == dataflow.WorkerIPAddressConfiguration.WORKER_IP_PRIVATE
    assert [each.container_image for each in pool.sdk_harness_container_images] == [IMAGE]
    assert not [each for each in pool.packages if each.name.endswith((".tar.gz", ".whl"))], (
        "it is in the image"
    )


def test_the_staged_pipeline_holds_the_graph(world: World, run: Run, env: Path) -> None:
    assert run("launch", "--env", str(env)).code == 0
    pipeline = staged(world, only_job(world))
    steps = steps_by_name(pipeline)
    assert sorted(steps) == LABELS.read_text().split("---\n")[1].split("\n")[:-1]
    coders = sorted(f"{name} {coders}" for name, coders in update_compatibility.steps_of(pipeline).items())
    assert coders == CODERS.read_text().splitlines(), "a running job could not be updated in place"
    read = steps["Messages/ReadFromPubSub/Read"].spec
    assert read.urn == "beam:transform:pubsub_read:v1"
    told = beam_runner_api_pb2.PubSubReadPayload.FromString(read.payload)
    assert told.subscription == world.broker.names.reader(world.broker.names.events)
    assert told.with_attributes
    assert (told.id_attribute, told.timestamp_attribute) == ("", ""), "see decision 0011: all must reach us"
    environments = pipeline.components.environments.values()
    images = {
        beam_runner_api_pb2.DockerPayload.FromString(each.payload).container_image for each in environments
    }
    assert images == {IMAGE}
    for name, kind in {"Decode": Decode, "Assess": Assess, "Send": Send}.items():
        step = step_of(pipeline, steps[name])
        assert isinstance(step, kind)
        assert parse(step.job.use_case_text).fingerprint == market().fingerprint, "the use case travels"
        assert (step.job.bundle, step.job.redis_url) == (BUNDLES, world.redis.url)
        assert step.job.alerts_topic == world.broker.names.alerts
        assert step.job.dead_letters_topic == world.broker.names.dead_letters


def step_of(pipeline: beam_runner_api_pb2.Pipeline, transform: beam_runner_api_pb2.PTransform) -> beam.DoFn:
    """The DoFn as a worker unpickles it."""
    from apache_beam.internal import pickler

    payload = beam_runner_api_pb2.ParDoPayload.FromString(transform.spec.payload)
    return pickler.loads(payload.do_fn.payload)[0]


def test_modes_and_addresses(world: World, run: Run, env: Path) -> None:
    words = ["--mode", "exactly-once", "--public-ips", "--subnetwork", f"regions/{REGION}/subnetworks/shared"]
    assert run("launch", "--env", str(env), *words).code == 0
    place = only_job(world).environment
    assert list(place.service_options) == ["min_num_workers=2"]
    assert place.worker_pools[0].ip_configuration == dataflow.WorkerIPAddressConfiguration.WORKER_IP_PUBLIC
    assert place.worker_pools[0].subnetwork == f"regions/{REGION}/subnetworks/shared"


def test_a_plan_tells_all_and_submits_nothing(world: World, run: Run, env: Path) -> None:
    ended = run("launch", "--env", str(env), "--min-workers", "1", "--plan")
    assert ended.code == 0, ended.err
    shown = dict(line.split(maxsplit=1) for line in ended.out.splitlines() if " " in line)
    assert (shown["min_workers"], shown["public_ips"], shown["network"]) == ("1", "no", "-")
    assert world.cloud.dataflow.jobs == {}
    assert not [url for url in world.cloud.storage.urls() if "/dataflow/" in url and "plan" in url]
    for expected in ("riskstream-market", IMAGE, "1 to 7 of n2d-standard-2", "private addresses only",
                     "Messages/ReadFromPubSub/Read", "--sdk_container_image=", "nothing is counted twice",
                     f"fingerprint {market().fingerprint}", "free in europe-west1", "team=risk"):  # fmt: skip
        assert expected in ended.out
    facts = json.loads(run("launch", "--env", str(env), "--plan", "--json").out)
    assert facts["model"] == trained(market()).manifest.id
    assert facts["settings"]["max_workers"] == 7
    assert facts["resources"]["alerts_topic"] == world.broker.names.alerts
    assert facts["steps"] == LABELS.read_text().split("---\n")[1].split("\n")[:-1]
    assert {each["name"] for each in facts["checks"]} == {
        "use case", "bundle", "subscription", "alerts", "dead letters", "tables", "Redis", "staging",
        "job name", "steps",
    }  # fmt: skip


FAULTS = {
    "bundle": (["--bundle", "gs://bank/nothing"], "found no market.current"),
    "subscription": (["--subscription", "nothing"], "NOT_FOUND"),
    "alerts": (["--alerts-topic", "nothing"], "NOT_FOUND"),
    "dead letters": (["--dead-letters-topic", "nothing"], "NOT_FOUND"),
    "tables": (["--dataset", "nothing"], "riskstream tables"),
    "Redis": (["--redis-url", "redis://127.0.0.1:1"], "Redis at 127.0.0.1:1"),
    "staging": (["--staging", "gs://nowhere/x"], "found no bucket nowhere"),
}


def test_everything_that_is_wrong_is_told_and_nothing_submitted(world: World, run: Run, env: Path) -> None:
    """All at once, with the plan's results; a launch refuses the same."""
    flags = [word for words, _ in FAULTS.values() for word in words]
    ended = run("launch", "--env", str(env), *flags, "--plan", "--json")
    assert ended.code == 8
    found = checks(ended)
    for name, (_, said) in FAULTS.items():
        assert found[name][0] == "failed" and said in found[name][1], (name, found[name])
    assert {name for name, (result, _) in found.items() if result == "ok"} == {
        "use case",
        "job name",
        "steps",
    }
    refused = run("launch", "--env", str(env), *flags)
    assert refused.code == 8
    assert all(f"riskstream: {name}: " in refused.err for name in FAULTS)
    assert "options for Beam" not in refused.err, "what is wrong, and not a page of what is not"
    in_json = run("launch", "--env", str(env), *flags, "--json")
    assert in_json.code == 8 and checks(in_json) == found, "a script is told as much as a person"
    assert world.cloud.dataflow.jobs == {}


def test_a_redis_that_cannot_be_reached_from_here_is_skipped_if_told(
    world: World, run: Run, env: Path
) -> None:
    words = [
        "--redis-url",
        "rediss://10.1.2.3:6378",
        "--redis-ca-file",
        "gs://bank/redis-ca.pem",
        "--skip-redis-check",
    ]
    ended = run("launch", "--env", str(env), *words, "--json")
    assert ended.code == 0, ended.err
    assert checks(ended)["Redis"][0] == "skipped"
    step = step_of(pipeline := staged(world, only_job(world)), steps_by_name(pipeline)["Assess"])
    assert (step.job.redis_url, step.job.redis_ca_file) == (
        "rediss://10.1.2.3:6378",
        "gs://bank/redis-ca.pem",
    )


def test_a_cold_store_is_refused_unless_told(world: World, run: Run, env: Path) -> None:
    ended = run("launch", "--env", str(env), "--no-allow-empty-store")
    assert ended.code == 8 and "riskstream backfill" in ended.err
    assert run("launch", "--env", str(env)).code == 0
    assert run("launch", "--env", str(env), "--no-allow-empty-store", "--job-name", "other").code == 0, (
        "by now there are records"
    )


def test_a_name_is_taken_once(world: World, run: Run, env: Path) -> None:
    assert run("launch", "--env", str(env)).code == 0
    ended = run("launch", "--env", str(env))
    assert ended.code == 8
    assert f"riskstream-market ({only_job(world).id}) is RUNNING already" in ended.err


def test_an_update_replaces_the_running_job(world: World, run: Run, env: Path) -> None:
    assert run("launch", "--env", str(env)).code == 0
    old = only_job(world)
    ended = run("update", "--env", str(env), "--image", IMAGE.replace("0.1.0", "0.2.0"), "--wait", "--json")
    assert ended.code == 0, ended.err
    new = world.cloud.dataflow.jobs[json.loads(ended.out)["job"]["id"]]
    assert (new.name, new.replace_job_id, new.current_state) == (old.name, old.id, JobState.JOB_STATE_RUNNING)
    assert (old.current_state, old.replaced_by_job_id) == (JobState.JOB_STATE_UPDATED, new.id)
    assert new.environment.worker_pools[0].sdk_harness_container_images[0].container_image.endswith(":0.2.0")
    assert "as in the running job" in checks(ended)["steps"][1]
    assert "records stay in use" in checks(ended)["features"][1]
    listed = json.loads(run("jobs", "--env", str(env), "--all", "--json").out)
    assert [each["state"] for each in listed] == ["RUNNING", "UPDATED"]


def test_a_parallel_update_runs_both_jobs_and_drains_the_old_one(world: World, run: Run, env: Path) -> None:
    """The request has Dataflow's own options; the old job goes on until the new one runs."""
    assert run("launch", "--env", str(env)).code == 0
    old = only_job(world)
    words = ["update", "--env", str(env), "--parallel", "--image", IMAGE.replace("0.1.0", "0.2.0")]
    planned = run(*words, "--plan", "--json")
    assert planned.code == 0, planned.err
    assert (json.loads(planned.out)["overlap"], json.loads(planned.out)["replaces"]["id"]) == ("10m", old.id)
    ended = run(*words, "--wait", "--json")
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    new = world.cloud.dataflow.jobs[result["job"]["id"]]
    assert set(new.environment.service_options) == {
        "min_num_workers=2",
        "streaming_mode_at_least_once",
        "update_strategy_parallel_job_update",
        "parallel_replace_job_min_parallel_pipelines_duration=10m",
    }
    assert (new.name, new.replace_job_id) == (old.name, old.id)
    assert new.environment.worker_pools[0].sdk_harness_container_images[0].container_image.endswith(":0.2.0")
    assert (new.current_state, old.current_state) == (
        JobState.JOB_STATE_RUNNING,
        JobState.JOB_STATE_DRAINED,
    )
    assert (result["replaced"]["id"], result["replaced"]["state"]) == (old.id, "DRAINED")
    assert "records stay in use" in checks(ended)["features"][1]
    lines = ended.err.splitlines()
    assert lines[-1] == f"riskstream-market ({old.id}, the old job): DRAINED"
    assert lines.index("riskstream-market: RUNNING") < len(lines) - 1, (
        "the old one ends after the new one runs"
    )


def test_a_parallel_update_needs_no_matching_steps(world: World, run: Run, env: Path) -> None:
    launched_with(world, run, env, "Assess", "Score")
    assert run("update", "--env", str(env)).code == 8
    ended = run("update", "--env", str(env), "--parallel", "--overlap", "90s")
    assert ended.code == 0, ended.err
    old, new = world.cloud.dataflow.jobs.values()
    assert "parallel_replace_job_min_parallel_pipelines_duration=90s" in new.environment.service_options
    assert dict(new.transform_name_mapping) == {}
    assert old.current_state == JobState.JOB_STATE_RUNNING, "nobody has waited"


def test_a_parallel_update_to_other_features_is_refused(
    world: World, run: Run, env: Path, tmp_path: Path
) -> None:
    """The jobs would share the events, so either family of records would miss some."""
    assert run("launch", "--env", str(env)).code == 0
    changed, other = other_features(tmp_path)
    words = ["--use-case", str(changed), "--bundle", "gs://bank/other", "--allow-empty-store", "--parallel"]
    refused = run("update", "--env", str(env), *words)
    assert refused.code == 8
    assert f"fingerprint {market().fingerprint} becomes {other.fingerprint}" in refused.err
    assert "on a subscription of their own" in refused.err
    assert len(world.cloud.dataflow.jobs) == 1


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--overlap", "10m"], "--overlap: given without --parallel"),
        (["--parallel", "--overlap", "soon"], "--overlap: found 'soon', expected a duration such as"),
        (["--parallel", "--overlap", "0m"], "--overlap: found '0m', expected a duration such as"),
        (["--parallel", "--map", "Assess=Score"], "--map: found with --parallel"),
    ],
)
def test_wrong_words_about_a_parallel_update_are_refused(
    world: World, run: Run, env: Path, words: list[str], reason: str
) -> None:
    ended = run("update", "--env", str(env), *words)
    assert ended.code == 2 and reason in ended.err


def test_an_old_job_that_does_not_drain_is_told(
    world: World, run: Run, env: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("launch", "--env", str(env), "--wait").code == 0
    old = only_job(world)
    monkeypatch.setattr(submit, "DRAIN_TIMEOUT_S", -600.0)
    monkeypatch.delitem(local_dataflow.NEXT, JobState.JOB_STATE_DRAINING)  # it drains for ever
    ended = run("update", "--env", str(env), "--parallel", "--wait")
    assert ended.code == 1
    assert f"({old.id}, the old job): found" in ended.err and f"`riskstream cancel {old.id}`" in ended.err


def launched_with(world: World, run: Run, env: Path, old: str, new: str) -> None:
    """A running job whose staged graph has another label."""
    assert run("launch", "--env", str(env)).code == 0
    job = only_job(world)
    pipeline = staged(world, job)
    for each in pipeline.components.transforms.values():
        each.unique_name = new if each.unique_name == old else each.unique_name
    replace_staged(world, job, pipeline)


def replace_staged(world: World, job: dataflow.Job, pipeline: beam_runner_api_pb2.Pipeline) -> None:
    url = job.environment.sdk_pipeline_options["options"]["pipelineUrl"]
    name = url.removeprefix("gs://bank/")
    world.cloud.storage._store("bank", name, pipeline.SerializeToString(), "", {})


def test_an_update_with_another_label_is_refused_or_mapped(world: World, run: Run, env: Path) -> None:
    launched_with(world, run, env, "Assess", "Score")
    refused = run("update", "--env", str(env))
    assert refused.code == 8
    assert "step Score of the running job is not in the new graph" in refused.err
    assert "--map Score=NEW" in refused.err
    assert len(world.cloud.dataflow.jobs) == 1 and only_job(world).current_state == JobState.JOB_STATE_RUNNING
    for wrong in ("Score=Guess", "Assay=Assess"):
        ended = run("update", "--env", str(env), "--map", wrong)
        assert ended.code == 8 and f"--map {wrong}: the" in ended.err
    assert run("update", "--env", str(env), "--map", "Score=Assess", "--wait").code == 0
    new = list(world.cloud.dataflow.jobs.values())[1]
    assert dict(new.transform_name_mapping) == {"Score": "Assess"}


def test_an_update_with_another_coder_is_refused(world: World, run: Run, env: Path) -> None:
    assert run("launch", "--env", str(env)).code == 0
    job = only_job(world)
    pipeline = staged(world, job)
    decode = steps_by_name(pipeline)["Decode"]
    (leaves,) = decode.outputs.values()
    pipeline.components.coders["other"].spec.urn = "beam:coder:bytes:v1"
    pipeline.components.pcollections[leaves].coder_id = "other"
    replace_staged(world, job, pipeline)
    refused = run("update", "--env", str(env))
    assert refused.code == 8
    assert "what leaves step Decode is encoded in another way" in refused.err


def test_labels_are_compared_even_if_the_staged_pipeline_is_gone(world: World, run: Run, env: Path) -> None:
    """A bucket's old objects may be deleted; Dataflow itself still tells the labels."""
    assert run("launch", "--env", str(env)).code == 0
    job = update_compatibility.dataflow.Job(only_job(world))
    job.environment.sdk_pipeline_options = {"options": {"pipelineUrl": "gs://bank/gone"}}
    job.pipeline_description.original_pipeline_transform = [dataflow.TransformSummary(id="1", name="Score")]
    assert update_compatibility.running_steps(job) == {"Score": None}
    assert "Score" in next(update_compatibility.differences({"Score": None}, {"Assess": "x"}, {}))


def other_features(folder: Path) -> tuple[Path, UseCase]:
    """Return a use case file with other features, for which there is a promoted bundle."""
    changed = folder / "market.yaml"
    changed.write_text(MARKET.read_text().replace("windows: [1h, 24h]", "windows: [1h, 7d]"))
    other = parse(changed.read_text())
    save(trained(other), "gs://bank/other")
    promote("gs://bank/other", trained(other).manifest.id)
    return changed, other


def test_other_features_must_be_filled_before_an_update(
    world: World, run: Run, env: Path, tmp_path: Path
) -> None:
    assert run("launch", "--env", str(env)).code == 0
    changed, other = other_features(tmp_path)
    words = ["update", "--env", str(env), "--use-case", str(changed), "--bundle", "gs://bank/other"]
    change = f"fingerprint {market().fingerprint} becomes {other.fingerprint}"
    refused = run(*words, "--no-allow-empty-store")
    assert refused.code == 8 and change in refused.err and "riskstream backfill" in refused.err
    blind = run(*words, "--no-allow-empty-store", "--skip-redis-check")
    assert blind.code == 8 and "update from where Redis can be reached" in blind.err
    assert run(*words, "--allow-empty-store", "--wait").code == 0
    assert json.loads(run("jobs", "--env", str(env), "--json").out)[0]["fingerprint"] == other.fingerprint


def test_what_dataflow_refuses_is_told(
    world: World, run: Run, env: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service compares for itself: here it finds what the launcher could not see."""
    assert run("launch", "--env", str(env)).code == 0
    monkeypatch.setattr(world.cloud.dataflow, "_transforms", lambda job: {"1": job.id or "new"})
    ended = run("update", "--env", str(env), "--wait")
    assert ended.code == 8
    assert "is FAILED" in ended.err and "The new job is missing steps" in ended.err


def test_drain_and_cancel_end_a_job(world: World, run: Run, env: Path) -> None:
    assert run("launch", "--env", str(env), "--wait").code == 0
    drained = run("drain", "--env", str(env), "--wait", "--json")
    assert (drained.code, json.loads(drained.out)["state"]) == (0, "DRAINED")
    assert run("launch", "--env", str(env), "--wait").code == 0
    job_id = json.loads(run("jobs", "--env", str(env), "--json").out)[0]["id"]
    ended = run("cancel", job_id, "--project", PROJECT, "--region", REGION)
    assert ended.code == 0 and "CANCELLED" in ended.out
    again = run("drain", "--env", str(env))
    assert again.code == 6
    assert f"found no active job riskstream-market of {PROJECT} in {REGION}; active are: none" in again.err
    nothing = run("update", "--env", str(env))
    assert nothing.code == 6 and "`riskstream launch` starts one" in nothing.err


def test_who_waits_sees_what_becomes_of_the_job(world: World, run: Run, env: Path) -> None:
    """Minutes on Dataflow are not silent; the local one moves a state on with each look."""
    launched = run("launch", "--env", str(env), "--wait")
    assert launched.code == 0 and launched.err.endswith("riskstream-market: RUNNING\n")
    drained = run("drain", "--env", str(env), "--wait", "--json")
    assert (drained.code, drained.err) == (0, "riskstream-market: DRAINED\n")


def test_a_drain_that_has_not_ended_is_not_told_as_done(
    world: World, run: Run, env: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`riskstream drain --wait && riskstream launch` must not go on."""
    assert run("launch", "--env", str(env), "--wait").code == 0
    monkeypatch.delitem(local_dataflow.NEXT, JobState.JOB_STATE_DRAINING)  # it drains for ever
    monkeypatch.setattr(dataflow_jobs, "END_TIMEOUT_S", 0.0)
    ended = run("drain", "--env", str(env), "--wait")
    assert ended.code == 1
    assert "riskstream-market: found DRAINING, expected DRAINED" in ended.err
    assert run("cancel", "--env", str(env), "--wait").code == 0, (
        "who is asked for its end may still be cancelled"
    )


def test_a_dataflow_that_is_not_there_is_told(
    world: World, run: Run, env: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATAFLOW_EMULATOR_HOST", "http://localhost:1")
    for verb in ("jobs", "drain", "update"):
        ended = run(verb, "--env", str(env))
        assert ended.code == 5 and "Dataflow at http://localhost:1" in ended.err, (verb, ended)
    ended = run("launch", "--env", str(env), "--plan", "--json")
    assert ended.code == 8 and "Dataflow at http://localhost:1" in checks(ended)["job name"][1]


def test_without_credentials_nothing_is_tried(
    world: World, run: Run, env: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each part would tell the same, some after long retries."""
    for name in ("DATAFLOW_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    for verb in ("launch", "update", "jobs"):
        ended = run(verb, "--env", str(env))
        assert ended.code == 6 and "credentials were not found" in ended.err, (verb, ended)
        assert len(ended.err.splitlines()) == 1


def test_jobs_are_listed_by_label(world: World, run: Run, env: Path) -> None:
    assert run("launch", "--env", str(env), "--label", "stage=a").code == 0
    assert run("launch", "--env", str(env), "--label", "stage=b", "--job-name", "other").code == 0
    where = ["jobs", "--project", PROJECT, "--region", REGION]
    assert [each["name"] for each in json.loads(run(*where, "--label", "stage=b", "--json").out)] == ["other"]
    lines = run(*where).out.splitlines()
    assert lines[0].split()[:2] == ["name", "state"]
    assert {line.split()[0] for line in lines[1:]} == {"riskstream-market", "other"}
    elsewhere = ["jobs", "--project", PROJECT, "--region", "us-east1"]
    assert json.loads(run(*elsewhere, "--json").out) == []
    assert run(*elsewhere) == Ended(
        0, "", f"{PROJECT} in us-east1: no active one; --all shows those that have ended\n"
    )


def test_a_flex_template_builds_the_same_job(world: World) -> None:
    """The launcher is told everything as text and writes the job where Dataflow wants to find it."""
    place = "gs://bank/template_launches/1/job_object"
    google = [
        f"--project={PROJECT}", f"--region={REGION}", "--job_name=from-template", f"--sdk_container_image={IMAGE}",
        "--staging_location=gs://bank/dataflow/staging", "--temp_location=gs://bank/dataflow/temp",
        f"--service_account_email={ACCOUNT}", f"--template_location={place}", "--no_auth", "--labels=team=risk",
        "--experiments=disable_logging_submission_environment",
    ]  # fmt: skip
    own = [f"--use_case={MARKET}", f"--bundle={BUNDLES}", "--dataset=risk", f"--redis_url={world.redis.url}",
           "--batch=5000"]  # fmt: skip
    with pytest.raises(CannotStart, match="riskstream backfill"):
        launcher.launch([*google, *own])
    launcher.launch([*google, *own, "--allow_empty_store=true"])
    assert world.cloud.dataflow.jobs == {}, "Dataflow starts it"
    told = json.loads(world.cloud.storage.read(place))
    assert told["name"] == "from-template"
    assert told["labels"]["team"] == "risk" and told["labels"]["fingerprint"] == market().fingerprint
    url = told["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"]
    pipeline = beam_runner_api_pb2.Pipeline.FromString(world.cloud.storage.read(url))
    step = step_of(pipeline, steps_by_name(pipeline)["Assess"])
    assert (step.job.bundle, step.job.batch, step.job.allow_empty_store) == (BUNDLES, 5_000, True)
    coders = sorted(f"{name} {coders}" for name, coders in update_compatibility.steps_of(pipeline).items())
    assert coders == CODERS.read_text().splitlines(), "so an update may go either way"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("--batch=many", "expected a number"),
        ("--cold=true", "cold is now allow_empty_store"),
        ("--allow_empty_store=maybe", "expected true or false"),
    ],
)
def test_a_templates_parameters_are_typed(word: str, said: str) -> None:
    with pytest.raises(BadSettings, match=said):
        launcher.launch([f"--project={PROJECT}", word])
