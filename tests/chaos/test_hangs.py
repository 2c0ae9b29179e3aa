"""A job whose thread never comes back: it writes its stacks and ends, and the next one loses and doubles nothing."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.certification.job_process import PATIENCE_S, ROOT
from pipeline.certification.publishing import publish_over
from pipeline.pubsub.ordered_publisher import Lanes
from pipeline.runtime.watchdog import EXIT_CODE
from tests.chaos.account import settle
from tests.chaos.job import Job, Place, job_of
from tests.chaos.stream import stream

# The fourth batch of a process waits for nobody: no call is under way, so only the lack of progress tells.
HANGING = """
import threading
from pipeline.runtime import logging_setup
logging_setup.configure()
import riskstream
from pipeline.job.settings import JobSettings
from pipeline.job import steps
from pipeline.runtime.watchdog import Limits

encode, batches = steps.encode, []

def encode_or_hang(decoded, assessments, now_us):
    batches.append(decoded)
    if len(batches) > 3:
        threading.Event().wait()
    return encode(decoded, assessments, now_us)

steps.encode = encode_or_hang
JobSettings.limits = property(lambda job: Limits(35.0, 120.0))  # a pull waits for 30 s
if __name__ == "__main__":  # a worker of its supervisor imports this file, too
    riskstream.main()
"""


@pytest.mark.chaos
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_hung_job_ends_by_itself_and_the_next_one_goes_on(
    place: Callable[..., Place], tmp_path: Path, workers: str
) -> None:
    sent = stream(tmp_path, 4_000, days=60, seed=31, lateness_share=1.0)
    furnished = place(sent.use_case)
    with job_of(furnished, batch="500", workers=workers) as job, Lanes(furnished.names.events, 1) as lanes:
        publish_over(lanes, sent.messages, 0)
        lanes.finish()
        assert hanging(job, tmp_path) == EXIT_CODE
        assert furnished.unacknowledged() > 0
        job.start()
        furnished.wait_until_drained()
        job.stop()
    stacks = [file.read_text() for file in job.state.rglob("stacks-*.txt")]
    assert stacks and all("in encode_or_hang" in text for text in stacks)
    assert "none of them got done within" in job.log.read_text()
    print(f"\n{workers} workers, {len(stacks)} hung, {settle(furnished, sent)}")


def hanging(job: Job, folder: Path) -> int:
    """Run the job with a step that hangs, until it has ended; its exit code."""
    program = folder / "hanging.py"
    program.write_text(HANGING)
    words = ["--state", str(job.state), "--allow-empty-store", *job.flags]
    with job.log.open("ab") as log:
        ended = subprocess.run(
            [sys.executable, str(program), "run", *words],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=log, stderr=log, timeout=PATIENCE_S,
            check=False,
        )  # fmt: skip
    return ended.returncode
