"""Flink's peculiarities: bundles are finalized after a checkpoint only, and Beam's cancel needs mending."""

from collections.abc import Sequence
from typing import Any

FLINK = "FlinkRunner"
# Flink finalizes bundles, that is, acknowledges messages, after a checkpoint and never without. Its state is a
# position for each puller, so one a second costs nothing and stays far below the acknowledgement deadline of 60 s.
CHECKPOINTS = "--checkpointing_interval"
EACH_MS = 1_000


def with_checkpoints(beam_args: Sequence[str]) -> list[str]:
    """Return the flags, with an interval of checkpoints added unless they have one."""
    has_interval = any(argument.partition("=")[0] == CHECKPOINTS for argument in beam_args)
    return [*beam_args] if has_interval else [*beam_args, f"{CHECKPOINTS}={EACH_MS}"]


def mend_cancel() -> None:
    """Make Beam cancel a job by the path that Flink has. Beam 2.77 asks at v1/JOB/stop, and the job goes on."""
    from apache_beam.runners.portability import flink_uber_jar_job_server as client

    def cancel(job: Any) -> None:
        patch = client.requests.patch  # type: ignore[attr-defined]
        job.request(patch, f"v1/jobs/{job._flink_job_id}?mode=cancel", expected_status=202)
        job.delete_jar()

    client.FlinkBeamJob.cancel = cancel  # type: ignore[method-assign]
