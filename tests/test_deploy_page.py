"""docs/deploy.md: every command can be read by a shell, is of a known program, and says where it was not run."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import yaml

from pipeline.dataflow.settings import DataflowSettings
from pipeline.runtime.settings import declared

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs/deploy.md").read_text()
BLOCKS = re.findall(r"(?:^\*([^*\n]+)\*\n\n)?^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
RUN_HERE = {"riskstream", "make", "eval", "export", "source", "python"}
CLOUD = {"gcloud", "terraform", "docker", "kubectl", "curl"}
SCRIPTS = {"deploy/ci/serving", "deploy/ci/canary"}  # they tell kubectl
GCLOUD_GROUPS = {
    "auth",
    "config",
    "services",
    "redis",
    "secrets",
    "storage",
    "pubsub",
    "dataflow",
    "container",
}


def commands(block: str) -> list[list[str]]:
    lines = [part for line in block.splitlines() for part in line.split(" | ")]
    return [shlex.split(line, comments=True) for line in lines]


@pytest.mark.parametrize(("note", "block"), BLOCKS, ids=lambda text: text[:40])
def test_every_command_can_be_read(note: str, block: str) -> None:
    for words in commands(block):
        assert words[0] in RUN_HERE | CLOUD | SCRIPTS | {"jq"}
        flags = [word for word in words if word.startswith("-")]
        assert all(re.fullmatch(r"--?[a-z]+(-[a-z]+)*(=.*)?|-", flag) for flag in flags), flags
        if words[0] == "gcloud":
            assert words[1] in GCLOUD_GROUPS and len(words) > 2
        if words[0] == "terraform":
            assert words[1] == "-chdir=deploy/terraform" and words[2] in {"init", "apply", "output"}


def test_what_a_cluster_is_told_exists() -> None:
    told = [words for _, block in BLOCKS for words in commands(block)]
    assert {words[0] for words in told} >= SCRIPTS
    for words in told:
        if words[0] in SCRIPTS:
            assert (ROOT / words[0]).is_file()
            assert (ROOT / "deploy/kubernetes/serving/overlays" / words[1]).is_dir()
        if "-k" in words:
            assert (ROOT / words[words.index("-k") + 1] / "kustomization.yaml").is_file()
        if words[0] == "python":
            assert importlib.util.find_spec(words[2])
    made = (ROOT / "deploy/terraform/cluster.tf").read_text()
    clusters = [words[words.index("get-credentials") + 1] for words in told if "get-credentials" in words]
    assert clusters and all(f'= "{name}"' in made for name in clusters)
    outputs = set(
        re.findall(r'^output "(\w+)"', (ROOT / "deploy/terraform/outputs.tf").read_text(), re.MULTILINE)
    )
    assert {words[-1] for words in told if words[0] == "terraform" and words[2] == "output"} <= outputs


@pytest.mark.parametrize(("note", "block"), BLOCKS, ids=lambda text: text[:40])
def test_what_could_not_be_run_says_so(note: str, block: str) -> None:
    programs = {words[0] for words in commands(block)}
    is_remote = (
        bool(programs & (CLOUD | SCRIPTS))
        or "bank-production" in block
        or "deploy/env/production.yaml" in block
    )
    assert bool(note) == is_remote
    assert not note or re.search(r"[Nn]ot run", note)


def test_the_page_tells_where_each_setting_comes_from() -> None:
    table = TEXT.partition("| settings | from |")[2].partition("\n\n")[0]
    told = {name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert told <= {each.name for each in declared(DataflowSettings)}
    assert {each.name for each in declared(DataflowSettings) if each.is_required} <= told
    written = yaml.safe_load((ROOT / "deploy/env/production.yaml").read_text())
    assert written.keys() - told == {"redis_cluster"}, "its comment says what it is"


def test_the_page_goes_from_nothing_to_a_running_job_and_on() -> None:
    verbs = re.findall(r"^riskstream (\w+)", "\n".join(block for _, block in BLOCKS), re.MULTILINE)
    wanted = [
        "topics",
        "tables",
        "train",
        "backfill",
        "launch",
        "jobs",
        "publish",
        "update",
        "drain",
        "cancel",
    ]
    assert sorted(wanted, key=verbs.index) == wanted
