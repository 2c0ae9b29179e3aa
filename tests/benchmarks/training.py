"""Training from files on one machine: reading, replaying, choosing, exporting, with the most memory that it took.

The off-boarding use case with its model section as it is: several learners are compared. The files are generated first;
that is neither timed nor measured. Choosing alone is measured on more rows, which are drawn instead of replayed.
"""

import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from export.onnx import convert, parity
from features.replay import replay
from features.usecase import load
from tests.benchmarks import workloads
from tests.benchmarks.report import Row
from training.data.files import batches, read_all
from training.data.labelled_rows import LabelledRows, collect
from training.generate import generate
from training.models.parameters import Parameters
from training.models.selection import SelectedModel, select_model

DAYS = 120
EVENTS_A_CUSTOMER = 103  # in so many days, on average
NOW_US = workloads.START_US + 3_650 * workloads.DAY_US  # after everything generated
PARITY_ROWS = 20_000
FEATURES, EVENTS_OF_A_CUSTOMER = 60, 100  # of rows that are drawn
T = TypeVar("T")


def training(events: int) -> list[Row]:
    use_case = load(workloads.OFFBOARDING)
    with tempfile.TemporaryDirectory() as folder:
        generate(events // EVENTS_A_CUSTOMER, DAYS, 5, Path(folder))
        files = [Path(folder, "users.csv"), Path(folder, "transactions.csv")]
        began_s = time.perf_counter()
        rows, read_s = timed(lambda: read_all(use_case, files, NOW_US))
        history, replay_s = timed(lambda: collect(use_case, replay(batches(use_case, rows))))
    parameters = Parameters.of(use_case.model)
    chosen, fit_s = timed(lambda: chosen_of(history, parameters))
    _, export_s = timed(
        lambda: parity(chosen.model, convert(chosen.model, history.vectors.shape[1]), some(history))
    )
    spent_s, peak_gb = time.perf_counter() - began_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    n, told = (
        len(rows),
        f"{len(rows):,} events of {len(set(history.customers.tolist())):,} generated customers",
    )
    fitted = (
        f"{len(chosen.compared)} learners compared, {chosen.rows.folds} folds and all of {chosen.candidate}, "
        f"{len(history):,} rows of {len(use_case.features)}"
    )
    return [
        Row(
            "train_read_events_per_s", n / read_s, "events/s", f"{told}: CSV to checked JSON bodies, in order"
        ),
        Row("train_replay_events_per_s", n / replay_s, "events/s", f"{told}: bodies to labelled vectors"),
        Row("train_fit_s", fit_s, "s", f"{fitted} features, calibrated"),
        Row("train_export_s", export_s, "s", f"to ONNX, and parity on {PARITY_ROWS:,} rows and extreme ones"),
        Row("train_s", spent_s, "s", f"{told}: all of it, from files to a model that may be promoted"),
        Row("train_peak_gb", peak_gb, "GB", f"{told}: most memory of the process (generating included)"),
    ]


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


def chosen_of(history: LabelledRows, parameters: Parameters) -> SelectedModel:
    return select_model(history.vectors, history.label, history.customers, parameters, seed=1)


def some(history: LabelledRows) -> np.ndarray:
    rows = np.random.default_rng(1).permutation(len(history))[:PARITY_ROWS]
    return history.vectors[np.sort(rows)]


def timed(work: Callable[[], T]) -> tuple[T, float]:
    began_s = time.perf_counter()
    return work(), time.perf_counter() - began_s
