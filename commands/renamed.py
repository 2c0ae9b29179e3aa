"""Former names of flags and verbs: each is refused with the name that it has now."""

from typing import Any

from typer.core import TyperGroup

FLAGS = {  # (verb, former flag): the present one
    ("approve", "--because"): "--reason",
    ("approve", "--by"): "--approver",
    ("approve", "--despite"): "--accept-gate",
    ("backfill", "--dated"): "--default-event-time",
    ("launch", "--cold"): "--allow-empty-store",
    ("launch", "--no-cold"): "--no-allow-empty-store",
    ("promote", "--because"): "--reason",
    ("promote", "--by"): "--approver",
    ("promote", "--despite"): "--accept-gate",
    ("publish", "--dated"): "--default-event-time",
    ("reconcile", "--dated"): "--default-event-time",
    ("repair", "--check"): "--dry-run",
    ("repair", "--dated"): "--default-event-time",
    ("repair", "--wait"): "--timeout",
    ("run", "--cold"): "--allow-empty-store",
    ("score", "--dated"): "--default-event-time",
    ("serve", "--cold"): "--allow-empty-store",
    ("serve", "--most-in-flight"): "--max-in-flight",
    ("serve", "--open"): "--allow-unauthenticated",
    ("tables", "--realised-of"): "--realised-view",
    ("train", "--even-without-signal"): "--allow-no-signal",
    ("update", "--cold"): "--allow-empty-store",
    ("update", "--no-cold"): "--no-allow-empty-store",
}


class Verbs(TyperGroup):
    """The verbs of the program; a former flag is a usage error that names its successor."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the verb that the first word names. Raises UsageError for a former flag among the others."""
        verb, *words = args[: args.index("--")] if "--" in args else args
        for word in words:
            flag = word.partition("=")[0]
            if now := FLAGS.get((verb, flag)):
                ctx.fail(f"{flag} is now {now}.")
        return super().resolve_command(ctx, args)
