"""One local stack for all of these tests; each has a project of its own in it."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local import stack
from features.usecase import UseCase
from pipeline.stores.store import MemoryStore
from tests.chaos.job import Place
from tests.pipeline.market import assess_in, history, market
from tests.pipeline.models import engine

SHORTEST_ACK_DEADLINE_S = 10  # what a killed job had comes again soon
MOST_NAME = 60  # the end of it, where a case says which it is
VARIABLES = ("REDIS_URL", "PUBSUB_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST", "BIGQUERY_STORAGE_EMULATOR_HOST")


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stack.Stack]:
    with pytest.MonkeyPatch.context() as patch:
        for name in VARIABLES:
            patch.delenv(name, raising=False)
        up = stack.up(tmp_path_factory.mktemp("stack"))
    yield up
    stack.down(up.folder)


@pytest.fixture(scope="session")
def compiled() -> None:
    """Compile with numba ahead of time, so that a job that starts spends seconds, not a minute."""
    use_case = market()
    assess_in(engine(use_case, MemoryStore()), history(use_case, 200, seed=1), [100])


@pytest.fixture
def stack_folder(started: stack.Stack, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stack's folder; its environment holds for the test and the processes that it starts."""
    for name, value in started.environment.items():
        monkeypatch.setenv(name, value)
    return started.folder


@pytest.fixture
def place(
    stack_folder: Path, compiled: None, tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[..., Place]:
    """A furnished place for a use case."""

    def furnished(use_case: UseCase, ack_deadline_s: int = SHORTEST_ACK_DEADLINE_S) -> Place:
        place = Place(
            re.sub("[^a-z0-9]+", "-", request.node.name)[-MOST_NAME:].strip("-"), tmp_path, use_case
        )
        place.furnish(ack_deadline_s)
        return place

    return furnished
