"""Synthetic history: generate."""

from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.options import AsJson, examples
from commands.terminal import bar, show_json

if TYPE_CHECKING:
    from training.generate import Dirt

app = typer.Typer()


class Observation(StrEnum):
    """The time in which generated customers are observed."""

    period = "period"
    by_label = "by_label"


@app.command(
    epilog=examples(
        "riskstream generate --customers 2000 --days 120 --seed 7 --out build/history",
        "riskstream generate --out build/dirty --dirt duplicate_rows=0.035 --dirt repeated_users=0.12",
        "riskstream generate --out build/leaky --observation by_label   # dates tell the label, as in many exports",
    )
)
def generate(
    out: Annotated[Path, typer.Option(help="The folder to write to; it is made.")],
    customers: Annotated[int, typer.Option(min=1, help="How many customers.")] = 2000,
    days: Annotated[int, typer.Option(min=1, help="How many days of their lives.")] = 120,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 1,
    dirt: Annotated[list[str], typer.Option(metavar="NAME=RATE", help="What real exports do to rows.")] = [],  # noqa: B006
    observation: Annotated[
        Observation,
        typer.Option(
            help="When customers are seen: all the period, or by_label, so that dates tell the label."
        ),
    ] = Observation.period,
    as_json: AsJson = False,
) -> None:
    """Write synthetic customers and transactions in the off-boarding schema: users.csv, transactions.csv."""
    from training import generate as synthetic

    with bar("customers") as progress:
        written = synthetic.generate(
            customers, days, seed, out, dirt=rates(dirt), observation=observation, progress=progress
        )
    if as_json:
        show_json(asdict(written))
        return
    typer.echo(f"{written.customers} customers, {sum(written.suspended.values())} of them suspended")
    typer.echo(f"{written.transaction_rows} rows of {written.transaction_ids} transactions")
    typer.echo("\n".join(map(str, written.files)))


def rates(words: Sequence[str]) -> "Dirt":
    """NAME=RATE ... as a Dirt."""
    from training.generate import Dirt

    try:
        return Dirt(**{name: float(rate) for name, _, rate in (word.partition("=") for word in words)})
    except (TypeError, ValueError) as error:
        names = ", ".join(Dirt.__dataclass_fields__)
        raise typer.BadParameter(
            f"{error}; expected a rate from 0 to 1 of one of: {names}", param_hint="--dirt"
        ) from None
