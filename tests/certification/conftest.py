"""The local stack of the chaos suite, and one short run in it that all tests of the verdict share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local import stack
from pipeline.certification.account import StreamEvidence
from pipeline.certification.certify import certification, check_before, new_run
from pipeline.certification.exercise import Exercise
from pipeline.certification.faults import fault_plan
from pipeline.certification.settings import CertifySettings
from pipeline.pubsub.message import Message
from pipeline.reconciliation.published import audit_subscription, collect
from tests.chaos.conftest import compiled, stack_folder, started

__all__ = ["compiled", "finished", "settings", "stack_folder", "started"]


@dataclass(frozen=True)
class FinishedRun:
    """A run that has come to its end, with everything that it created still there."""

    exercise: Exercise
    evidence: StreamEvidence
    sent: Sequence[Message]


@pytest.fixture(scope="session")
def settings(started: stack.Stack) -> CertifySettings:
    """Settings of a run of some seconds."""
    environment = started.environment
    return CertifySettings(
        redis_url=environment["REDIS_URL"], project=environment["GOOGLE_CLOUD_PROJECT"],
        events=400, minutes=5.0, kills=0, outage_s=0.3, workers=1, batch=100,
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(
    started: stack.Stack, settings: CertifySettings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FinishedRun]:
    """Run the exercise once."""
    folder: Path = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in started.environment.items():
            patch.setenv(name, value)
        check_before(settings)
        place, plan = new_run(settings, folder), fault_plan(settings)
        with (
            certification(settings, place, plan, lambda line: None) as exercise,
            audit_subscription(place.project, place.names.events) as audit,
        ):
            evidence = exercise.run(plan.faults)
            yield FinishedRun(exercise, evidence, collect(audit, quiet_s=0.3))
