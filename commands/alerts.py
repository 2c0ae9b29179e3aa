"""Alerts as they come: alerts."""

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from commands.options import OFFBOARDING, AsJson, Project, UseCase, by_name, examples
from commands.terminal import echo_each
from pipeline.runtime.printable import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from pipeline.operations.follow_alerts import Followed

SHOWN_ALERTS = 20  # the latest, while following
app = typer.Typer()


@app.command(
    epilog=examples(
        "riskstream alerts", "riskstream alerts --json --limit 10", "riskstream alerts --seconds 60"
    )
)
def alerts(
    project: Project,
    use_case: UseCase = OFFBOARDING,
    topic: Annotated[str, by_name("alerts", "The topic of the alerts.")] = "",
    subscription: Annotated[
        str | None, typer.Option(help="Read this subscription instead of a temporary one.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after this many alerts.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="Stop after this many seconds.")] = None,
    as_json: AsJson = False,
) -> None:
    """Follow the changes of level as they come.

    Alerts are read from now on and from a temporary subscription, so that no other reader misses any. With --json
    each alert is printed as it was published, one a line.
    """
    from rich.console import Console

    from features.usecase import load
    from pipeline.operations.follow_alerts import following
    from pipeline.pubsub import topics

    source = topic or topics.Names(project, load(use_case).name).alerts
    with following(project, source, subscription=subscription, limit=limit, seconds=seconds) as followed:
        if as_json:
            echo_each(each.body.decode() for each in followed)
        elif Console().is_terminal:
            show_alerts(followed, Console())
        else:
            echo_each(map(alert_line, followed))


def show_alerts(alerts: "Iterable[Followed]", console: "Console") -> int:
    """Show the latest alerts as a live table until there are no more. Return how many there were."""
    from rich.live import Live

    from pipeline.runtime.terminal import REFRESHES_PER_S

    latest: deque[Followed] = deque(maxlen=SHOWN_ALERTS)
    count = 0
    with Live(_view(latest, 0), console=console, refresh_per_second=REFRESHES_PER_S) as live:
        for each in alerts:
            count += 1
            latest.append(each)
            live.update(_view(latest, count))
    return count


def alert_line(each: "Followed") -> str:
    """Return an alert as a line, for an output that is no terminal."""
    return "  ".join(cell.plain for cell in _cells(each))


def _view(latest: "Iterable[Followed]", count: int) -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    from pipeline.runtime.terminal import live_table

    table = live_table("event time", "customer", "level", "transition", "score", "model")
    for each in latest:
        table.add_row(*_cells(each))
    return Group(table, Text(f"{count:,} alerts; Ctrl-C ends", style="dim"))


def _cells(each: "Followed") -> "list[Text]":
    from rich.text import Text

    from pipeline.runtime.terminal import level_change

    alert = each.alert
    time, customer, transition, model = (
        Text(printable(text))
        for text in (
            alert.event_time[:19].replace("T", " "), alert.customer, alert.transition or "", alert.model,
        )
    )  # fmt: skip
    score = Text("" if alert.score is None else f"{alert.score:.3f}")
    return [time, customer, level_change(alert.level_before, alert.level), transition, score, model]
