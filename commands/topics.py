"""Topics and subscriptions in Pub/Sub: topics."""

from typing import Annotated

import typer

from commands.options import OFFBOARDING, AsJson, Project, UseCase, examples
from commands.terminal import show_outcomes

app = typer.Typer()


@app.command(epilog=examples("riskstream topics --project my-project", "riskstream topics --ordered"))
def topics(
    project: Project,
    use_case: UseCase = OFFBOARDING,
    ordered: Annotated[
        bool,
        typer.Option(
            "--ordered", help="Deliver each customer's events in the order of their ordering key (slower)."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Create the topics and subscriptions of a use case in Pub/Sub: events, alerts, dead letters. Idempotent.

    An existing subscription cannot be changed to keep order: with --ordered, one that does not is refused.
    """
    from features.usecase import load
    from pipeline.pubsub import topics

    show_outcomes(topics.create(topics.Names(project, load(use_case).name), ordered), as_json)
