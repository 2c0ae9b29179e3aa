"""How scores and features of late lie beside training's, as a page for people: the worst first, bin by bin.

One HTML file that needs nothing else (pages.py). What was found is a pipeline.distribution.Distribution.
"""

from math import nan
from pathlib import Path
from typing import Any

from markupsafe import Markup

from export.drift import DRIFTED, LEAST_ROWS, WORTH_A_LOOK
from training.drawing import PALE, PLAIN, POSITIVE
from training.pages import environment

Distribution = Any
Column = Any
BAR, HEIGHT = 8, 36  # of a bin's two bars each, in pixels
COLORS = {"steady": PLAIN, "worth a look": "#d97706", "drifted": POSITIVE}


def page(found: Distribution, words: str) -> str:
    """The HTML."""
    limits = {"drifted": DRIFTED, "look": WORTH_A_LOOK, "least": LEAST_ROWS}
    sums = [sum(each) or nan for each in zip(*found.levels.values(), strict=True)]
    levels = [
        (name, *(n / of for n, of in zip(each, sums, strict=True))) for name, each in found.levels.items()
    ]
    template = environment(Path(__file__).parent).get_template("drifted.html.jinja")
    return template.render(found=found, words=words, limits=limits, levels=levels, bars=bars)


def bars(column: Column) -> Markup:
    """Each bin's share then (pale) and now, the missing last and apart."""
    then, now = ((*shares, missing) for shares, missing in (
        (column.then, column.missing_then), (column.now, column.missing_now)))  # fmt: skip
    most, parts = max(*then, *now), []
    for place, pair in enumerate(zip(then, now, strict=True)):
        left = place * (2 * BAR + 3) + (BAR if place == len(then) - 1 else 0)
        title = f"<title>{_bin(column.edges, place)}: {pair[0]:.1%} in training, {pair[1]:.1%} now</title>"
        for at, share, color in zip((left, left + BAR), pair, (PALE, COLORS[column.verdict]), strict=True):
            height = HEIGHT * share / most
            parts.append(
                f'<rect x="{at}" y="{HEIGHT - height:.1f}" width="{BAR}" height="{height:.1f}" fill="{color}">'
                f"{title}</rect>"
            )
    width = len(then) * (2 * BAR + 3) + BAR
    return Markup(
        f'<svg role="img" aria-label="shares of the bins" width="{width}" height="{HEIGHT}">{"".join(parts)}</svg>'
    )


def _bin(edges: tuple[float, ...], place: int) -> str:
    if place > len(edges):
        return "missing"
    low = f"above {edges[place - 1]:.4g}" if place else ""
    high = f"up to {edges[place]:.4g}" if place < len(edges) else ""
    return ", ".join(filter(None, (low, high))) or "any value"
