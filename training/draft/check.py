"""The check of a draft: every file is read by it, as training will."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from features.usecase import parse
from pipeline.files import read
from training.draft.roles import File


@dataclass(frozen=True)
class Checked:
    """Numbers of rows that the draft accepts and refuses; `first` says why the first one is refused."""

    path: Path
    event_type: str
    good: int
    bad: int
    first: str


def checked(text: str, name: str, files: Sequence[File], now_us: int) -> list[Checked]:
    """Read every file by the draft, as training will."""
    use_case, checks = parse(text, f"{name}.yaml"), list[Checked]()
    for file in files:
        good, bad, first = 0, 0, ""
        for chunk in read(use_case, file.event_type, file.sample.path, now_us):
            good, bad = good + len(chunk), bad + len(chunk.bad)
            first = first or next((f"line {row.line}: {row.detail}" for row in chunk.bad), "")
        checks.append(Checked(file.sample.path, file.event_type, good, bad, first))
    return checks
