"""Running the job: it is checked, then run by Beam, on the local machine until it is to stop.

On SIGTERM and SIGINT, batches under way are finished, and what is delivered within some seconds is acknowledged; the
rest is handed back. A job on another runner is watched until it ends; the signals cancel it.
"""

import logging
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.runners.runner import PipelineResult, PipelineState

from features.errors import Unavailable
from pipeline.job import flink, supervisor, worker
from pipeline.job.beam_options import DATAFLOW, LOCAL, beam_options, runner_of
from pipeline.job.graph import stream
from pipeline.job.job import Job
from pipeline.job.preflight import check, note_start
from pipeline.runtime import liveness
from pipeline.runtime.errors import BadSettings, CannotStart
from pipeline.runtime.folder_lock import claimed
from pipeline.runtime.process_metrics import reporting, stop
from pipeline.runtime.watchdog import watching

__all__ = ["CannotStart", "check", "run"]

logger = logging.getLogger(__name__)
POLL_S = 0.5  # between two questions for the state of a job elsewhere
ANOTHER_FOLDER = "stop that job, or give this one a folder of its own with --state"
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run(job: Job, beam_args: Sequence[str] = ()) -> int:
    """Run the job until it is stopped and return its exit code.

    Raises BadSettings, FolderInUse or CannotStart before anything is built; later, when a table, topic or permission
    goes away for good, SinkRefused or PubSubRefused.
    """
    options = beam_options(beam_args)
    if runner_of(options) == DATAFLOW:
        raise BadSettings("--runner: found DataflowRunner; `riskstream launch` starts a job on Dataflow")
    if runner_of(options) != LOCAL:
        return submit(_checked(job), options)
    with claimed(Path(job.state), "job", ANOTHER_FOLDER):
        with watching(job.limits, Path(job.state)), liveness.call("check what the job needs", is_start=True):
            job = _checked(job)
        if job.workers > 1:
            with stopping_on_signals():
                return supervisor.run_all(job, beam_args, run_here)
        run_here(job, beam_args)
    return 0


def _checked(job: Job) -> Job:
    """Check that all the job needs is there, note its start and return it with whole paths."""
    check(job)
    note_start(job)
    job = job.with_paths()
    logger.info("reads %s until SIGTERM or Ctrl-C; `riskstream status` tells more", job.subscription)
    return job


def run_here(job: Job, beam_args: Sequence[str]) -> None:
    """Run the pipeline in this process, until it is to stop."""
    folder = Path(job.state)
    with stopping_on_signals(), watching(job.limits, folder), reporting(folder, job.use_case.name):
        try:
            run_pipeline(job, beam_options(beam_args))
            worker.of(job).deliveries.drain()
        finally:
            stop.set()  # what is away is not waited for any more
            worker.close(job)


def run_pipeline(job: Job, options: PipelineOptions) -> None:
    """Run the pipeline from start to end."""
    liveness.starting("start the pipeline")
    pipeline = beam.Pipeline(runner=FnApiRunner(), options=options)
    stream(pipeline, job, LOCAL)
    try:
        pipeline.run().wait_until_finish()
    except Unavailable as error:
        if not stop.is_set():
            raise
        logger.warning("stopped; what was not acknowledged comes again, because of: %s", error)
    finally:
        liveness.started()


def submit(job: Job, options: PipelineOptions) -> int:
    """Hand the pipeline to another runner, which supervises it, and watch it."""
    if runner_of(options) == flink.FLINK:
        flink.mend_cancel()
    pipeline = beam.Pipeline(options=options)
    stream(pipeline, job, runner_of(options))
    result = pipeline.run()
    with stopping_on_signals():
        return watch(result)


def watch(result: PipelineResult) -> int:
    """Watch a job until it ends by itself, which is a fault, or is to stop: then it is cancelled.

    Messages that are not acknowledged by then are delivered again to the next job.
    """
    while not stop.wait(POLL_S):
        if PipelineState.is_terminal(result.state):
            logger.error("the job ended by itself: %s", last_words(result))
            return 1
    result.cancel()
    return 0


def last_words(result: PipelineResult) -> str:
    """Describe why a job has ended."""
    try:
        return str(result.wait_until_finish())
    except RuntimeError as error:
        return str(error)


@contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Let SIGTERM and SIGINT ask the steps to stop; outside the main thread, signals are left alone."""

    def ask(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    is_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, ask) for number in STOP_SIGNALS} if is_main else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.clear()
