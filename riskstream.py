"""The command line: its verbs are in commands/, and import what they run only when they run.

Results go to stdout (as JSON with --json), everything else to stderr. An error of a known kind ends as a line
and the exit code of the table EXITS; anything else is a defect and keeps its traceback.
"""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from commands import (
    alerts,
    backfill,
    bundle,
    capacity,
    certify,
    dataflow,
    dataflow_jobs,
    delete_records,
    demo,
    drift,
    generate,
    local,
    models,
    profile,
    publish,
    realised,
    reconcile,
    repair,
    retrain,
    run,
    score,
    serve,
    status,
    tables,
    topics,
    train,
    usecase,
)
from commands.errors import EXITS, exit_code
from commands.options import LogFormat, set_log
from commands.terminal import show_error
from commands.verbs import Verbs, exit_line

app = typer.Typer(
    name="riskstream",
    cls=Verbs,
    help="Score a bank's events as they come: rolling features in Redis, ONNX models, Apache Beam.",
    epilog="\n".join(("\b", "Exit codes:", *map(exit_line, EXITS))),
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
for part in (
    demo, local, usecase, generate, profile, train, retrain, models, bundle, capacity, topics, tables, backfill,
    run, publish, alerts, status, dataflow, dataflow_jobs, serve, score, drift, realised, certify, reconcile, repair,
    delete_records,
):  # fmt: skip
    app.add_typer(part.app)


def show_version(is_wanted: bool) -> None:
    """Print the version and end, if that is wanted."""
    if is_wanted:
        typer.echo(f"riskstream {version('riskstream')}")
        raise typer.Exit


@app.callback()
def settings(
    context: typer.Context,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens, to stderr.")] = False,
    log: Annotated[
        LogFormat, typer.Option(envvar="RISKSTREAM_LOG", help="Log as text, or as one JSON object a line.")
    ] = LogFormat.TEXT,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of every error.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    set_log(log, verbose)
    local.find_stack(context.command, sys.argv[1:])


def main() -> None:
    """The console script."""
    try:
        app()
    except Exception as error:
        code = exit_code(error)
        if code is None or "--debug" in sys.argv:
            raise
        show_error(error)
        if isinstance(error, ModuleNotFoundError):
            typer.echo(
                "riskstream: install the extras: pip install 'riskstream[local,serving,training]'", err=True
            )
        sys.exit(code)


if __name__ == "__main__":
    main()
