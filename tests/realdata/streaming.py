"""The bank's files through the system as it is run: local stack, topics, tables, the job as a process, BigQuery."""

import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from google.cloud import bigquery
from numpy.typing import NDArray

from deploy.local import stack
from deploy.local.services import SERVICES
from features.usecase import load
from pipeline.bigquery.client import query_client
from pipeline.operations.publish_file import publish
from pipeline.pubsub.topics import Names
from tests.realdata.bank import File

ROOT = Path(__file__).parents[2]
PROJECT = "local-project"
STOP_S = 60.0  # a batch and its rows are finished first
SILENCE_S = 300.0  # the longest without a new row; the first comes when the kernel is compiled
POLL_S = 0.5
COUNTS = """
SELECT (SELECT COUNT(*) FROM riskstream.assessments_unique), (SELECT COUNT(*) FROM riskstream.dead_letters_unique)
"""
LOANS = """
SELECT event_id, customer, seq, score, level, features, model FROM riskstream.assessments_unique
WHERE event_type = 'loan' ORDER BY event_time, event_id
"""


@dataclass(frozen=True)
class Streamed:
    """The published events, their results, and the assessments of loans, by date."""

    published: int
    assessments: int
    dead_letters: int
    seconds: float  # from the first event published to the last row in BigQuery
    loan: list[str]
    account: list[str]
    seq: NDArray[np.int64]
    score: NDArray[np.float64]
    level: list[str]
    vectors: NDArray[np.float64]
    models: set[str]


def stream(use_case_file: Path, bundles: Path, files: Iterable[File], folder: Path) -> Streamed:
    """Publishes file after file to a job that runs, waits until all is assessed, stops the job."""
    with local_stack(folder / "stack"):
        riskstream("topics", "--use-case", use_case_file)
        riskstream("tables")
        with job(use_case_file, bundles, folder) as process:
            started_s = time.monotonic()
            published = sum(publish_file(use_case_file, *file) for file in files)
            assessments, dead_letters = wait(process, published)
            seconds = time.monotonic() - started_s
        rows = list(query_client(PROJECT).query(LOANS).result())
    return streamed(published, assessments, dead_letters, seconds, rows)


@contextmanager
def local_stack(folder: Path) -> Iterator[None]:
    """A stack of its own, found by this process and those it starts."""
    with pytest.MonkeyPatch.context() as patch:
        for service in SERVICES:
            patch.delenv(service.variable, raising=False)
        with stack.running(folder) as up:
            for name, value in {**up.environment, "GOOGLE_CLOUD_PROJECT": PROJECT}.items():
                patch.setenv(name, value)
            yield


def command(*words: object) -> list[str]:
    return [sys.executable, str(ROOT / "riskstream.py"), *map(str, words)]


def riskstream(*words: object) -> None:
    done = subprocess.run(command(*words), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@contextmanager
def job(use_case_file: Path, bundles: Path, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """`riskstream run` until the block ends; then it is asked to stop, and does."""
    words = command(
        "run", "--allow-empty-store", "--use-case", use_case_file, "--bundle", bundles, "--state", folder
    )
    log = folder / "job.log"
    with log.open("wb") as out, subprocess.Popen(words, stdout=out, stderr=out) as process:
        try:
            yield process
            process.terminate()
            assert process.wait(STOP_S) == 0, log.read_text()
        finally:
            process.kill()


def publish_file(use_case_file: Path, event_type: str, path: Path) -> int:
    use_case = load(use_case_file)
    done = publish(use_case, [path], Names(PROJECT, use_case.name).events, PROJECT, event_type=event_type)
    assert not done.bad, f"{path}: {done.bad_rows}"
    return done.published


def wait(process: "subprocess.Popen[bytes]", published: int) -> tuple[int, int]:
    """Assessments and dead letters, once they are as many as what was published."""
    client, found, changed_s = query_client(PROJECT), (0, 0), time.monotonic()
    while sum(found) < published:
        assert process.poll() is None, f"the job ended with exit code {process.returncode}; see job.log"
        assert time.monotonic() < changed_s + SILENCE_S, f"{found} of {published} events, and no more"
        time.sleep(POLL_S)
        (row,) = client.query(COUNTS).result()
        if tuple(row) != found:
            found, changed_s = (row[0], row[1]), time.monotonic()
    return found


def streamed(
    published: int, assessments: int, dead_letters: int, seconds: float, rows: list[bigquery.Row]
) -> Streamed:
    return Streamed(
        published=published,
        assessments=assessments,
        dead_letters=dead_letters,
        seconds=seconds,
        loan=[row["event_id"] for row in rows],
        account=[row["customer"] for row in rows],
        seq=np.array([row["seq"] for row in rows], np.int64),
        score=np.array([row["score"] for row in rows], np.float64),
        level=[row["level"] for row in rows],
        vectors=np.array([row["features"] for row in rows], np.float64),
        models={row["model"] for row in rows},
    )
