"""The REST service's manifests with the patches of their overlays."""

import shutil
import subprocess
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.test_batch_jobs import named

ROOT = Path(__file__).parent.parent.parent
SERVING = ROOT / "deploy/kubernetes/serving"
OVERLAYS = sorted(path.name for path in (SERVING / "overlays").iterdir())
TRACKS = ("stable", "canary")

Manifest = dict[str, Any]


@cache
def rendered(overlay: str) -> list[Manifest]:
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed")
    words = ["kubectl", "kustomize", str(SERVING / "overlays" / overlay)]
    return list(yaml.safe_load_all(subprocess.run(words, check=True, capture_output=True).stdout))


def only(overlay: str, kind: str) -> Manifest:
    (found,) = named(rendered(overlay), kind)
    return found


def of_track(overlay: str, kind: str, track: str) -> Manifest:
    (found,) = [
        each for each in named(rendered(overlay), kind) if each["metadata"]["labels"]["track"] == track
    ]
    return found


def container(deployment: Manifest) -> Manifest:
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    return found


def settings(overlay: str) -> dict[str, str]:
    return only(overlay, "ConfigMap")["data"]


def flags(words: list[str]) -> dict[str, str]:
    return {name: value for name, value in pairwise(words) if name.startswith("--")}
