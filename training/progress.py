"""Progress of long work, as lines of text for whoever watches."""

from collections.abc import Callable

Progress = Callable[[str], None]


def named(progress: Progress, about: str) -> Progress:
    """The same, with what it is about before it."""
    return lambda stage: progress(f"{about}: {stage}")
