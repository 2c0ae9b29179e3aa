"""The whole system on this machine: demo."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from commands.options import OFFBOARDING, AsJson, UseCase, examples
from commands.terminal import show_json

app = typer.Typer()
DEMO = Path("build/demo")


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

    from deploy.local.demo import DemoSettings, play, report

    settings = DemoSettings(use_case, customers, events, rate, folder, keep)
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    summary = play(settings, console)
    show_json(asdict(summary)) if as_json else console.print(report(summary, folder, keep))
    raise typer.Exit(0 if summary.holds else 1)
