"""Figures as SVG texts to be put into a page: no scripts, no fonts, nothing loaded, the same data the same bytes."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from io import StringIO
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

POSITIVE, NEGATIVE, PLAIN, PALE = "#c2410c", "#2563eb", "#64748b", "#cbd5e1"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "riskstream",  # the same data give the same bytes
    "text.parse_math": False,  # a dollar is a dollar
    "font.family": "sans-serif",
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))  # they would name addresses


@contextmanager
def style() -> Iterator[None]:
    with mpl.rc_context(STYLE):
        yield


def figure(width: float, height: float) -> Figure:
    """In inches."""
    return Figure(figsize=(width, height), layout="constrained")


def svg(drawn: Figure, title: str, words: str = "") -> str:
    """`title` and `words` are for those who do not see the figure. Names of groups would be there twice in a page."""
    text = StringIO()
    drawn.savefig(text, format="svg", metadata=NO_METADATA, bbox_inches="tight")
    drawing = text.getvalue()
    drawing = re.sub(r'<g id="[^"]*"', "<g", drawing[drawing.index("<svg") :])
    head, _, rest = drawing.removeprefix("<svg").partition(">")
    description = f"<title>{escape(title)}</title>" + (f"<desc>{escape(words)}</desc>" if words else "")
    return f'<svg role="img"{head}>{description}{rest}'


def short(text: str, most: int = 22) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
