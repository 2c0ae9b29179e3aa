"""The plots of a profile's page, as SVG texts."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from training.pages.svg import NEGATIVE, PALE, PLAIN, POSITIVE, figure, short, style, svg
from training.profile.facts import Correlation, EventTypeFacts, FieldDrift, FieldFacts
from training.profile.findings import DRIFTED

BINS = 30
INNER = (0.01, 0.99)  # of histograms: beyond these quantiles values are put into the last bins
SKEWED = 20  # how far beyond the median the upper end must be for a logarithmic axis
LABELLED_PERIODS = 12
MOST_FIELDS = 25  # of a matrix of correlations


def histogram(column: FieldFacts, values: NDArray[np.float64], outcome: NDArray[np.int8]) -> str:
    """Shares of the rows, of each outcome's if there are two."""
    with style():
        drawn = figure(3.1, 1.7)
        axes = drawn.add_subplot()
        present = ~np.isnan(values)
        edges, is_skewed = _edges(values[present])
        if is_skewed:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
            axes.xaxis.set_minor_formatter("")
        for chosen, color, name in _sides(column, outcome):
            part = np.clip(values[chosen & present], edges[0], edges[-1])
            if len(part):
                shares = np.full(len(part), 1 / len(part))
                axes.hist(part, edges.tolist(), weights=shares, color=color, alpha=0.45, label=name)
        axes.set_yticks([])
        if column.kind == "date":
            axes.xaxis.set_major_formatter(lambda day, _: str(np.datetime64(int(day), "D"))[:7])
            axes.locator_params(axis="x", nbins=4)
        return svg(drawn, f"distribution of {column.field}")


def _edges(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], bool]:
    """Return the edges of bins, and whether they grow by the factor (for values close to 0 that reach far)."""
    low, middle, high = np.quantile(values, [INNER[0], 0.5, INNER[1]])
    if values.min() >= 0 and high > SKEWED * middle > 0:
        low = np.quantile(values[values > 0], INNER[0])
        return np.geomspace(low, high, BINS + 1), True
    return np.linspace(low, high if high > low else low + 1, BINS + 1), False


def _sides(column: FieldFacts, outcome: NDArray[np.int8]) -> Sequence[tuple[NDArray[np.bool_], str, str]]:
    if column.by_label is None:
        return [(np.ones(len(outcome), np.bool_), PLAIN, "all")]
    return [(outcome == 0, NEGATIVE, "negative"), (outcome == 1, POSITIVE, "positive")]


def bars(column: FieldFacts, rows: int) -> str:
    """Shares of the most frequent values, by outcome if there are two."""
    with style():
        values = column.values[:8][::-1]
        drawn = figure(3.1, 0.5 + 0.17 * len(values))
        axes, places = drawn.add_subplot(), np.arange(len(values))
        if column.by_label:
            sides = (("positive", POSITIVE, -0.2), ("negative", NEGATIVE, 0.2))
            for name, color, shift in sides:
                side_rows = getattr(column.by_label, name).rows
                axes.barh(
                    places + shift,
                    [getattr(v, name) / side_rows for v in values],
                    0.4,
                    color=color,
                    alpha=0.7,
                )
        else:
            axes.barh(places, [value.rows / rows for value in values], 0.8, color=PLAIN, alpha=0.7)
        axes.set_yticks(places, [short(value.value) for value in values])
        axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        return svg(drawn, f"values of {column.field}")


def periods(facts: EventTypeFacts) -> str:
    """Rows a week or month, the reference periods paler, and the share of positive ones as a line."""
    with style():
        drawn = figure(9, 2)
        axes, places = drawn.add_subplot(), np.arange(len(facts.periods))
        colors = [PLAIN if place >= facts.reference_periods else PALE for place in places]
        axes.bar(places, [period.rows for period in facts.periods], color=colors)
        axes.set_ylabel("rows")
        _period_ticks(axes, facts)
        if any(period.positive_share is not None for period in facts.periods):
            other = axes.twinx()
            shares = [np.nan if p.positive_share is None else p.positive_share for p in facts.periods]
            other.plot(places, shares, color=POSITIVE, linewidth=1.2, marker=".")
            other.set_ylim(bottom=0)
            other.set_ylabel("positive", color=POSITIVE)
            other.yaxis.set_major_formatter(lambda share, _: f"{share:.1%}")
        return svg(drawn, f"rows of {facts.name} by {facts.unit}")


def drift(facts: EventTypeFacts, moving: Sequence[FieldDrift]) -> str:
    """PSI, a line a field and a column a period."""
    with style():
        drawn = figure(9, 0.7 + 0.2 * len(moving))
        axes = drawn.add_subplot()
        table = np.array([[np.nan if p is None else p for p in each.psi] for each in moving])
        shown = axes.imshow(
            table, aspect="auto", cmap="YlOrRd", vmin=0, vmax=2 * DRIFTED, interpolation="none"
        )
        axes.set_yticks(np.arange(len(moving)), [short(each.field) for each in moving])
        _period_ticks(axes, facts)
        drawn.colorbar(shown, ax=axes, label="PSI", shrink=0.9)
        return svg(drawn, f"drift of {facts.name} by {facts.unit}")


def _period_ticks(axes: Axes, facts: EventTypeFacts) -> None:
    step = -(-len(facts.periods) // LABELLED_PERIODS)
    places = np.arange(0, len(facts.periods), step)
    axes.set_xticks(places, [facts.periods[place].start for place in places], rotation=30, ha="right")


def correlations(pairs: Sequence[Correlation]) -> str:
    """The matrix of the fields that are in any pair, the most strongly correlated first."""
    with style():
        names = list(dict.fromkeys(name for pair in pairs for name in (pair.one, pair.other)))[:MOST_FIELDS]
        place = {name: i for i, name in enumerate(names)}
        table = np.full((len(names), len(names)), np.nan)
        for pair in pairs:
            if pair.one in place and pair.other in place:
                i, j = place[pair.one], place[pair.other]
                table[i, j] = table[j, i] = pair.rank
        size = 1.2 + 0.32 * len(names)
        drawn = figure(size + 0.8, size)
        axes = drawn.add_subplot()
        shown = axes.imshow(table, cmap="RdBu_r", vmin=-1, vmax=1)
        axes.set_xticks(range(len(names)), [short(name) for name in names], rotation=90)
        axes.set_yticks(range(len(names)), [short(name) for name in names])
        drawn.colorbar(shown, ax=axes, label="rank correlation", shrink=0.8)
        return svg(drawn, "rank correlations")
