"""The wheel has all that riskstream needs without a checkout; `make wheel` installs it elsewhere and runs it there."""

import csv
import http.client
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path

import pytest

import usecases
from deploy.local.demo.rest_service import free_port

ROOT = Path(__file__).parent.parent
BUILD = ("setup.py", "pyproject.toml", "riskstream.py", "LICENSE")
ROOMS = ("commands", "deploy", "export", "features", "pipeline", "serving", "training", "usecases")
DATA = {".jinja", ".json", ".yaml"}
READ_BY_PROGRAM = ("deploy/capacity/", "deploy/env/")  # the rest of deploy/ is used from a checkout
START_TIMEOUT_S = 120.0
LOCAL = ("PUBSUB_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST", "BIGQUERY_STORAGE_EMULATOR_HOST", "REDIS_URL")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: setuptools writes beside the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for room in ROOMS:
        ignored = shutil.ignore_patterns("__pycache__", "java", ".terraform")
        shutil.copytree(ROOT / room, folder / "source" / room, ignore=ignored)
    for name in BUILD:
        shutil.copy(ROOT / name, folder / "source")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*command, "--no-build-isolation", "--wheel-dir", folder, folder / "source"], check=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_has_every_module_template_use_case_and_environment(wheel: Path) -> None:
    needed = {
        str(file.relative_to(ROOT))
        for room in ROOMS
        for file in (ROOT / room).rglob("*")
        if file.suffix in DATA | {".py"} or file.name == "py.typed"
    }
    needed = {
        name
        for name in needed
        if name != "deploy/airflow/batch.py"  # Airflow reads it
        if not name.startswith("deploy/")
        or name.startswith(READ_BY_PROGRAM)
        or not name.endswith(tuple(DATA))
    }
    names = set(zipfile.ZipFile(wheel).namelist())
    assert needed - names == set()
    assert {f"{room}/py.typed" for room in ROOMS} <= names
    assert not any(name.startswith("tests/") for name in names)


def test_a_use_case_is_found_by_its_name_and_a_file_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert usecases.names() == ["berka", "card_fraud", "offboarding"]
    monkeypatch.chdir(ROOT)
    assert usecases.find("offboarding") == Path("usecases/offboarding.yaml"), "short in messages"
    monkeypatch.chdir(tmp_path)
    assert usecases.find("offboarding") == ROOT / "usecases/offboarding.yaml"
    Path("offboarding").write_text("use_case: mine\n")
    assert usecases.find("offboarding") == Path("offboarding")
    for missing in ("offborading", "usecases/offboarding.yaml", "../usecases/offboarding"):
        with pytest.raises(FileNotFoundError, match=r"a packaged use case: berka, card_fraud, offboarding"):
            usecases.find(missing)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder bin/ of a new environment with the wheel and what it needs, for WHEEL_PYTHON or this Python."""
    folder = tmp_path_factory.mktemp("installed")
    uv = [sys.executable, "-m", "uv"]
    python = os.environ.get("WHEEL_PYTHON", sys.executable)
    subprocess.run([*uv, "venv", "--quiet", "--python", python, folder / "venv"], check=True)
    into = ["--quiet", "--python", folder / "venv/bin/python"]
    lock = ROOT / "requirements.lock"
    subprocess.run([*uv, "pip", "sync", *into, "--require-hashes", lock], check=True)
    subprocess.run([*uv, "pip", "install", *into, "--no-deps", wheel], check=True)
    return folder / "venv/bin"


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder without a checkout."""
    return tmp_path_factory.mktemp("elsewhere")


def environment() -> dict[str, str]:
    """The environment of a shell that knows nothing of a checkout or of a local stack."""
    left_out = {*LOCAL, "GOOGLE_CLOUD_PROJECT", "PYTHONPATH", "VIRTUAL_ENV"}
    return {name: value for name, value in os.environ.items() if name not in left_out}


def run(installed: Path, folder: Path, *words: object) -> str:
    command = [installed / "riskstream", *map(str, words)]
    return subprocess.run(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True, check=True
    ).stdout


@pytest.mark.wheel
def test_demo_runs_without_a_checkout(installed: Path, elsewhere: Path) -> None:
    shown = run(installed, elsewhere, "demo", "--customers", 60, "--events", 2_000, "--json")
    assert json.loads(shown)["reconciliation"]["holds"] is True


@pytest.mark.wheel
def test_train_and_serve_run_without_a_checkout(installed: Path, elsewhere: Path) -> None:
    run(installed, elsewhere, "generate", "--customers", 300, "--days", 60, "--seed", 7, "--out", "history")
    files = ("history/users.csv", "history/transactions.csv")
    run(installed, elsewhere, "train", *files, "--use-case", "offboarding")
    assert (elsewhere / "build/bundles/offboarding.current").exists()
    run(installed, elsewhere, "up")  # the verbs below find it without its environment
    try:
        for words in (["topics"], ["tables"], ["backfill", *files]):
            run(installed, elsewhere, *words)
        with serving(installed, elsewhere) as port:
            status, answer = ask(port, "POST", "/v1/scores/transaction", latest_row(elsewhere / files[1]))
            assert status == 200 and 0 <= answer["score"] <= 1, answer
    finally:
        run(installed, elsewhere, "down")


def latest_row(file: Path) -> dict[str, object]:
    """Return the latest transaction of a file as the service takes it."""
    with file.open(newline="") as rows:
        row = {
            name: value
            for name, value in max(csv.DictReader(rows), key=itemgetter("created_at")).items()
            if value
        }
    return {**row, "amount": float(row["amount"])}


@contextmanager
def serving(installed: Path, folder: Path) -> Iterator[int]:
    """`riskstream serve` for as long as the block lasts; its port."""
    port = free_port()
    command = [installed / "riskstream", "serve", "--port", str(port)]
    with subprocess.Popen(command, cwd=folder, env=environment()) as service:
        try:
            until_s = time.monotonic() + START_TIMEOUT_S
            while ask(port, "GET", "/health/ready")[0] != 200:
                assert service.poll() is None and time.monotonic() < until_s
                time.sleep(0.1)
            yield port
        finally:
            service.terminate()


def ask(port: int, method: str, path: str, body: object = None) -> tuple[int, dict[str, object]]:
    """The status and the JSON of an answer; status 0 while nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    except ConnectionError:
        return 0, {}
    finally:
        connection.close()
