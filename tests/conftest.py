"""Settings of all tests."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import Run

# The tests run beside each other, one on a core. Two threads of scikit-learn's trees, where one core is busy with
# something else, wait for each other in a loop: a fit of half a second then takes 40.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables with nothing in them, made once for all workers: its 60 migrations take two seconds."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    made = shared / "registry" / "mlflow.db"
    with (shared / "registry.lock").open("w") as lock, pytest.MonkeyPatch.context() as patch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            patch.delenv("MLFLOW_TRACKING_URI", raising=False)
            _make_tables(shared / "making")
            (shared / "making").rename(made.parent)
    return made


def _make_tables(root: Path) -> None:
    from export.registry.versions import Registry

    Registry(str(root), "nobody", new=True)


@pytest.fixture(scope="session")
def with_registry(empty_registry: Path) -> Callable[[Path], Path]:
    """Puts an empty registry into a folder, and returns the folder."""

    def put(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(empty_registry, folder)
        return folder

    return put


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line, as if nothing were set in the environment."""
    for name in ("GOOGLE_CLOUD_PROJECT", "REDIS_URL", "PUBSUB_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)
    return Run(monkeypatch, capsys)
