"""Settings of a job on Dataflow: environment files, flags over them, what is refused, the template made of them."""

import json
import re
import shlex
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from google.cloud import dataflow

from deploy.dataflow import template
from pipeline.dataflow.settings import MODES, DataflowSettings, TemplateSettings, labels_of
from pipeline.runtime.errors import BadSettings
from pipeline.runtime.settings import declared, flag

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = sorted((ROOT / "deploy/env").glob("*.yaml"))
PRODUCTION = ROOT / "deploy/env/production.yaml"


def settings(**flags: object) -> DataflowSettings:
    return DataflowSettings.resolved(flags, PRODUCTION)


@pytest.mark.parametrize("file", ENVIRONMENTS, ids=lambda file: file.stem)
def test_environment_files_are_whole(file: Path) -> None:
    found = DataflowSettings.resolved({}, file)
    assert found.labels["stage"] == file.stem
    assert (ROOT / found.use_case).exists()
    assert found.project in found.service_account and found.region in found.image
    assert "password" not in file.read_text().replace("The password is read", "").replace("a password", "")


def test_there_is_one_for_each_stage() -> None:
    assert [file.stem for file in ENVIRONMENTS] == ["dev", "production", "staging"]


def test_production_is_private_encrypted_and_not_cold() -> None:
    found = settings()
    assert found.redis_url.startswith("rediss:") and found.redis_secret and found.redis_ca_file
    assert not (found.public_ips or found.allow_empty_store or found.skip_redis_check)
    assert found.min_workers >= 2


def test_flags_win_over_the_file_and_labels_are_joined() -> None:
    found = settings(max_workers=50, labels={"team": "fraud", "cost": "c1"}, region=None)
    assert (found.max_workers, found.region) == (50, "europe-west1")
    assert found.labels == {"team": "fraud", "stage": "production", "cost": "c1"}


def test_a_name_is_made_of_the_use_case() -> None:
    assert settings(job_name="", use_case="gs://bank/use/card_fraud.yaml").name == "riskstream-card-fraud"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"project": "Bank"}, "--project: found 'Bank', expected its id"),
        ({"region": "europe"}, "--region: found 'europe', expected a region such as europe-west1"),
        ({"bundle": "build/bundles"}, "--bundle: found 'build/bundles', expected gs://BUCKET/FOLDER"),
        ({"staging": "gs://b"}, "--staging: found 'gs://b', expected gs://BUCKET"),
        ({"image": "eu.gcr.io/p/worker"}, "--image: found 'eu.gcr.io/p/worker', expected REGISTRY"),
        ({"image": "eu.gcr.io/p/worker:latest"}, "--image"),
        ({"service_account": "me"}, "--service-account: found 'me'"),
        ({"subnetwork": "net/work"}, "--subnetwork"),
        ({"subnetwork": "regions/us-east1/subnetworks/workers"}, "--subnetwork: found one of another region"),
        ({"redis_url": "rediss://:hunter2@10.0.0.3:6378"}, "--redis-url: found 'rediss://***@10.0.0.3:6378'"),
        ({"redis_url": "redis://10.0.0.3:6379", "redis_ca_file": ""}, "--redis-secret: a password would travel"),
        ({"redis_url": "redis://10.0.0.3:6379", "redis_secret": ""}, "--redis-ca-file"),
        ({"redis_secret": "hush"}, "--redis-secret: found 'hush', expected projects/PROJECT/secrets/NAME"),
        ({"mode": "once"}, "--mode: found 'once', expected at-least-once or exactly-once"),
        ({"min_workers": 30}, "min_workers <= max_workers"),
        ({"batch": 0}, "--batch: found 0, expected 1 to 20000"),
        ({"labels": {"Team": "x"}}, "--label: found Team=x"),
        ({"labels": {"model": "x"}}, "--label: model is one that riskstream sets itself"),
        ({"use_case": "usecases/Ä.yaml", "job_name": ""}, "--job-name: not given"),
    ],
    ids=lambda value: " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)  # fmt: skip
def test_what_cannot_be_right_is_refused(flags: dict[str, object], said: str) -> None:
    with pytest.raises(BadSettings) as error:
        settings(**flags)
    assert said in str(error.value)
    assert str(PRODUCTION) in str(error.value)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"max_worker": 3}, "max_worker: no such setting; there are project, "),
        ({"cold": True}, ": cold is now allow_empty_store"),
        ({"max_workers": "3"}, "--max-workers: found '3', expected 1 to 1000"),
        (
            {"allow_empty_store": "yes please"},
            "--allow-empty-store: found 'yes please', expected true or false",
        ),
        ({"min_workers": True}, "--min-workers: found True"),
        ({"labels": ["a=b"]}, "--label: found ['a=b'], expected KEY=VALUE"),
        ({"dataset": None}, "--dataset: found None, expected a name"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, written: dict[str, object], said: str) -> None:
    file = tmp_path / "env.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(PRODUCTION.read_text()) | written))
    with pytest.raises(BadSettings) as error:
        DataflowSettings.resolved({}, file)
    assert said in str(error.value) and str(file) in str(error.value)


@pytest.mark.parametrize("text", ["- a\n", "a: [\n", ""])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "env.yaml"
    file.write_text(text)
    with pytest.raises(BadSettings, match=re.escape(str(file))):
        DataflowSettings.resolved({}, file)


def test_everything_that_is_missing_is_told_at_once() -> None:
    with pytest.raises(BadSettings) as error:
        DataflowSettings.resolved({"project": "bank-production"}, None)
    missing = [
        each.name for each in declared(DataflowSettings) if each.is_required and each.name != "project"
    ]
    assert len(missing) == 7
    assert all(f"{flag(name)}: not given" in str(error.value) for name in missing)


def test_labels_are_pairs() -> None:
    assert labels_of(["a=b", "c=", "d=e=f"]) == {"a": "b", "c": "", "d": "e=f"}
    with pytest.raises(BadSettings, match="KEY=VALUE"):
        labels_of(["a"])


def test_each_mode_says_what_it_costs() -> None:
    assert MODES.keys() == {"at-least-once", "exactly-once"}
    assert settings().mode == "at-least-once"


def test_the_templates_metadata_are_up_to_date() -> None:
    """`make template` writes them."""
    assert template.METADATA.read_text() == template.text()


def test_dataflow_understands_the_metadata() -> None:
    found = dataflow.TemplateMetadata.from_json(template.text())
    assert found.streaming and found.supports_at_least_once and found.supports_exactly_once
    names = [each.name for each in found.parameters]
    assert set(names) == {each.name for each in declared(TemplateSettings)} - {"project"} | {
        "sdk_container_image"
    }
    production = asdict(settings())
    for each in found.parameters:
        assert all(re.fullmatch(pattern, str(production[each.name])) for pattern in each.regexes), each.name
    assert {each.name for each in found.parameters if not each.is_optional} == {
        "bundle", "redis_url", "sdk_container_image",
    }  # fmt: skip


def test_make_template_prints_what_builds_and_runs_it(capsys: pytest.CaptureFixture[str]) -> None:
    template.main()
    build, run = (
        line for line in capsys.readouterr().out.replace("\\\n", " ").splitlines() if line[0] != "#"
    )
    assert shlex.split(build)[:4] == ["gcloud", "dataflow", "flex-template", "build"]
    words = shlex.split(run)
    told = {pair.split("=", 1)[0] for i, word in enumerate(words) if word == "--parameters"
            for pair in words[i + 1].split(",")}  # fmt: skip
    required = {each["name"] for each in json.loads(template.text())["parameters"] if not each["isOptional"]}
    assert required <= told
