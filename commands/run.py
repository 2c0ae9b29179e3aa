"""The streaming job on this machine, or on a runner other than Dataflow: run."""

from typing import Annotated

import typer

from commands.flags import with_settings
from commands.options import OFFBOARDING, UseCase, examples
from pipeline.job.settings import RunSettings

app = typer.Typer()


@app.command(
    epilog=examples(
        "riskstream run",
        "riskstream run --allow-empty-store",
        "riskstream run --workers 2 --metrics-port 9464",
        "riskstream run --redis-url rediss://:secret@10.0.0.3:6378",
        "riskstream run -- --runner FlinkRunner --flink_master localhost:8081",
    )
)
@with_settings
def run(
    settings: RunSettings,
    use_case: UseCase = OFFBOARDING,
    beam: Annotated[
        list[str] | None, typer.Argument(metavar="[-- BEAM_FLAGS]", help="Flags for Beam.")
    ] = None,
) -> None:
    """Run the streaming job until SIGTERM or Ctrl-C.

    The job reads events, assesses them, and writes assessments, alerts and dead letters. It first checks that all it
    needs is there. It adopts a newly promoted bundle without a restart. A store that neither `riskstream backfill`
    nor an earlier job has filled with these features is refused without --allow-empty-store.

    Flags after -- go to Beam. With --runner FlinkRunner the same job runs on Flink (docs/runners.md): messages are
    acknowledged after its checkpoints, one a second unless --checkpointing_interval (ms) is given. SIGTERM and Ctrl-C
    cancel it; messages that were not acknowledged are delivered again.
    """
    from features.usecase import load
    from pipeline.job.job import Job
    from pipeline.job.run import run

    load(use_case)  # a wrong file is refused as such, not as one of many reasons why a job cannot start
    raise typer.Exit(run(Job.load(use_case, **vars(settings)), beam or []))
