"""The profile of a history: profile."""

import time
from typing import Annotated

import typer

from commands.options import OFFBOARDING, AsJson, Files, UseCase, examples
from commands.terminal import show_json, table

app = typer.Typer()


@app.command(
    epilog=examples(
        "riskstream profile build/history/users.csv build/history/transactions.csv",
        "riskstream profile bq://project.bank.transactions --use-case usecases/offboarding.yaml --out build/bank.html",
        "riskstream profile build/history/users.csv --json | jq .labels",
    )
)
def profile(
    files: Files,
    use_case: UseCase = OFFBOARDING,
    out: Annotated[
        str, typer.Option(metavar="FILE", help="The page to write; local or gs://.")
    ] = "profile.html",
    as_json: AsJson = False,
) -> None:
    """Describe a history in one HTML page: what is missing, repeated, contradictory, far out, drifting.

    Rows are read as training reads them and described before cleaning. The page needs no network. Rows that cannot be
    used are listed there; the exit code is then 1.
    """
    import msgspec

    from export.storage import write
    from features.usecase import load
    from training.data import files as history
    from training.profile import measure, page
    from training.profile.findings import findings

    def progress(stage: str) -> None:
        typer.echo(stage, err=True)

    declared = load(use_case)
    progress("reading")
    rows = history.read_all(declared, files, time.time_ns() // 1000)
    facts, frames, outcomes = measure.profile(declared, files, rows, progress)
    write(out, page.page(facts, frames, outcomes, progress).encode())
    outstanding = findings(facts)
    if as_json:
        show_json(msgspec.to_builtins(facts) | {"findings": [each._asdict() for each in outstanding]})
    else:
        typer.echo(table(("weight", "finding"), [(each.weight, each.text) for each in outstanding]))
        typer.echo(f"\n{out}")
    raise typer.Exit(1 if rows.bad else 0)
