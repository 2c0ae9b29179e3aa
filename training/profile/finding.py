"""One finding of a profile: a sentence, and how much it matters."""

from typing import NamedTuple

ORDER = ("problem", "look", "note")


class Finding(NamedTuple):
    weight: str  # problem, look, note
    text: str
    place: str = ""  # the anchor on the page where its rows or figures are


def during(unit: str, start: str) -> str:
    """Name the period: in 2024-04, or in the week of 2024-04-01."""
    return f"in {start}" if unit == "month" else f"in the {unit} of {start}"


def share(part: int, total: int) -> str:
    if not total:
        return f"{part:,} of 0"
    percent = f"{part / total:.1%}" if part / total >= 0.0005 or not part else "less than 0.1%"
    return f"{part:,} of {total:,} ({percent})"
