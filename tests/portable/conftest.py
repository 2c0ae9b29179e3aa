"""The local stack and a job's place in it, as the tests that kill parts of the system have them; and Flink's files."""

import pytest

from deploy.flink import files
from tests.chaos.conftest import compiled, place, stack_folder, started

__all__ = ["compiled", "place", "stack_folder", "started"]


@pytest.fixture(scope="session")
def fetched() -> None:
    """Flink is there, or the test is skipped with the reason why it cannot be had."""
    try:
        files.runner()
    except files.FlinkMissing as missing:
        pytest.skip(str(missing))
