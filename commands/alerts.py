"""Alerts as they come: alerts."""

from typing import Annotated

import typer

from commands.options import OFFBOARDING, AsJson, Project, UseCase, by_name, examples
from commands.terminal import echo_each

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
    from pipeline.operations import screen
    from pipeline.operations.follow_alerts import following
    from pipeline.pubsub import topics

    source = topic or topics.Names(project, load(use_case).name).alerts
    with following(project, source, subscription=subscription, limit=limit, seconds=seconds) as followed:
        if as_json:
            echo_each(each.body.decode() for each in followed)
        elif Console().is_terminal:
            screen.show_alerts(followed, Console())
        else:
            echo_each(map(screen.alert_line, followed))
