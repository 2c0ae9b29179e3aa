"""The Dockerfile: what it copies exists, what it installs is what `make images` shows to work, nobody is root."""

import inspect
import json
import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest

from commands.serve import serve
from deploy.images.digests import DOCKERFILE, NoDigest, bases, main, pinned
from tests.test_readme import knows

ROOT = Path(__file__).parent.parent.parent
TEXT = DOCKERFILE.read_text()
SHIPPED = ("worker", "training", "serving")
COMPILERS = re.compile(r"\b(gcc|g\+\+|clang|make|build-essential|cargo|rustc|python3-dev)\b")
INSTALL = re.compile(r"uv pip (?:sync|install|check) [^&|;\n]*")


class Step(NamedTuple):
    verb: str
    words: str


def stages(text: str) -> dict[str, list[Step]]:
    """Return the steps by stage, the first one being FROM."""
    found: dict[str, list[Step]] = {}
    lines = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    for verb, _, words in (line.partition(" ") for line in lines if line.strip()):
        if verb == "FROM":
            name = words.rpartition(" AS ")[2]
            found[name] = []
        if found:
            found[name].append(Step(verb, words.strip()))
    return found


STAGES = stages(TEXT)


def lineage(stage: str) -> list[Step]:
    """The steps of a stage after those of the stages it is built on."""
    parent = STAGES[stage][0].words.partition(" AS ")[0]
    return (lineage(parent) if parent in STAGES else []) + STAGES[stage]


def copied() -> list[tuple[str, str]]:
    """Stage and source of whatever is copied out of the repository."""
    return [
        (stage, source)
        for stage, steps in STAGES.items()
        for step in steps
        if step.verb == "COPY" and "--from=" not in step.words
        for source in [word for word in step.words.split() if not word.startswith("--")][:-1]
    ]


def plain(command: str) -> str:
    """An install line without where it installs and how much it prints."""
    return re.sub(r"--(quiet|no-cache|python \S+)\s*", "", command).strip()


@pytest.mark.parametrize("source", sorted({source for _, source in copied()}))
def test_what_is_copied_exists_and_is_sent_to_docker(source: str) -> None:
    assert (ROOT / source).exists()
    sent = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert any(fnmatch(source.partition("/")[0], pattern) for pattern in sent)


def test_nothing_is_sent_to_docker_that_no_stage_copies() -> None:
    sent = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    sources = {source for _, source in copied()}
    assert [each for each in sent if not any(fnmatch(s.partition("/")[0], each) for s in sources)] == []


def test_stages_that_are_copied_from_exist() -> None:
    assert set(re.findall(r"--from=(\S+)", TEXT)) <= set(STAGES)


@pytest.mark.parametrize("stage", SHIPPED)
def test_packages_are_installed_as_make_images_does(stage: str) -> None:
    made = subprocess.run(
        ["make", "--dry-run", "--assume-old=setup", "images"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    in_make = [plain(line) for line in INSTALL.findall(made) if f"build/{stage}/" in line]
    (packages,) = {
        s.words.split()[0].partition("=")[2]
        for s in STAGES[stage]
        if s.words.startswith("--from=") and "-packages" in s.words
    }
    in_image = [plain(line) for step in STAGES[packages] for line in INSTALL.findall(step.words)]
    assert len(in_image) == 3
    assert in_image == in_make


@pytest.mark.parametrize("stage", SHIPPED)
def test_what_is_compiled_ahead_is_what_make_images_shows_to_be_enough(stage: str) -> None:
    (made,) = re.findall(r"for part in ([\w. ]+);", (ROOT / "Makefile").read_text())
    (built,) = (step.words for step in STAGES[f"{stage}-packages"] if step.verb == "RUN")
    assert re.findall(r"NUMBA_CACHE_DIR=/opt/riskstream/numba \S+/python -m (\S+)", built) == made.split()


def test_all_that_the_package_is_made_of_is_in_the_builder() -> None:
    setup = (ROOT / "setup.py").read_text()
    rooms = set(re.findall(r'"(\w+)\*"', setup)) | {
        f"{m}.py" for m in re.findall(r'py_modules=\["(\w+)"\]', setup)
    }
    assert rooms
    assert rooms <= {source for stage, source in copied() if stage == "builder"}


@pytest.mark.parametrize("stage", SHIPPED)
def test_nobody_is_root_and_nothing_compiles(stage: str) -> None:
    steps = lineage(stage)
    user = [step.words for step in steps if step.verb == "USER"][-1]
    assert user == "${USER_ID}"
    assert re.search(r"^ARG USER_ID=[1-9]\d{3,}$", TEXT, re.MULTILINE)
    assert steps[-1].verb in {"ENTRYPOINT", "CMD"}
    assert [step for step in steps if step.verb == "RUN"] == []
    assert not COMPILERS.search(" ".join(step.words for step in steps))


@pytest.mark.parametrize("stage", SHIPPED)
def test_only_the_temporary_folder_is_written_to(stage: str) -> None:
    environment = dict(
        re.findall(r"(\w+)=(\S+)", " ".join(s.words for s in lineage(stage) if s.verb == "ENV"))
    )
    folders = {name: environment[name] for name in ("HOME", "TMPDIR", "MPLCONFIGDIR", "NUMBA_CACHE_DIR")}
    assert all(Path(path).is_relative_to("/tmp") for path in folders.values())
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"


def test_the_launcher_of_the_flex_template_finds_its_file() -> None:
    (installed,) = re.findall(r"FLEX_TEMPLATE_PYTHON_PY_FILE=\S+/site-packages/(\S+)", TEXT)
    assert (ROOT / installed).exists()


def test_the_service_is_asked_for_its_health_where_it_listens() -> None:
    steps = lineage("serving")
    last = {step.verb: step.words for step in steps}
    assert last["ENTRYPOINT"] == '["start", "riskstream"]'
    words = json.loads(last["CMD"])
    assert words == ["serve", "--host", "0.0.0.0"] and knows(tuple(words))
    port = inspect.signature(serve).parameters["port"].default
    assert last["EXPOSE"] == str(port)
    assert f"http://127.0.0.1:{port}/health/live" in last["HEALTHCHECK"]


def test_bases_are_those_of_the_lock() -> None:
    beam = re.search(r"^apache-beam==(\S+)", (ROOT / "requirements-worker.lock").read_text(), re.MULTILINE)
    assert beam
    assert f"apache/beam_python3.11_sdk:{beam[1]}" in bases(TEXT)
    assert all(not name.endswith(":latest") for name in bases(TEXT))


def test_digests_are_written_beside_tags_and_asked_for_by_a_release(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tags = re.sub(r"@sha256:\w+", "", TEXT)
    file = tmp_path / "Dockerfile"
    file.write_text(tags)
    monkeypatch.setattr("deploy.images.digests.DOCKERFILE", file)
    with pytest.raises(NoDigest, match="make digests"):
        main(["--check"])
    digests = {name: f"sha256:{i:064x}" for i, name in enumerate(bases(tags))}
    file.write_text(pinned(pinned(tags, digests), digests))
    assert bases(file.read_text()) == {name: f"@{digest}" for name, digest in digests.items()}
    main(["--check"])


def test_the_start_script_copies_the_kernel_once_and_starts_what_it_is_told(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    ready.mkdir()
    (ready / "code").write_text("machine code")
    environment = {
        "PATH": "/usr/bin:/bin",
        "RISKSTREAM_KERNEL": str(ready),
        "NUMBA_CACHE_DIR": str(tmp_path / "n"),
    }
    for _ in range(2):
        told = subprocess.run(
            [ROOT / "deploy/images/start", "sh", "-c", 'echo "$1"', "-", "two words"],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert told.stdout == "two words\n"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["code", "code", "n", "ready"]
