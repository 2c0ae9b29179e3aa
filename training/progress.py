"""Progress of long work: a callback that takes one line of text for each stage."""

from collections.abc import Callable

Progress = Callable[[str], None]


def silent(_stage: str) -> None:
    """Report nothing."""


def prefixed(progress: Progress, prefix: str) -> Progress:
    """Return a callback that puts `prefix` and a colon before every line."""
    return lambda stage: progress(f"{prefix}: {stage}")
