"""The state of a running system: status."""

import time
from typing import Annotated

import typer

from commands.flags import with_settings
from commands.options import OFFBOARDING, AsJson, UseCase, examples
from pipeline.operations.settings import StatusSettings

app = typer.Typer()
WATCH_S = 2.0
NOT_SOUND = 5  # the exit code, as for a Redis that cannot be reached


@app.command(epilog=examples("riskstream status", "riskstream status --watch", "riskstream status --json"))
@with_settings
def status(
    settings: StatusSettings,
    use_case: UseCase = OFFBOARDING,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again and again, until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the backlog, the job's throughput, the state of Redis, customers by level, and dead letters by reason.

    A part that cannot be asked says why, and the others are shown all the same. The exit code is 5 if Redis does not
    hold what was written to it: it was emptied, has lost records, or is being filled or repaired.
    """
    from rich.console import Console

    from features.usecase import load
    from pipeline.operations import screen
    from pipeline.operations.status import status

    loaded = load(use_case)
    if watch and not as_json:
        screen.watch(lambda: status(loaded, settings), lambda: time.sleep(WATCH_S), Console())
    report = status(loaded, settings)
    typer.echo(report.to_json()) if as_json else Console().print(screen.status(report))
    raise typer.Exit(0 if report.is_sound else NOT_SOUND)
