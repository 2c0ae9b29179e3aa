"""The reference of the command line, made from the objects that parse it."""

from collections.abc import Iterator
from typing import Any

import typer

import riskstream
from docs.site.markdown import code, notice, table

INTRODUCTION = """# Command line

Every command has `--help`. Results go to stdout, as JSON where the command has `--json`; everything else goes to
stderr. An environment variable gives an option's value where the option is not given.

"""


def page() -> str:
    """Return docs/reference/cli.md."""
    root: Any = typer.main.get_command(riskstream.app)
    commands = list(_leaves(root, "riskstream"))
    overview = table(
        ("command", "purpose"),
        ((f"[`{path}`](#{path.replace(' ', '-')})", _summary(each)) for path, each in commands),
    )
    parts = [notice("the command line's declarations in commands/"), INTRODUCTION, overview]
    parts += ["\n## Options before the command\n\n", _options(root), "\n", _code_block(root.epilog)]
    parts += [_section(path, each) for path, each in commands]
    return "".join(parts)


def _leaves(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield every command that does something, with the words that call it, in the order of the help."""
    for name, each in command.commands.items():
        if each.hidden:
            continue
        if hasattr(each, "commands"):
            yield from _leaves(each, f"{path} {name}")
        else:
            yield f"{path} {name}", each


def _summary(command: Any) -> str:
    return str(command.help or "").partition("\n\n")[0]


def _section(path: str, command: Any) -> str:
    arguments = [_metavar(each) for each in command.params if each.param_type_name == "argument"]
    usage = " ".join((path, *arguments, "[OPTIONS]"))
    text = f"\n## {path}\n\n```\n{usage}\n```\n\n{_paragraphs(command.help or '')}\n"
    return f"{text}\n{_options(command)}\n{_code_block(command.epilog)}"


def _paragraphs(text: str) -> str:
    return text.replace("\b\n", "").strip()


def _metavar(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    many = f"{name}..." if argument.nargs != 1 else name
    return many if argument.required else f"[{many}]"


def _options(command: Any) -> str:
    """Return the table of a command's arguments and options, in the words of its help."""
    context = command.context_class(command, info_name=command.name)
    records = [each.get_help_record(context) for each in command.params]
    rows = [(code(name), meaning) for name, meaning in filter(None, records)]
    return table(("option", "meaning"), rows) if rows else ""


def _code_block(epilog: str | None) -> str:
    """Return examples or exit codes as a block: examples are commands for a shell."""
    lines = [line for line in (epilog or "").replace("\b", "").splitlines() if line.strip()]
    if not lines:
        return ""
    title, body = lines[0].strip(), "\n".join(line[2:] for line in lines[1:])
    return f"{title}\n\n```{'sh' if title.startswith('Example') else 'text'}\n{body}\n```\n"
