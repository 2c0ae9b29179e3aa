"""The local stack, and the whole system on it: up, down, env, demo."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from commands.options import OFFBOARDING, STACK, AsJson, Folder, UseCase, examples
from commands.terminal import show_json, table

app = typer.Typer()
DEMO = Path("build/demo")


@app.command(epilog=examples('eval "$(riskstream up)"', "riskstream up --json"))
def up(folder: Folder = STACK, as_json: AsJson = False) -> None:
    """Start Redis, Pub/Sub and BigQuery on free ports of this machine; print the environment that finds them.

    May be repeated: what runs is kept, what died is started again. A service whose variable is set
    (REDIS_URL, PUBSUB_EMULATOR_HOST, BIGQUERY_EMULATOR_HOST) is used as it is and not started.
    """
    from deploy.local import stack

    found = stack.up(folder)
    if as_json:
        show_json({"services": map(asdict, found.services), "environment": found.environment})
        return
    rows = [(each.name, each.state, ", ".join(map(str, each.ports))) for each in found.services]
    typer.echo(table(("service", "state", "ports"), rows), err=True)
    typer.echo(stack.exports(found.environment))


@app.command(epilog=examples("riskstream down"))
def down(folder: Folder = STACK, as_json: AsJson = False) -> None:
    """Stop what `riskstream up` started, and nothing else; data stay for the next time."""
    from deploy.local import stack

    found = stack.down(folder)
    if as_json:
        show_json(map(asdict, found))
    elif found:
        typer.echo(table(("service", "was"), [(each.name, each.state) for each in found]))
    else:
        typer.echo(f"nothing was up in {folder}")


@app.command(epilog=examples('eval "$(riskstream env)"', "riskstream env --json"))
def env(folder: Folder = STACK, as_json: AsJson = False) -> None:
    """Print the environment with which clients find the local stack, for a shell to evaluate."""
    from deploy.local import stack

    found = stack.environment(folder)
    show_json(found) if as_json else typer.echo(stack.exports(found))


@app.command(epilog=examples("riskstream demo", "riskstream demo --customers 300 --events 10000 --keep"))
def demo(
    use_case: UseCase = OFFBOARDING,
    customers: Annotated[int, typer.Option(min=10, help="How many customers are streamed.")] = 1_500,
    events: Annotated[int, typer.Option(min=100, help="How many transaction rows, at most.")] = 50_000,
    rate: Annotated[float, typer.Option(min=1, help="Events a second.")] = 2_500,
    folder: Annotated[Path, typer.Option(help="Where the demo keeps all it makes; it is made anew.")] = DEMO,
    keep: Annotated[bool, typer.Option("--keep", help="Leave stack and job running.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the whole system on this machine: stack, model, job, a stream with alerts, reconciliation.

    Needs nothing and leaves nothing running. Takes some minutes; the exit code is 1 if anything does not add up.
    """
    from rich.console import Console

    from deploy.local.demo import Settings, play, report

    settings = Settings(use_case, customers, events, rate, folder, keep)
    found = play(settings, Console(stderr=as_json))
    show_json(asdict(found)) if as_json else typer.echo(report(found, folder, keep))
    raise typer.Exit(0 if found.holds else 1)
