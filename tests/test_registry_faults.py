"""Every verb that asks the registry says within seconds why it cannot, and what to do: exit code 5."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from export import bundle as bundles
from export.registry import promotion, tracking
from export.registry.versions import Registry
from tests.commands import Run
from tests.export.small import WHEN, made

ROOT = Path(__file__).parent.parent
USE_CASE = str(ROOT / "tests/pipeline/market.yaml")
VERBS = (
    ("models",),
    ("promote", "1"),
    ("promote", "1", "--as", "challenger"),
    ("approve", "1", "--approver", "Ann", "--reason", "minute 7"),
    ("rollback",),
    ("train", "FILE"),
    ("retrain", "FILE"),
)
LOCK = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Another process holds the database's lock."""
    words = [sys.executable, "-c", LOCK, str(file)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"locked\n"
        yield
        process.communicate(b"")


def refusals(run: Run, root: Path, verbs: tuple[tuple[str, ...], ...] = VERBS) -> set[str]:
    """Return each verb's stderr, without the traceback of a defect; each must end with exit code 5."""
    file = root.parent / "payments.csv"
    file.write_text("id\n1\n")
    said = set()
    for verb in verbs:
        words = [str(file) if word == "FILE" else word for word in verb]
        ended = run(*words, "--bundle", str(root), "--use-case", USE_CASE)
        assert ended.code == 5, (verb, ended)
        said.add(ended.err)
    return said


def test_a_locked_registry(
    run: Run, tmp_path: Path, with_registry: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "LOCK_WAIT_S", 0.1)
    root = with_registry(tmp_path / "bundles")
    with locked(root / "mlflow.db"):
        (said,) = refusals(run, root)
    assert (
        "mlflow.db: database is locked; nothing was promoted; another process is writing there: wait" in said
    )
    assert run("models", "--bundle", str(root), "--use-case", USE_CASE).code == 0


def test_a_registry_that_is_no_database(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bundles").mkdir()
    (tmp_path / "bundles/mlflow.db").write_bytes(b"no database" * 100)
    (said,) = refusals(run, tmp_path / "bundles")
    assert "file is not a database" in said and "restore the file" in said


def test_a_folder_in_place_of_the_registry(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bundles/mlflow.db").mkdir(parents=True)
    (said,) = refusals(run, tmp_path / "bundles")
    assert "is a folder, expected an SQLite file; nothing was promoted; move it away" in said


def test_a_mistyped_folder_is_told_and_not_made(run: Run, tmp_path: Path) -> None:
    (said,) = refusals(run, tmp_path / "bundels", VERBS[:5])
    assert f"found no folder {tmp_path}/bundels" in said and "check --bundle" in said
    assert not (tmp_path / "bundels").exists()


READ_ONLY = """
import os, sys
from datetime import UTC, datetime
from export.registry import promotion
from export.registry.versions import Registry
from export.registry.tracking import RegistryUnavailable
promotion.promote(Registry(sys.argv[1], "offboarding"), "1", datetime.now(UTC))  # imports what it takes
if os.getuid() == 0:
    os.setuid(65534)  # root is never refused
try:
    promotion.promote(Registry(sys.argv[2], "offboarding"), "1", datetime.now(UTC))
except RegistryUnavailable as error:
    print(error)
"""


def test_a_registry_that_may_only_be_read(tmp_path: Path, with_registry: Callable[[Path], Path]) -> None:
    root = with_registry(tmp_path / "bundles")
    bundles.save(made(), str(root))
    promotion.promote(Registry(str(root), "offboarding"), made().manifest.id, WHEN)
    read_only = Path(shutil.copytree(root, tmp_path / "read_only"))
    (read_only / "mlflow.db").chmod(0o444)
    read_only.chmod(0o555)
    for parent in (tmp_path, *list(tmp_path.parents)[: len(tmp_path.parts) - 3]):
        parent.chmod(0o755)
    words = [sys.executable, "-c", READ_ONLY, str(root), str(read_only)]
    environment = {**os.environ, "HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert "attempt to write a readonly database" in ended.stdout, ended.stderr
    assert "give this user the right to write" in ended.stdout
