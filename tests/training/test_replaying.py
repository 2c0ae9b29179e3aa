"""A history replayed on several cores: the same results as on one, and errors come through."""

import os
from pathlib import Path

import pytest

from features.replay import replay
from features.usecase import load
from training.data import files
from training.data.replaying import replay_rows, usable_cores
from training.generate import generate

NOW_US = 2_000_000_000_000_000


def test_rows_give_the_same_vectors_on_any_number_of_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "BATCH_EVENTS", 100)
    generate(20, 60, 5, tmp_path)
    use_case = load(Path("usecases/offboarding.yaml"))
    rows = files.read_all(use_case, [str(tmp_path / "users.csv"), str(tmp_path / "transactions.csv")], NOW_US)
    alone = [(one.vectors.tobytes(), one.seq.tobytes()) for one in replay(files.batches(use_case, rows))]
    assert len(alone) > 2
    for cores in (1, 2, 3):
        assert [
            (one.vectors.tobytes(), one.seq.tobytes()) for one in replay_rows(use_case, rows, cores)
        ] == alone


def test_an_error_in_the_thread_that_decodes_comes_through(tmp_path: Path) -> None:
    generate(5, 30, 5, tmp_path)
    use_case = load(Path("usecases/offboarding.yaml"))
    rows = files.read_all(use_case, [str(tmp_path / "users.csv")], NOW_US)
    rows.bodies[3] = b"{}"
    with pytest.raises(AssertionError):
        list(replay_rows(use_case, rows, 2))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity of processes")
def test_a_process_that_may_use_one_core_uses_one() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
