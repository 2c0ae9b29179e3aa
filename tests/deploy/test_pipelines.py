"""Pipelines run only what exists: verbs and flags, make targets, files, jobs and views that Terraform makes."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.terraform import declarations
from tests.test_readme import Told, knows, make_targets, of

ROOT = Path(__file__).parent.parent.parent
CI = ROOT / "deploy/ci"
GITHUB = sorted((CI / "github").glob("*.yaml"))
CLOUD_BUILD = CI / "cloudbuild.yaml"
FILE = re.compile(r"\bdeploy/[\w./-]+")
DOCKERFILE = (ROOT / "deploy/images/Dockerfile").read_text()
SHIPPED = [
    name for name in re.findall(r"^FROM base AS (\w+)$", DOCKERFILE, re.MULTILINE) if name != "builder"
]
MODULE = re.compile(r"python3 -m (deploy[\w.]+)")
SUBSTITUTION = re.compile(r"(?<!\$)\$\{?([A-Z_][A-Z0-9_]*)")
OWN_SUBSTITUTIONS = {"PROJECT_ID"}  # those of Cloud Build itself that are used


def load(file: Path) -> dict[Any, Any]:
    return yaml.safe_load(file.read_text())


def scripts(file: Path) -> list[str]:
    """Return the shell scripts of a pipeline."""
    if file == CLOUD_BUILD:
        return [word for step in load(file)["steps"] for word in step["args"]]
    steps = [step for job in load(file)["jobs"].values() for step in job.get("steps", [])]
    return [step["run"] for step in steps if "run" in step]


def commands_of(text: str, file: str) -> Iterator[Told]:
    """Return our commands in a script: each with all words up to the next command."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        for program in {"riskstream", "make"} & set(words):
            rest = words[words.index(program) + 1 :]
            ends = next((i for i, word in enumerate(rest) if word in {"&&", "||", "|", ">>"}), len(rest))
            yield Told(file, program, tuple(rest[:ends]))


TOLD = [
    told for file in [*GITHUB, CLOUD_BUILD] for text in scripts(file) for told in commands_of(text, file.name)
]
RELEASE = ROOT / "docs/release.md"


@pytest.mark.parametrize("told", of("riskstream", TOLD), ids=str)
def test_commands_exist(told: Told) -> None:
    assert knows(told.words)


def test_the_pipelines_run_what_a_release_needs() -> None:
    verbs = {told.words[0] for told in of("riskstream", TOLD)}
    assert {"update", "launch", "drain", "publish", "reconcile", "rollback"} <= verbs


@pytest.mark.parametrize("told", of("make", TOLD), ids=str)
def test_targets_exist(told: Told) -> None:
    later = {"template"} - make_targets()
    assert set(told.words) - later <= make_targets()


@pytest.mark.parametrize("file", [*GITHUB, CLOUD_BUILD], ids=lambda file: file.name)
def test_files_exist(file: Path) -> None:
    named = {path for path in FILE.findall(file.read_text()) if not path.endswith(("/", "/.yaml"))}
    later = {
        path for path in named if path.split("/")[1] in {"dataflow", "env"} - set(os.listdir(ROOT / "deploy"))
    }
    assert [path for path in named - later if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("file", GITHUB, ids=lambda file: file.name)
def test_workflows_that_are_called_exist_and_take_what_they_are_given(file: Path) -> None:
    for job in load(file)["jobs"].values():
        if "uses" in job:
            called = load(CI / "github" / Path(job["uses"]).name)
            inputs = called[True]["workflow_call"]["inputs"]  # YAML 1.1 reads `on` as true
            assert set(job["with"]) <= set(inputs)
            assert {name for name, each in inputs.items() if each.get("required")} <= set(job["with"])


@pytest.mark.parametrize("file", GITHUB, ids=lambda file: file.name)
def test_no_workflow_may_write_and_none_knows_a_secret(file: Path) -> None:
    assert set(load(file)["permissions"].items()) <= {("contents", "read"), ("id-token", "write")}
    assert "secrets." not in file.read_text()


@pytest.mark.parametrize("file", GITHUB, ids=lambda file: file.name)
def test_nothing_that_people_type_becomes_part_of_a_script(file: Path) -> None:
    """Inputs go through the environment, so that a shell never reads them as commands."""
    assert [text for text in scripts(file) if "${{" in text] == []


@pytest.mark.parametrize("file", [*GITHUB, CLOUD_BUILD], ids=lambda file: file.name)
def test_modules_exist_and_need_no_package(file: Path) -> None:
    """They run where nothing but Python is: of ours they read only the names of metrics."""
    for module in MODULE.findall(file.read_text()):
        words = [sys.executable, "-S", "-c", f"import {module}"]
        ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr


def test_every_image_is_built_started_and_scanned() -> None:
    for name in ("check.yaml", "release.yaml"):
        jobs = load(CI / "github" / name)["jobs"].values()
        (matrix,) = [job["strategy"]["matrix"] for job in jobs if "strategy" in job]
        assert matrix == {"target": SHIPPED}
    loops = re.findall(r"for target in ([\w ]+);", CLOUD_BUILD.read_text())
    assert len(loops) == 3 and {tuple(loop.split()) for loop in loops} == {tuple(SHIPPED)}


def test_production_alone_tries_a_canary_first() -> None:
    jobs = load(CI / "github/release.yaml")["jobs"]
    assert [name for name, job in jobs.items() if job.get("with", {}).get("canary")] == ["production"]
    steps = [step for job in load(CI / "github/serving.yaml")["jobs"].values() for step in job["steps"]]
    told = [word for step in steps for word in re.findall(r"deploy[/.]ci[/.]\w+", step.get("run", ""))]
    assert told == ["deploy/ci/canary", "deploy/ci/serving", "deploy.ci.smoke"]


def test_the_cluster_that_pipelines_ask_for_is_terraform_s() -> None:
    made = (ROOT / "deploy/terraform/cluster.tf").read_text()
    (name,) = re.findall(
        r'"google_container_cluster".*?^  name += "([\w-]+)"', made, re.MULTILINE | re.DOTALL
    )
    assert f"cluster_name: {name}\n" in (CI / "github/serving.yaml").read_text()
    asked = re.findall(r"get-credentials (\S+)", CLOUD_BUILD.read_text())
    assert asked and set(asked) == {name}


def test_cloud_build_is_told_every_substitution() -> None:
    given = set(load(CLOUD_BUILD)["substitutions"])
    used = set(SUBSTITUTION.findall(yaml.safe_dump(load(CLOUD_BUILD)["steps"]))) - OWN_SUBSTITUTIONS
    assert used == given


def test_commands_of_a_release_run_in_a_job_that_terraform_makes() -> None:
    (name,) = re.findall(r"jobs execute (\S+)", (CI / "command").read_text())
    assert f'"{name}"' in (ROOT / "deploy/terraform/batch.tf").read_text()


def test_a_release_waits_for_views_that_there_are() -> None:
    views = set(re.findall(r"riskstream\.(\w+)", (CI / "await").read_text()))
    assert views
    assert all(f'"{view}": "SELECT' in declarations()["tables.json"] for view in views)


def run_with(tmp_path: Path, program: str, script: str, words: list[str]) -> subprocess.CompletedProcess[str]:
    """A script of ours with one program of Google's replaced: it needs the network."""
    stand_in = tmp_path / program
    stand_in.write_text(f"#!/bin/sh\n{script}\n")
    stand_in.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin"}
    return subprocess.run([CI / words[0], *words[1:]], env=environment, capture_output=True, text=True)


def test_a_command_is_handed_to_the_job_word_by_word(tmp_path: Path) -> None:
    words = [
        "command",
        "bank-staging",
        "europe-west1",
        "riskstream",
        "publish",
        "/replay/a b,c.csv",
        "--rate",
        "5",
    ]
    told = run_with(tmp_path, "gcloud", 'printf "%s\\n" "$@"', words).stdout.splitlines()
    assert told[-1] == "--args=^;^publish;/replay/a b,c.csv;--rate;5"
    assert {"riskstream-command", "--project=bank-staging", "--region=europe-west1", "--wait"} <= set(told)


def test_a_command_that_fails_fails_the_release(tmp_path: Path) -> None:
    assert (
        run_with(tmp_path, "gcloud", "exit 1", ["command", "p", "r", "riskstream", "reconcile"]).returncode
        == 1
    )


def test_waiting_ends_when_everything_is_accounted_for(tmp_path: Path) -> None:
    ended = run_with(tmp_path, "bq", "echo f0_; echo 12", ["await", "p", "12", "2026-11-24T03:00:00Z"])
    assert ended.returncode == 0
    assert "12 of 12" in ended.stdout


def test_the_picture_of_a_release_is_in_the_documents() -> None:
    text = RELEASE.read_text()
    assert "pictures/release.svg" in text
    picture = (ROOT / "docs/pictures/release.svg").read_text()
    assert all(stage in picture for stage in ("dev:", "staging:", "production:", "rollback"))
    assert all(f"`{load(file)['name']}`" in text for file in GITHUB if file.name != "stage.yaml")
