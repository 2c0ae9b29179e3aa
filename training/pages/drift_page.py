"""The page of drift: recent scores and features beside training's, the worst first, bin by bin, and over time.

One HTML file that needs nothing else (pages.py). What is shown is a pipeline.operations.logged_drift.Distribution.
"""

from itertools import groupby
from math import nan
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.ticker import PercentFormatter

from export.distributions.distance import SMOOTHING
from export.distributions.drift import DRIFTED, LEAST_ROWS, MANY, WORTH_A_LOOK
from training.pages.html import environment
from training.pages.svg import PALE, PLAIN, POSITIVE, figure, style, svg

Distribution = Any
Column = Any
BAR, HEIGHT = 8, 36  # of a bin's two bars each, in pixels
LOOK = "#d97706"
COLORS = {"steady": PLAIN, "worth a look": LOOK, "drifted": POSITIVE, "not judged": PLAIN}
SCORES = COLORS | {"not judged": PALE}
TITLES = {"day": "By day", "week": "By week", "month": "By month"}


def page(distribution: Distribution, words: str) -> str:
    """The HTML."""
    limits = {"drifted": DRIFTED, "look": WORTH_A_LOOK, "least": LEAST_ROWS, "smoothing": SMOOTHING}
    sums = [sum(each) or nan for each in zip(*distribution.levels.values(), strict=True)]
    levels = [
        (name, *(n / total for n, total in zip(each, sums, strict=True)))
        for name, each in distribution.levels.items()
    ]
    series = [
        (TITLES[by], list(parts)) for by, parts in groupby(distribution.parts, lambda part: str(part.by))
    ]
    template = environment(Path(__file__).parent).get_template("drift_page.html.jinja")
    return template.render(
        found=distribution, words=words, limits=limits, levels=levels, series=series, bars=bars, course=course
    )


def bars(column: Column) -> Markup:
    """Each place's share then (pale) and now: below what training saw, the bins, above it, and the missing apart."""
    then = (0.0, *column.then, 0.0, column.missing_then)
    now = (column.below_now, *column.now, column.above_now, column.missing_now)
    most, parts = max(*then, *now), []
    for place, pair in enumerate(zip(then, now, strict=True)):
        left = place * (2 * BAR + 3) + (BAR if place == len(then) - 1 else 0)
        title = f"<title>{_place(column, place)}: {pair[0]:.1%} in training, {pair[1]:.1%} now</title>"
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


def _place(column: Column, place: int) -> str:
    edges, bins = column.edges, len(column.then)
    if place == bins + 2:
        return "missing"
    if place in (0, bins + 1):
        bound, side = (column.low, "below") if place == 0 else (column.high, "above")
        return "never seen in training" if bound is None else f"{side} {bound:.4g}, never seen in training"
    low = f"above {edges[place - 2]:.4g}" if place > 1 else ""
    high = f"up to {edges[place - 1]:.4g}" if place <= len(edges) else ""
    return ", ".join(filter(None, (low, high))) or "the only value of training"


def course(title: str, parts: list[Any]) -> Markup:
    """The score's PSI of each day, week or month with what is usual, and the share of features worth a look."""
    known = [(k, each.comparison) for k, each in enumerate(parts) if each.comparison]
    scores = [(k, each.score) for k, each in known if each.score]
    with style():
        drawn = figure(9, 3.4)
        above, below = drawn.subplots(2, sharex=True)
        colors = [SCORES[score.verdict] for _, score in scores]
        above.bar([k for k, _ in scores], [score.index for _, score in scores], color=colors)
        above.plot(
            [k for k, _ in scores], [score.usual for _, score in scores], "_", color="black", markersize=10
        )
        above.axhline(DRIFTED, color=PALE, linewidth=1, linestyle="--")
        above.set_ylabel("PSI of the score")
        below.bar([k for k, _ in known], [each.moved for _, each in known], color=PLAIN)
        below.axhline(MANY, color=PALE, linewidth=1, linestyle="--")
        below.set_ylabel("features worth a look")
        below.yaxis.set_major_formatter(PercentFormatter(1))
        below.set_xlim(-0.6, len(parts) - 0.4)
        step = max(1, len(parts) // 12)
        days = [f"{part.since:%Y-%m-%d}" for part in parts[::step]]
        below.set_xticks(range(0, len(parts), step), days, rotation=30)
        return Markup(svg(drawn, title, f"{len(known)} of {len(parts)} are compared with training"))
