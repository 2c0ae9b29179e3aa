"""The local stack: up, env, down."""

import os
from collections.abc import Sequence
from dataclasses import asdict

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from commands.options import STACK, AsJson, Folder, examples
from commands.terminal import show_json, table
from pipeline.runtime.printable import printable

app = typer.Typer()
STACK_VARIABLES = ("GOOGLE_CLOUD_PROJECT", "REDIS_URL")


def find_stack(command: object, words: Sequence[str]) -> None:
    """Take the environment of the local stack that is up in this folder, where a command would stop for want of one.

    That is a command with a required option whose variable the stack sets, when neither that option nor any variable
    that decides where to work is given: an explicit environment always wins.
    """
    needed = [each for each in _options(command, words) if each.required and each.envvar in STACK_VARIABLES]
    names = {name for each in needed for name in each.opts}
    if not needed or not (STACK / "stack.json").exists() or any(w.partition("=")[0] in names for w in words):
        return
    from deploy.local import discovery

    if environment := discovery.running_environment(STACK):
        os.environ.update(environment)
        typer.echo(f"riskstream: using the local stack in {STACK}", err=True)


def _options(command: object, words: Sequence[str]) -> list[TyperOption]:
    """Return the options of the verb that the words begin with; nothing if help is asked for."""
    for word in words:
        if not isinstance(command, TyperGroup):
            break
        command = command.commands.get(word, command)
    if not isinstance(command, TyperCommand) or {"-h", "--help"}.intersection(words):
        return []
    return [each for each in command.params if isinstance(each, TyperOption)]


@app.command(epilog=examples('eval "$(riskstream up)"', "riskstream up --json"))
def up(folder: Folder = STACK, as_json: AsJson = False) -> None:
    """Start Redis, Pub/Sub and BigQuery on free ports of this machine, and print the environment that finds them.

    Idempotent: a service that runs is kept, one that died is started again. A service whose variable is set
    (REDIS_URL, PUBSUB_EMULATOR_HOST, BIGQUERY_EMULATOR_HOST) is used as it is and not started.

    Commands that are run in the same folder find the stack without that environment, unless theirs says where to work.
    """
    from deploy.local import stack

    running = stack.up(folder)
    if as_json:
        services = [
            {"name": each.name, "state": each.state, "pid": each.pid, "ports": each.ports}
            for each in running.services
        ]
        show_json({"services": services, "environment": running.environment})
        return
    rows = [(each.name, each.state, ", ".join(map(str, each.ports))) for each in running.services]
    typer.echo(table(("service", "state", "ports"), rows), err=True)
    typer.echo(stack.exports(running.environment))
    if folder == STACK:
        typer.echo("Commands that you run in this folder find the stack by themselves.", err=True)


@app.command(epilog=examples("riskstream down"))
def down(folder: Folder = STACK, as_json: AsJson = False) -> None:
    """Stop what `riskstream up` started, and nothing else; data stay for the next time.

    Processes that were still connected to a service are listed: they go on, without it.
    """
    from deploy.local import stack

    reports = stack.down(folder)
    if as_json:
        show_json(map(asdict, reports))
    elif not reports:
        typer.echo(f"nothing was up in {folder}")
    else:
        typer.echo(table(("service", "was"), [(each.name, each.state) for each in reports]))
        services_of: dict[tuple[int, str], list[str]] = {}
        for each in reports:
            for client in each.clients:
                services_of.setdefault((client.pid, client.command), []).append(each.name)
        for (pid, command), names in services_of.items():
            line = f"{', '.join(names)} still in use by process {pid}: {command}"
            typer.echo(printable(line), err=True)


@app.command(epilog=examples('eval "$(riskstream env)"', "riskstream env --json"))
def env(folder: Folder = STACK, as_json: AsJson = False) -> None:
    """Print the environment of the local stack for a shell to evaluate: for other programs and other folders."""
    from deploy.local import stack

    environment = stack.environment(folder)
    show_json(environment) if as_json else typer.echo(stack.exports(environment))
