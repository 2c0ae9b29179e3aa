"""The needs of a load: capacity."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from commands.options import AsJson, examples
from commands.terminal import show_json, table

app = typer.Typer()


@app.command(
    epilog=examples(
        "riskstream capacity --events-per-second 1000 --customers 1000000",
        "riskstream capacity --events-per-second 1000 --customers 1000000 --ever 3e6",
        "riskstream capacity --events-per-second 50 --customers 2e6 --peak 5 --bench build/bench.json",
        "riskstream capacity --events-per-second 1000 --customers 1000000 --prices build/prices.yaml --json",
    )
)
def capacity(
    events_per_second: Annotated[
        float, typer.Option(min=0.001, help="Mean over the month; transactions in every state count.")
    ],
    customers: Annotated[float, typer.Option(min=1, help="Who have had an event in the last 30 days.")],
    ever: Annotated[
        float | None,
        typer.Option(
            min=1,
            help="Who have ever had one: records of dormant customers are kept.",
            show_default="the same",
        ),
    ] = None,
    peak: Annotated[
        float, typer.Option(min=1, help="How many times the mean the busiest quarter of an hour is.")
    ] = 3,
    bench: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="What `make bench` wrote.", show_default="kept figures"
        ),
    ] = None,
    prices: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Your prices, as in deploy/capacity/prices.yaml."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compute workers, Redis, Pub/Sub, BigQuery and money a month from measured figures and list prices.

    On Google Cloud, with Dataflow and Memorystore, for the off-boarding use case. docs/scaling.md has tables for
    many loads, every assumption, and the date and page of each price: check those before you decide by them.
    """
    from deploy.capacity import files, tables
    from deploy.capacity.estimate import Load, estimate

    if ever is not None and ever < customers:
        raise typer.BadParameter(f"found {ever:,.0f}, expected at least --customers", param_hint="--ever")
    figures, listed = files.measured(bench or files.MEASURED), files.prices(prices)
    load = Load(events_per_second, round(customers), peak, round(ever or customers) - round(customers))
    estimated = estimate(load, figures, listed)
    if as_json:
        show_json(as_data(estimated, figures))
        return
    typer.echo(table(("what", "how much", "USD a month"), tables.lines(estimated)))
    typer.echo(f"\n{tables.first(estimated)}")
    if load.dormant:
        typer.echo(tables.remembering(estimated, estimate(replace(load, dormant=0), figures, listed)))
    typer.echo(f"figures of {figures.date[:10]} ({figures.machine}); list prices, see docs/scaling.md")


def as_data(estimated: Any, figures: Any) -> dict[str, object]:
    from deploy.capacity.estimate import ASSUMPTIONS

    limits = [{**limit._asdict(), "breaks_at": limit.breaks_at} for limit in estimated.limits]
    return asdict(estimated) | {
        "total_usd": estimated.total_usd,
        "limits": limits,
        "measured": {"date": figures.date, "commit": figures.commit, "machine": figures.machine},
        "assumptions": {name: each._asdict() for name, each in ASSUMPTIONS.items()},
    }
