"""Files as events: publish."""

import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from commands.options import OFFBOARDING, AsJson, Files, Project, UseCase, by_name, examples
from commands.terminal import show_json

app = typer.Typer()
TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]  # UTC


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
    topic: Annotated[str, by_name("events", "Where events go.")] = "",
    type: Annotated[
        str | None, typer.Option(help="The event type of files that TYPE=FILE does not name.")
    ] = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Events a second.")] = None,
    speed: Annotated[float | None, typer.Option(min=0.001, help="Times the pace of history.")] = None,
    default_event_time: Annotated[
        datetime | None,
        typer.Option(
            formats=TIMES,
            metavar="TIME",
            help="When events without a time happened; default: with the earliest of the others.",
        ),
    ] = None,
    in_file_order: Annotated[
        bool, typer.Option("--in-file-order", help="One file after the other, not sorted by event time.")
    ] = False,
    ordered: Annotated[
        bool,
        typer.Option(
            "--ordered", help="Have Pub/Sub keep each customer's order: see `riskstream topics --ordered`."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Publish files as events, all of them together in event-time order.

    As fast as Pub/Sub takes them, or at a pace. Bad rows are told with their line and are not published; the
    exit code is then 1. One customer's events are published in order; that they are also delivered in order takes
    --ordered, which sends a request for each customer's events and is slower.
    """
    if rate and speed:
        raise typer.BadParameter("give --rate or --speed, not both", param_hint="--rate")
    if default_event_time and microseconds(default_event_time) > time.time_ns() // 1_000:
        raise typer.BadParameter(
            f"found {default_event_time:%Y-%m-%dT%H:%M:%SZ}, expected a time that has come: "
            "events of the future are refused",
            param_hint="--default-event-time",
        )
    from rich.console import Console

    from features.usecase import load
    from pipeline.files import place
    from pipeline.operations import screen
    from pipeline.operations.publish_file import publish
    from pipeline.pubsub import topics

    found = load(use_case)
    with screen.publishing() as progress:
        done = publish(
            found, list(map(place, files)), topic or topics.Names(project, found.name).events, project, event_type=type,
            rate=rate, speed=speed, dated_us=optional_us(default_event_time), in_file_order=in_file_order,
            ordered=ordered, progress=progress,
        )  # fmt: skip
    show_json(asdict(done)) if as_json else Console().print(screen.published(done))
    raise typer.Exit(1 if done.bad else 0)


def microseconds(moment: datetime) -> int:
    """A time without a zone is UTC."""
    return (moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def optional_us(moment: datetime | None) -> int | None:
    return None if moment is None else microseconds(moment)
