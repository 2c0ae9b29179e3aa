"""The verbs in groups, in the order of work, and the refusal of former flags."""

import textwrap
from typing import TYPE_CHECKING, Any

from typer.core import TyperGroup

from commands.renamed import FLAGS

if TYPE_CHECKING:
    from commands.errors import Exit

GROUPS = {
    "Try it on this machine": ("demo", "up", "env", "down"),
    "Use cases and history": ("usecase", "generate", "profile"),
    "Models": ("train", "retrain", "models", "bundle", "promote", "approve", "rollback"),
    "Prepare the stream": ("capacity", "topics", "tables", "certify", "backfill"),
    "Run the stream": ("run", "publish", "alerts", "status"),
    "Run the stream on Dataflow": ("launch", "update", "jobs", "drain", "cancel"),
    "Score on demand": ("serve", "score"),
    "Monitor the model": ("drift", "realised"),
    "Check and repair the records": ("reconcile", "repair", "delete-records"),
}


WIDTH = 76  # of a line in a block that help does not wrap, so that it fits 80 columns


class Group(TyperGroup):
    """Verbs of one noun, each listed with its whole first sentence."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of verbs."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, first_sentence(each.help or "")) for name, each in self.commands.items()]
            )


class Verbs(TyperGroup):
    """The verbs of the program; a former flag is a usage error that names its successor."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the verbs in the order of their groups."""
        return [name for names in GROUPS.values() for name in names]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each group with the first sentence of each verb, whole."""
        for title, names in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name, first_sentence(self.commands[name].help or "")) for name in names])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the verb that the first word names. Raises UsageError for a former flag among the others."""
        verb, *words = args[: args.index("--")] if "--" in args else args
        for word in words:
            flag = word.partition("=")[0]
            if now := FLAGS.get((verb, flag)):
                ctx.fail(f"{flag} is now {now}.")
        return super().resolve_command(ctx, args)


def first_sentence(text: str) -> str:
    """Return the first sentence of a help text, on one line."""
    return " ".join(text.split("\n\n")[0].split()).split(". ")[0].rstrip(".") + "."


def exit_line(each: "Exit") -> str:
    """Return the lines of help about an exit code."""
    return textwrap.fill(each.meaning, WIDTH, initial_indent=f"  {each.code:>3}  ", subsequent_indent=" " * 7)
