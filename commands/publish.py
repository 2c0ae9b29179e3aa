"""Files as events: publish."""

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from commands.options import OFFBOARDING, AsJson, EventTime, Files, Project, UseCase, by_name, examples
from commands.terminal import show_json, staged, table
from commands.times import as_us, now_us

if TYPE_CHECKING:
    from pipeline.operations.publish_file import Published

app = typer.Typer()


@app.command(
    epilog=examples(
        "riskstream publish build/history/*.csv --default-event-time 2024-07-01 --rate 1000",
        "riskstream publish build/history/transactions.csv --speed 3600",
        "riskstream publish payment=build/cards.csv verdict=build/cards.csv --ordered",
    )
)
def publish(
    files: Files,
    project: Project,
    use_case: UseCase = OFFBOARDING,
    topic: Annotated[str, by_name("events", "The topic that events go to.")] = "",
    type: Annotated[
        str | None, typer.Option(help="The event type of files that TYPE=FILE does not name.")
    ] = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Events per second.")] = None,
    speed: Annotated[float | None, typer.Option(min=0.001, help="Multiples of the pace of history.")] = None,
    default_event_time: EventTime = None,
    in_file_order: Annotated[
        bool,
        typer.Option("--in-file-order", help="Publish one file after the other, not sorted by event time."),
    ] = False,
    ordered: Annotated[
        bool,
        typer.Option("--ordered", help="Publish with ordering keys: see `riskstream topics --ordered`."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Publish files as events, all of them together in event-time order.

    They are published as fast as Pub/Sub accepts them, or at a pace. Bad rows are printed with their line and are not
    published; the exit code is then 1. One customer's events are published in order. To have them delivered in order
    as well takes --ordered, which sends a request for each customer's events and is slower.
    """
    from features.usecase import load
    from pipeline.files import place
    from pipeline.operations.publish_file import publish
    from pipeline.pubsub import topics

    if rate and speed:
        raise typer.BadParameter("give --rate or --speed, not both", param_hint="--rate")
    dated_us, loaded = _past_us(default_event_time), load(use_case)
    where = topic or topics.Names(project, loaded.name).events
    with staged() as progress:
        done = publish(
            loaded, list(map(place, files)), where, project, event_type=type, rate=rate, speed=speed,
            dated_us=dated_us, in_file_order=in_file_order, ordered=ordered, progress=progress,
        )  # fmt: skip
    show_json(asdict(done)) if as_json else typer.echo(summary(done))
    raise typer.Exit(1 if done.bad else 0)


def _past_us(moment: datetime | None) -> int | None:
    """Return a time in microseconds. Raises BadParameter for one that has not come."""
    us = as_us(moment)
    if us is not None and us > now_us():
        raise typer.BadParameter(
            f"found {moment}, expected a time that has come: events of the future are refused",
            param_hint="--default-event-time",
        )
    return us


def summary(done: "Published") -> str:
    """Return the bad rows as a table, if there are any, and a line that sums up."""
    counts = [f"{count:,} {kind}" for kind, count in done.by_type.items()]
    kinds = ", ".join(counts[:-1]) + " and " + counts[-1] if len(counts) > 1 else "".join(done.by_type)
    line = (
        f"published {done.published:,} of {done.rows:,} rows{f' as {kinds} events' if kinds else ''} in "
        f"{done.seconds:,.1f} s ({done.events_per_s:,.0f}/s)"
    )
    if not done.bad:
        return line
    rows = [(str(file), str(row.line), row.reason, row.detail) for file, row in done.bad_rows]
    more = done.bad - len(rows)
    return "\n".join(
        [
            table(("file", "line", "reason", "what is wrong"), rows),
            *([f"... and {more:,} more"] if more else []),
            f"{line}; {done.bad:,} bad rows were not published",
        ]
    )
