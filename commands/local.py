"""The local stack, and the whole system on it: up, down, env, demo."""

from dataclasses import asdict

import typer

from commands.frame import STACK, AsJson, Folder, examples
from commands.output import show_json, table

app = typer.Typer()


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
