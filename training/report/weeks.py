"""Figures of weeks, drawn."""

from collections.abc import Sequence
from math import isfinite

import numpy as np
from matplotlib.axes import Axes

from training.evaluation.figures import WeekFigures
from training.pages.svg import NEGATIVE, PALE, PLAIN, POSITIVE, figure, style, svg
from training.profile.findings import DRIFTED, DRIFTING
from training.statistics.interval import Interval

METRICS = (("roc_auc", "ROC AUC", NEGATIVE, -0.1), ("average_precision", "average precision", POSITIVE, 0.1))
LABELLED = 12  # weeks with their date, at most


def ranking(weeks: Sequence[WeekFigures]) -> str:
    """Draw ROC AUC and average precision of each week with their intervals, and below the share that is positive."""
    with style():
        drawn = figure(9, 3.2)
        above, below = drawn.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        for metric, name, color, shift in METRICS:
            measured = [(place, getattr(week, metric)) for place, week in enumerate(weeks)]
            known = [(place + shift, each) for place, each in measured if isinstance(each, Interval)]
            values = [each.value for _, each in known]
            reach = [
                [each.value - each.low for _, each in known],
                [each.high - each.value for _, each in known],
            ]
            above.errorbar(
                [place for place, _ in known],
                values,
                reach,
                fmt="o",
                color=color,
                markersize=4,
                capsize=2,
                label=name,
            )
        above.axhline(0.5, color=PALE, linewidth=1, linestyle="--")
        above.set_ylim(0, 1.02)
        above.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
        below.bar(np.arange(len(weeks)), [week.share_positive for week in weeks], color=PLAIN)
        below.set_ylabel("positive")
        below.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        _dates(below, weeks)
        words = "; ".join(f"{week.start}: {week.positives} of {week.n} positive" for week in weeks)
        return svg(drawn, "Figures by week", words)


def stability(weeks: Sequence[WeekFigures]) -> str:
    """Percentiles of scores above, the population stability index below."""
    with style():
        drawn = figure(9, 3.6)
        above, below = drawn.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        places = np.arange(len(weeks))
        q = {
            name: [getattr(w.quantiles, name) for w in weeks]
            for name in ("q10", "q25", "median", "q75", "q90")
        }
        above.fill_between(places, q["q10"], q["q90"], color=PALE, alpha=0.6, label="10th to 90th percentile")
        above.fill_between(places, q["q25"], q["q75"], color=PLAIN, alpha=0.5, label="25th to 75th")
        above.plot(places, q["median"], color=POSITIVE, linewidth=1.4, marker=".", label="median")
        above.set_ylabel("score")
        above.set_ylim(bottom=0)
        above.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
        below.bar(places, [w.psi for w in weeks], color=[_psi_color(w.psi) for w in weeks])
        for limit in (DRIFTING, DRIFTED):
            below.axhline(limit, color=PLAIN, linewidth=0.8, linestyle=":")
        below.set_ylabel("PSI")
        below.set_ylim(0, max(1.2 * DRIFTED, *(1.05 * w.psi for w in weeks if isfinite(w.psi)), 0))
        _dates(below, weeks)
        worst = max(weeks, key=lambda week: week.psi)
        words = f"{len(weeks)} weeks; the largest PSI is {worst.psi:.3f}, in the week of {worst.start}"
        return svg(drawn, "Scores by week", words)


def _psi_color(psi: float) -> str:
    return POSITIVE if psi > DRIFTED else "#d97706" if psi > DRIFTING else PLAIN


def _dates(axes: Axes, weeks: Sequence[WeekFigures]) -> None:
    """Label some weeks with their Mondays."""
    shown = np.arange(len(weeks))[:: -(-len(weeks) // LABELLED)]
    axes.set_xticks(shown, [weeks[w].start for w in shown], rotation=30, ha="right")
