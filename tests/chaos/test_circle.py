"""The whole circle: train, promote, stream with it, retrain on newer data, promote, while the stream goes on."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from export import bundle as bundles
from features.replay import replay
from features.usecase import UseCase, load
from pipeline.operations.publish_file import publish
from tests.chaos.job import ROOT, Job, Place, job_of, wait_for
from tests.chaos.stream import NOW_US, OFFBOARDING
from training.data.files import batches, read_all
from training.data.labelled_rows import LabelledRows, collect
from training.generate import generate

GATES = (
    "gates: {min_customers: 9, baselines: -1, min_positives: 3, calibration: 1, fairness: 0, max_drifted_share: 1, "
    "min_improvement: -1, max_regression: 1, calendar: known}"
)


def use_case(folder: Path) -> UseCase:
    """The off-boarding use case with a quick model, gates for few customers, and enough of them to judge."""
    model = f"model: {{candidates: [hist_gradient_boosting], folds: 2, trees: 40, split: {{test: 0.4}}, {GATES}}}\n\n"
    text, changed = re.subn(r"(?ms)^model:.*?\n\n", model, OFFBOARDING.read_text())
    assert changed == 1
    file = folder / "offboarding.yaml"
    file.write_text(text)
    return load(file)


def riskstream(place: Place, *words: str | Path) -> dict[str, object]:
    """Return the JSON that a command prints."""
    shared = ["--use-case", place.use_case.file, "--bundle", place.bundles, "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "riskstream", *map(str, words), *shared],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stderr}\n{done.stdout}"
    return json.loads(done.stdout)


def files_of(folder: Path, customers: int, days: int, seed: int) -> list[Path]:
    generate(customers, days, seed, folder)
    return [folder / "users.csv", folder / "transactions.csv"]


def history_of(place: Place, files: list[Path]) -> LabelledRows:
    """Return these files as training's history."""
    rows = read_all(place.use_case, files, NOW_US)
    return collect(place.use_case, replay(batches(place.use_case, rows)))


def stream(place: Place, job: Job, files: list[Path], first_us: int) -> int:
    """Publishes the files, profiles first, and waits until all is assessed; how many events that were."""
    published = 0
    for file in files:
        done = publish(place.use_case, [file], place.names.events, place.project, dated_us=first_us)
        published += done.published
    place.wait_until_drained()
    job.running()
    return published


def logged(place: Place, history: LabelledRows) -> np.ndarray:
    """The vectors in BigQuery of the events of a history, in its order."""
    rows = place.query(
        f"SELECT event_id, features FROM `{place.project}.{place.dataset}.assessments_unique` "
        "WHERE event_type = 'transaction'"
    )
    by_id = {row["event_id"]: row["features"] for row in rows}
    found = [by_id[id] for id in history.event_ids.tolist()]
    return np.array([[np.nan if v is None else v for v in vector] for vector in found], np.float32)


def models_in(place: Place) -> dict[str, int]:
    rows = place.query(
        f"SELECT model, COUNT(*) AS n FROM `{place.project}.{place.dataset}.assessments_unique` "
        "WHERE model IS NOT NULL GROUP BY model"
    )
    return {row["model"]: row["n"] for row in rows}


@pytest.mark.parametrize(
    ("customers", "days"),
    [
        pytest.param(300, 50, id="short", marks=pytest.mark.chaos),  # a minute: too long for `make test`
        pytest.param(5_000, 90, id="whole", marks=[pytest.mark.chaos, pytest.mark.timeout(1_800)]),
    ],
)
def test_a_stream_goes_on_while_its_model_is_trained_again_and_replaced(
    place: Callable[..., Place], tmp_path: Path, customers: int, days: int
) -> None:
    own = place(use_case(tmp_path))
    older = files_of(tmp_path / "older", customers, days, seed=3)
    newer = files_of(tmp_path / "newer", 2 * customers, days, seed=4)
    first = riskstream(own, "train", *older)["id"]
    history = history_of(own, older)
    first_us = int(read_all(own.use_case, older, NOW_US).time_us[0])
    with job_of(own) as job:
        job.start()
        published = stream(own, job, older, first_us)
        process = job.running().pid
        assert set(models_in(own)) == {first}
        again = riskstream(own, "retrain", *newer)
        assert again["verdict"] == "promoted" and again["champion"] == first
        published += stream(own, job, newer, first_us)
        assert job.running().pid == process, "the job was not started again"
        job.stop()
    assert own.count("assessments_unique") == published and own.count("dead_letters") == 0
    models = models_in(own)
    assert set(models) <= {first, again["challenger"]} and models[again["challenger"]] > 0
    vectors = logged(own, history)
    assert (
        vectors.tobytes()
        == np.where(np.isnan(history.vectors), np.float32(np.nan), history.vectors).tobytes()
    )
    versions = riskstream(own, "models")["versions"]
    assert [(version["bundle"], version["status"]) for version in versions] == [
        (again["challenger"], "champion"),
        (first, "retired"),
    ]
    riskstream(own, "rollback")
    wait_for(
        lambda: bundles.read_pointer(str(own.bundles), own.use_case.name) == first, "the first model is back"
    )
