"""The report's section on champion and challenger: sentences, tables as rows, and their curves in one plot."""

from collections.abc import Iterator, Sequence

from training.champion.comparison import CHALLENGER, CHAMPION, LevelMove, ModelComparison, PairedFigure
from training.evaluation.figures import Point
from training.pages.svg import PLAIN, POSITIVE, figure, style, svg

COLORS = {CHAMPION: PLAIN, CHALLENGER: POSITIVE}
SIDE = 3.4  # inches, of a square figure
LOOKS = {"better": "good", "worse": "problem"}


def look(pair: PairedFigure) -> str:
    """The class of a pair's finding."""
    return LOOKS.get(pair.finding, "muted")


def findings(comparison: ModelComparison) -> Iterator[str]:
    """Return the conclusions of the comparison, the figures first."""
    for finding in ("better", "worse"):
        names = [pair.name for pair in comparison.pairs if pair.finding == finding]
        if names:
            yield f"The challenger is measurably {finding} in {_listed(names)}."
    if all(pair.finding not in LOOKS for pair in comparison.pairs):
        yield "In no figure is there a measurable difference between the two."
    yield _changed("level after the last event", comparison.last_levels, comparison.customers)
    yield _recommended(comparison.recommended)


def rows(moves: Sequence[LevelMove]) -> Iterator[tuple[str, list[LevelMove]]]:
    """A table's rows: what the champion says, and the cells by what the challenger says."""
    for name in dict.fromkeys(move.champion for move in moves):
        yield name, [move for move in moves if move.champion == name]


def columns(moves: Sequence[LevelMove]) -> list[str]:
    """Return the columns of the challenger."""
    return list(dict.fromkeys(move.challenger for move in moves))


def cell(move: LevelMove) -> str:
    return f"{move.customers:,} ({move.positives:,})"


def _changed(what: str, moves: Sequence[LevelMove], customers: int) -> str:
    order = columns(moves)
    changed = [move for move in moves if move.champion != move.challenger]
    up = [move for move in changed if order.index(move.challenger) > order.index(move.champion)]
    total, rising = (sum(move.customers for move in part) for part in (changed, up))
    positive, rising_positive = (sum(move.positives for move in part) for part in (changed, up))
    if not total:
        return f"No customer's {what} differs."
    return (
        f"The {what} differs for {total:,} of {customers:,} customers: {rising:,} are higher with the challenger "
        f"({rising_positive:,} of them positive), {total - rising:,} lower ({positive - rising_positive:,} positive)."
    )


def _recommended(moves: Sequence[LevelMove]) -> str:
    by = {(move.champion, move.challenger): move for move in moves}
    gained, lost = by["no", "yes"], by["yes", "no"]
    if not gained.customers and not lost.customers:
        return (
            "Both recommend the same customers."
            if by["yes", "yes"].customers
            else "Neither recommends anybody."
        )
    return (
        f"The challenger recommends {gained.customers:,} customers whom the champion does not ({gained.positives:,} "
        f"positive), and not {lost.customers:,} whom the champion does ({lost.positives:,} positive)."
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def plot(comparison: ModelComparison) -> str:
    """Both ROC curves and both precision-recall curves."""
    with style():
        drawn = figure(2 * SIDE, SIDE)
        left, right = drawn.subplots(1, 2)
        left.plot([0, 1], [0, 1], color="#cbd5e1", linewidth=1, linestyle="--", label="chance")
        for axes, curves in ((left, comparison.roc), (right, comparison.precision_recall)):
            for model, points in curves.items():
                x, y = _xy(points)
                axes.plot(x, y, color=COLORS[model], linewidth=1.4, label=model)
            axes.set_xlim(-0.01, 1.01)
            axes.set_ylim(-0.01, 1.02)
            axes.legend(frameon=False, loc="best")
        left.set_xlabel("false positive rate")
        left.set_ylabel("recall")
        right.set_xlabel("recall")
        right.set_ylabel("precision")
        words = "; ".join(
            f"{pair.name}: champion {pair.champion}, challenger {pair.challenger}"
            for pair in comparison.pairs[:2]
        )
        return svg(drawn, "Champion and challenger: ROC and precision by recall", words)


def _xy(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    return [point.x for point in points], [point.y for point in points]
