"""What a job on Flink needs beyond what is so on every engine."""

from collections.abc import Sequence
from typing import Any

FLINK = "FlinkRunner"
# Flink finalizes bundles, that is, acknowledges messages, after a checkpoint and never without. Its state is a
# position for each puller, so one a second costs nothing and stays far below the acknowledgement deadline of 60 s.
CHECKPOINTS = "--checkpointing_interval"
EACH_MS = 1_000


def with_checkpoints(beam_args: Sequence[str]) -> list[str]:
    """The flags, with an interval of checkpoints unless they have one."""
    is_told = any(argument.partition("=")[0] == CHECKPOINTS for argument in beam_args)
    return [*beam_args] if is_told else [*beam_args, f"{CHECKPOINTS}={EACH_MS}"]


def mend_cancel() -> None:
    """Beam 2.77 asks for it at a path that Flink does not have, v1/JOB/stop, and leaves the job as it is."""
    from apache_beam.runners.portability import flink_uber_jar_job_server as client

    def cancel(job: Any) -> None:
        job.request(client.requests.patch, f"v1/jobs/{job._flink_job_id}?mode=cancel", expected_status=202)
        job.delete_jar()

    client.FlinkBeamJob.cancel = cancel
