"""Retraining and drift in Kubernetes and in Airflow: pods may do little, commands and exit codes exist."""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from commands.drift import CODES as LOOKED
from commands.errors import EXITS, exit_code
from commands.retrain import CODES as RETRAINED
from features.errors import Unavailable
from tests.test_readme import knows, parse

ROOT = Path(__file__).parent.parent.parent
KUBERNETES = ROOT / "deploy/kubernetes"
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())
VERSION = "1.32"  # of the schemas; the oldest that Google's regular channel runs
WRITES = {"/tmp"}
DAG = (ROOT / "deploy/airflow/batch.py").read_text()
CODES = {"retrain": RETRAINED, "drift": LOOKED}  # of each job, beside those of errors
IN_KUBERNETES = CODES | {"realised": {}}


def rendered(overlay: str) -> list[dict[str, Any]]:
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed")
    words = ["kubectl", "kustomize", str(KUBERNETES / "overlays" / overlay)]
    return list(yaml.safe_load_all(subprocess.run(words, check=True, capture_output=True).stdout))


def base() -> list[dict[str, Any]]:
    files = yaml.safe_load((KUBERNETES / "base/kustomization.yaml").read_text())["resources"]
    return [each for name in files for each in yaml.safe_load_all((KUBERNETES / "base" / name).read_text())]


def pods(manifests: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Metadata and spec of every pod that the manifests would start."""
    for each in manifests:
        spec = each.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            yield spec["template"]["metadata"], spec["template"]["spec"]


def named(manifests: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [each for each in manifests if each["kind"] == kind]


def test_every_file_of_the_base_is_used() -> None:
    files = {path.name for path in (KUBERNETES / "base").iterdir()} - {"kustomization.yaml"}
    assert files == set(yaml.safe_load((KUBERNETES / "base/kustomization.yaml").read_text())["resources"])


@pytest.mark.parametrize("manifest", base(), ids=lambda each: each["kind"])
def test_manifests_fit_the_schemas(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, VERSION, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_applied_fits_the_schemas(overlay: str) -> None:
    for manifest in rendered(overlay):
        kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_a_pod_may_do_little() -> None:
    found = list(pods(base()))
    assert found
    for _, pod in found:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert {volume["name"] for volume in pod["volumes"] if "emptyDir" in volume} == {"tmp"}
        for container in pod["containers"]:
            allowed = container["securityContext"]
            assert allowed["readOnlyRootFilesystem"] is True
            assert allowed["allowPrivilegeEscalation"] is False
            assert allowed["capabilities"] == {"drop": ["ALL"]}
            assert {mount["mountPath"] for mount in container["volumeMounts"]} == WRITES
            assert {"requests", "limits"} <= set(container["resources"])


def test_the_user_is_the_image_s() -> None:
    (user,) = re.findall(
        r"^ARG USER_ID=(\d+)$", (ROOT / "deploy/images/Dockerfile").read_text(), re.MULTILINE
    )
    assert {pod["securityContext"]["runAsUser"] for _, pod in pods(base())} == {int(user)}
    assert f"run_as_user={user}" in DAG


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_under_a_network_policy_and_has_an_account(overlay: str) -> None:
    manifests = rendered(overlay)
    policies = [each["spec"]["podSelector"]["matchLabels"] for each in named(manifests, "NetworkPolicy")]
    accounts = {each["metadata"]["name"]: each for each in named(manifests, "ServiceAccount")}
    for metadata, pod in pods(manifests):
        assert any(policy.items() <= metadata["labels"].items() for policy in policies)
        annotations = accounts[pod["serviceAccountName"]]["metadata"]["annotations"]
        assert annotations["iam.gke.io/gcp-service-account"].endswith(".iam.gserviceaccount.com")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_a_pod_runs_is_understood(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    manifests = rendered(overlay)
    settings = {each["metadata"]["name"]: each["data"] for each in named(manifests, "ConfigMap")}
    monkeypatch.chdir(ROOT)
    for _, pod in pods(manifests):
        for container in pod["containers"]:
            (source,) = container["envFrom"]
            values = settings[source["configMapRef"]["name"]]
            for name, value in values.items():
                monkeypatch.setenv(name, value)
            parse([values[word[2:-1]] if word.startswith("$(") else word for word in container["args"]])


def test_the_network_namespace_and_account_of_terraform_are_these() -> None:
    terraform = (ROOT / "deploy/terraform/federation.tf").read_text()
    (account,) = named(base(), "ServiceAccount")
    assert f"${{var.kubernetes_namespace}}/{account['metadata']['name']}]" in terraform


@pytest.mark.parametrize("verb", IN_KUBERNETES)
def test_only_what_may_pass_is_tried_again_in_kubernetes(verb: str) -> None:
    (job,) = [each for each in named(base(), "CronJob") if each["metadata"]["name"] == verb]
    spec = job["spec"]["jobTemplate"]["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    (ended,) = [
        rule["onExitCodes"] for rule in spec["podFailurePolicy"]["rules"] if rule["action"] == "FailJob"
    ]
    assert ended["containerName"] == container["name"] == container["args"][0] == verb
    unreachable = exit_code(Unavailable())
    elsewhere = {code for other in CODES if other != verb for code in CODES[other].values()}
    never = elsewhere | {0, unreachable, 8, 13, 130}  # 8 and 13 are of `run`
    assert set(ended["values"]) == {each.code for each in EXITS} - never


def test_every_job_by_the_clock_is_here() -> None:
    assert {each["metadata"]["name"] for each in named(base(), "CronJob")} == set(IN_KUBERNETES)


def constants() -> dict[str, Any]:
    """The DAG's own constants; Airflow is not installed, so the file is only parsed."""
    found: dict[str, Any] = {}
    for node in ast.parse(DAG).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            expression = ast.Expression(node.value)
            if not any(isinstance(each, ast.Call) for each in ast.walk(expression)):
                found[name] = eval(compile(expression, "batch.py", "eval"), {}, dict(found))
    return found


@pytest.mark.parametrize("verb", CODES)
def test_airflow_s_command_exists(verb: str) -> None:
    words = constants()[verb.upper()]
    assert words[0] == verb
    assert knows(tuple(word for word in words if "{{" not in word))


def test_airflow_knows_every_ending() -> None:
    found = constants()
    tasks = set(re.findall(r'task_id="(\w+)"', DAG))
    for name, codes in {"RETRAINED": RETRAINED, "LOOKED": LOOKED}.items():
        assert set(found[name]) == set(codes.values())
        assert set(found[name].values()) <= tasks
    (codes,) = re.findall(r"case \$code in ([\d|]+)\)", found["KEEP_CODE"])
    assert set(map(int, codes.split("|"))) == {*RETRAINED.values(), *LOOKED.values()}


@pytest.mark.parametrize(("code", "ends"), [(0, 0), (10, 0), (11, 0), (12, 0), (5, 5)])
def test_airflow_s_pod_hands_on_only_codes_that_are_no_failures(tmp_path: Path, code: int, ends: int) -> None:
    start = tmp_path / "start"
    start.write_text(f"#!/bin/sh\nexit {code}\n")
    start.chmod(0o755)
    script = constants()["KEEP_CODE"].replace("/airflow/xcom", str(tmp_path))
    ran = subprocess.run(
        ["sh", "-c", script, "retrain", "retrain"], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}
    )
    assert ran.returncode == ends
    result = tmp_path / "return.json"
    assert (result.read_text() if result.exists() else None) == (f"{code}\n" if ends == 0 else None)
