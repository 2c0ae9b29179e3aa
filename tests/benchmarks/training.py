"""Training from files on one machine, as `riskstream train` runs it, with the time of each stage and the peak memory.

The off-boarding use case with its model section as it is: several learners are compared. The files are generated first;
that is neither timed nor measured. Selection alone is measured on more rows, which are drawn instead of replayed.
"""

import resource
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import numpy as np

from export.onnx import convert, parity
from export.registry.versions import Registry
from features.usecase import load
from tests.benchmarks import workloads
from tests.benchmarks.report import Row
from training.data.files import read_all
from training.data.replaying import replay_rows
from training.generate import generate
from training.models.parameters import Parameters
from training.models.selection import select_model
from training.steps import TrainingOptions
from training.train import train

DAYS = 120
EVENTS_A_CUSTOMER = 103  # in so many days, on average
NOW_US = workloads.START_US + 3_650 * workloads.DAY_US  # after everything generated
PARITY_ROWS = 20_000
FEATURES, EVENTS_OF_A_CUSTOMER = 60, 100  # of rows that are drawn
WHEN = datetime(2026, 11, 22, tzinfo=UTC)
T = TypeVar("T")


def training(events: int) -> list[Row]:
    use_case = load(workloads.OFFBOARDING)
    with tempfile.TemporaryDirectory() as folder:
        generate(events // EVENTS_A_CUSTOMER, DAYS, 5, Path(folder))
        files = [Path(folder, "users.csv"), Path(folder, "transactions.csv")]
        stages = Stages()
        rows = read_all(use_case, files, NOW_US)
        registry = Registry(str(Path(folder, "bundles")), use_case.name, new=True)
        options = TrainingOptions(seed=1, created_at=WHEN, progress=stages)
        _, report = train(use_case, replay_rows(use_case, rows), registry, options, allow_no_signal=True)
        spent_s = time.perf_counter() - stages.began_s
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    facts = report.run.training
    n, told = len(rows), f"{len(rows):,} events of {facts['customers']:,} generated customers"
    fitted = (
        f"{len(facts['model']['compared'])} learners compared, {facts['model']['folds']} folds and all of "
        f"{facts['model']['candidate']}, {facts['rows']:,} rows of {len(use_case.features)} features, calibrated"
    )
    read_s = stages.at("replaying")
    replay_s = stages.between("replaying", "group:")
    fit_s = stages.between("group:", "converting")
    return [
        Row(
            "train_read_events_per_s", n / read_s, "events/s", f"{told}: CSV to checked JSON bodies, in order"
        ),
        Row("train_replay_events_per_s", n / replay_s, "events/s", f"{told}: bodies to labelled vectors"),
        Row("train_fit_s", fit_s, "s", fitted),
        Row(
            "train_export_s",
            stages.between("converting", "choosing"),
            "s",
            "to ONNX, and parity on many rows",
        ),
        Row(
            "train_evaluate_s", stages.between("choosing", "registering"), "s", "thresholds, figures, report"
        ),
        Row("train_s", spent_s, "s", f"{told}: all of it, from files to a promoted model with its report"),
        Row("train_peak_gb", peak_gb, "GB", f"{told}: most memory of the process (generating included)"),
    ]


class Stages:
    """Takes the progress of a training, and keeps when each stage began."""

    def __init__(self) -> None:
        self.began_s = time.perf_counter()
        self.lines: list[tuple[float, str]] = []

    def __call__(self, line: str) -> None:
        self.lines.append((time.perf_counter() - self.began_s, line))

    def at(self, start: str) -> float:
        """Seconds until the first line that starts so."""
        return next(seconds for seconds, line in self.lines if line.startswith(start))

    def between(self, start: str, end: str) -> float:
        return self.at(end) - self.at(start)


def choosing(rows: int) -> list[Row]:
    """Compare the usual learners with the usual settings, fit the chosen one in folds and to all, and convert it."""
    rng, customers = np.random.default_rng(1), rows // EVENTS_OF_A_CUSTOMER
    customer = rng.integers(0, customers, rows)
    label = (np.arange(customers) % 20 == 0).astype(np.int64)[customer]
    vectors = rng.lognormal(0, 1, (rows, FEATURES)).astype(np.float32)
    vectors[:, :5] += 0.3 * label[:, None]
    chosen, spent_s = timed(lambda: select_model(vectors, label, customer, Parameters(), seed=1))
    _, export_s = timed(lambda: parity(chosen.model, convert(chosen.model, FEATURES), vectors[:PARITY_ROWS]))
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    about = f"{rows:,} events of {customers:,} customers, {FEATURES} features"
    compared = ", ".join(each.candidate for each in chosen.compared)
    return [
        Row("choose_s", spent_s, "s", f"{about}: {compared} compared, the first in folds and of all"),
        Row("choose_export_s", export_s, "s", f"{about}: to ONNX, and parity on {PARITY_ROWS:,} rows"),
        Row("choose_peak_gb", peak_gb, "GB", f"{about}: most memory of the process"),
    ]


def timed(work: Callable[[], T]) -> tuple[T, float]:
    began_s = time.perf_counter()
    return work(), time.perf_counter() - began_s
