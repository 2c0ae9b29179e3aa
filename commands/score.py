"""Customers in files scored at once, without a store: score."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.options import (
    BUNDLES,
    FILES,
    OFFBOARDING,
    AsJson,
    BundleRoot,
    EventTime,
    UseCase,
    examples,
)
from commands.terminal import show_json, staged, table, tell_bad_rows
from commands.times import as_us, now_us

if TYPE_CHECKING:
    from pipeline.batch.score import Scored

app = typer.Typer()
SHOWN_CUSTOMERS = 20  # of the off-boarding list: a screen; the file has all
Customers = Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="A file of customers.")]
Transactions = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="A file of transactions.")
]


@app.command(
    epilog=examples(
        "riskstream score build/users.csv build/transactions.csv --out scores.csv",
        "riskstream score --customers build/users.csv --transactions build/transactions.csv --out scores.csv",
        "riskstream score build/*.csv --out scores.parquet --report scores.html",
    )
)
def score(
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file to write: .csv or .parquet.")],
    files: Annotated[list[str] | None, FILES] = None,
    customers: Customers = None,
    transactions: Transactions = None,
    use_case: UseCase = OFFBOARDING,
    bundle: BundleRoot = BUNDLES,
    default_event_time: EventTime = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write an HTML report to this file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score customers in files at once, without Redis: a row for each, with level, recommendation and reasons.

    Events go through the assessment and the policy of the stream in event-time order, so scores and levels are those
    of the stream. The columns of a file tell which events it has; no label is needed. The report has the segments and
    the off-boarding list, of which the first are printed. Bad rows are printed; the exit code is then 1.
    """
    from export import bundle as bundles
    from features.usecase import load
    from pipeline.batch import customer_table
    from pipeline.batch import summary as counts
    from pipeline.batch.score import score
    from pipeline.files import place
    from pipeline.files.history import history

    places = [*map(place, files or []), *(each for each in (customers, transactions) if each)]
    if not places:
        raise typer.BadParameter("give files, or --customers and --transactions", param_hint="FILES")
    customer_table.check(out)
    if report:
        customer_table.check(report, (".html",))
    started_s, loaded = time.monotonic(), load(use_case)
    model, dated_us = bundles.load_in_use(bundle, loaded.name), as_us(default_event_time)
    with staged() as progress, history(loaded, places, now_us(), dated_us, progress) as events:
        scored = score(loaded, model, events, progress)
    customer_table.write(customer_table.table(scored), out)
    facts = counts.summary(scored) | {"out": str(out), "report": str(report) if report else None}
    if report:
        _write_report(scored, facts, report)
    tell_bad_rows(events.bad_rows, events.bad)
    facts |= {"seconds": round(time.monotonic() - started_s, 3)}
    if as_json:
        show_json(facts | {"off_boarding": customer_table.off_boarding(scored)})
    else:
        typer.echo("\n".join([*_off_boarding_list(scored, out), "", *counts.sentences(facts)]))
    raise typer.Exit(1 if events.bad else 0)


def _write_report(scored: "Scored", facts: dict[str, Any], report: Path) -> None:
    from pipeline.batch import differences
    from training.pages import segments_page

    segments_page.write(scored, facts, differences.sentences(facts["differences"]), report)


def _off_boarding_list(scored: "Scored", out: Path) -> list[str]:
    """Return the first rows of the list as a table, and the number of further ones."""
    from pipeline.batch import customer_table

    titles, rows = customer_table.listing(scored, SHOWN_CUSTOMERS)
    if not rows:
        return ["off-boarding recommended: nobody"]
    more = len(customer_table.recommended(scored)) - len(rows)
    return [
        "off-boarding recommended, the highest customer's score first:",
        table(titles, rows),
        *([f"and {more:,} more in {out}"] if more else []),
    ]
