"""The plots of a run's report, as SVG texts. Customers are orange, events blue, in all of them."""

from collections.abc import Callable, Iterator, Sequence
from math import isfinite

from matplotlib.axes import Axes

from training.evaluation.figures import Evaluation, UnitFigures
from training.pages.svg import NEGATIVE, PALE, PLAIN, POSITIVE, figure, style, svg
from training.statistics.interval import Interval

COLORS = {"customers": POSITIVE, "events": NEGATIVE}
MARKS = {"medium": "o", "high": "s"}
SIDE = 3.4  # inches, of a square figure
BEHIND = {
    "boxstyle": "square,pad=0.1",
    "facecolor": "white",
    "edgecolor": "none",
    "alpha": 0.75,
}  # of words on lines
Placed = Callable[[UnitFigures, str], tuple[float, float]]


def roc(evaluation: Evaluation) -> str:
    with style():
        drawn = figure(SIDE, SIDE)
        axes = drawn.add_subplot()
        axes.plot([0, 1], [0, 1], color=PALE, linewidth=1, linestyle="--", label="chance")
        for level in _levels(evaluation):
            _line(axes, level, [(p.x, p.y) for p in level.roc], level.roc_auc)
            _marks(axes, level, _roc_place)
        _finish(axes, "false positive rate", "recall")
        words = "; ".join(f"{level.about}: area {interval(level.roc_auc)}" for level in _levels(evaluation))
        return svg(drawn, "ROC curve: recall by false positive rate", words)


def precision_recall(evaluation: Evaluation) -> str:
    with style():
        drawn = figure(SIDE, SIDE)
        axes = drawn.add_subplot()
        for level in _levels(evaluation):
            axes.axhline(level.base_rate, color=COLORS[level.about], linewidth=0.8, linestyle=":")
            _line(axes, level, [(p.x, p.y) for p in level.precision_recall], level.average_precision)
            _marks(axes, level, _precision_recall_place)
        _finish(axes, "recall", "precision")
        words = "; ".join(
            f"{level.about}: average precision {interval(level.average_precision)}, by chance {level.base_rate:.3f}"
            for level in _levels(evaluation)
        )
        return svg(drawn, "Precision by recall", words)


def calibration(evaluation: Evaluation) -> str:
    """The larger a point, the more rows it is of."""
    with style():
        drawn = figure(SIDE, SIDE)
        axes = drawn.add_subplot()
        most = max(
            (max(b.mean_score, b.share) for each in _levels(evaluation) for b in each.calibration), default=1
        )
        axes.plot([0, most], [0, most], color=PALE, linewidth=1, linestyle="--", label="what is said is true")
        for level in _levels(evaluation):
            bins, color = level.calibration, COLORS[level.about]
            mean_scores, true = [b.mean_score for b in bins], [b.share for b in bins]
            largest = max((b.n for b in bins), default=1)
            axes.plot(mean_scores, true, color=color, linewidth=1, label=level.about)
            axes.scatter(mean_scores, true, [6 + 24 * b.n / largest for b in bins], color=color)
        axes.set_xlabel("mean score")
        axes.set_ylabel("share that is positive")
        axes.legend(frameon=False)
        words = "; ".join(
            f"{each.about}: mean distance {each.calibration_error:.3f}" for each in _levels(evaluation)
        )
        return svg(drawn, "Calibration: what scores say and what is true", words)


def cost(evaluation: Evaluation) -> str:
    """Draw costs by threshold, with the levels' thresholds as lines, for a use case that gives costs."""
    level = deciding(evaluation)
    with style():
        drawn = figure(SIDE, SIDE)
        axes = drawn.add_subplot()
        points = [p for p in level.cost if isfinite(p.x) and isfinite(p.y)]
        axes.plot([p.x for p in points], [p.y for p in points], color=COLORS[level.about], linewidth=1.4)
        for place, (name, at) in enumerate(level.at.items()):
            axes.axvline(at.threshold, color=PLAIN, linewidth=0.8, linestyle=":")
            axes.annotate(
                name,
                (at.threshold, 0.97 - 0.25 * place),
                xycoords=("data", "axes fraction"),
                rotation=90,
                ha="right",
                va="top",
            )
        axes.set_xlim(0, 1)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("threshold")
        axes.set_ylabel(f"mean cost of one of the {level.about}")
        best = min(points, key=lambda p: p.y)
        return svg(
            drawn, "Expected cost by threshold", f"least at threshold {best.x:.3f}, where it is {best.y:.4g}"
        )


def gain(evaluation: Evaluation) -> str:
    with style():
        drawn = figure(SIDE, SIDE)
        axes = drawn.add_subplot()
        axes.plot([0, 1], [0, 1], color=PALE, linewidth=1, linestyle="--", label="chance")
        for level in _levels(evaluation):
            points = [(0.0, 0.0), *((d.share_of_rows, d.share_of_positives) for d in level.gain)]
            x, y = zip(*points, strict=True)
            axes.plot(x, y, color=COLORS[level.about], linewidth=1.4, marker=".", label=level.about)
        _finish(axes, "share looked at, highest scores first", "share of the positives found")
        first = [(level.about, level.gain[0]) for level in _levels(evaluation) if level.gain]
        words = "; ".join(
            f"{about}: the first {d.share_of_rows:.0%} hold {d.share_of_positives:.0%} of the positives"
            for about, d in first
        )
        return svg(drawn, "Gain: positives found by share looked at", words)


def interval(figure: Interval) -> str:
    """A figure with its interval; what cannot be had is a dash."""
    if not isfinite(figure.value):
        return "-"
    return str(figure)


def deciding(evaluation: Evaluation) -> UnitFigures:
    """The figures of what has the label."""
    return evaluation.events if evaluation.decides == "events" else evaluation.customers


def _levels(evaluation: Evaluation) -> Iterator[UnitFigures]:
    yield evaluation.customers
    yield evaluation.events


def _line(axes: Axes, level: UnitFigures, points: Sequence[tuple[float, float]], area: Interval) -> None:
    x, y = zip(*points, strict=True) if points else ((), ())
    axes.plot(x, y, color=COLORS[level.about], linewidth=1.4, label=f"{level.about}: {area.value:.3f}")


def _marks(axes: Axes, level: UnitFigures, place: Placed) -> None:
    """Mark the levels' thresholds on the curve."""
    names: dict[tuple[float, float], list[str]] = {}
    for name in level.at:
        names.setdefault(place(level, name), []).append(name)
    for (x, y), label in names.items():
        name = ", ".join(label)
        axes.plot(
            [x],
            [y],
            MARKS.get(label[-1], "^"),
            color=COLORS[level.about],
            markersize=5,
            markeredgecolor="white",
        )
        axes.annotate(
            name,
            (x, y),
            (5, -9) if x < 0.75 else (-5, -10),
            textcoords="offset points",
            ha="left" if x < 0.75 else "right",
            color=COLORS[level.about],
            fontsize=7,
            bbox=BEHIND,
        )


def _roc_place(level: UnitFigures, name: str) -> tuple[float, float]:
    return level.at[name].false_positive_rate.value, level.at[name].recall.value


def _precision_recall_place(level: UnitFigures, name: str) -> tuple[float, float]:
    return level.at[name].recall.value, level.at[name].precision.value


def _finish(axes: Axes, x: str, y: str) -> None:
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.02)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.legend(frameon=False, loc="best")
