"""The features that the model looks at, drawn and in words."""

from collections.abc import Sequence
from math import isfinite

import numpy as np

from training.evaluation.figures import Importance
from training.pages.svg import PALE, PLAIN, figure, short, style, svg

SHOWN = 20  # features or groups; more are folded away
ONE_IN = 40  # features without an effect has a 95% interval above 0
MOST_NAMED = 3
INK = "#1e293b"


def plot(importances: Sequence[Importance], title: str) -> str:
    """Draw bars with their intervals, the largest on top; what has no measurable effect is pale."""
    shown = [each for each in importances if isfinite(each.drop.value)][:SHOWN][::-1]
    with style():
        drawn = figure(7, 0.7 + 0.2 * len(shown))
        axes, places = drawn.add_subplot(), np.arange(len(shown))
        value, low, high = np.array([[each.drop.value, each.drop.low, each.drop.high] for each in shown]).T
        reach = np.maximum([value - low, high - value], 0)
        axes.barh(
            places, value, 0.7, color=[PLAIN if each.is_measurable else PALE for each in shown], alpha=0.7
        )
        axes.errorbar(value, places, xerr=reach, fmt="none", ecolor=INK, capsize=2)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_yticks(places, [short(each.feature or each.group, 46) for each in shown])
        axes.set_xlabel("fall of average precision")
        words = "; ".join(f"{each.feature or each.group} {each.drop.value:.4f}" for each in shown[::-1][:5])
        return svg(drawn, title, f"the largest: {words}")


def words(importances: Sequence[Importance]) -> str:
    """Say how many features have a measurable effect, and what that means for the others."""
    measurable = sum(each.drop.low > 0 for each in importances)
    worse = [each.feature for each in importances if each.drop.high < 0]
    rest, chance = len(importances) - measurable - len(worse), round(len(importances) / ONE_IN)
    sentences = ["No feature alone has a measurable effect."]
    if measurable:
        effects = "features have a measurable effect of their own: the interval of their fall lies above 0."
        sentences = [f"{measurable} of {len(importances)} {effects}"]
    if measurable and chance:
        sentences.append(f"By chance alone about {chance} would.")
    if rest:
        sentences.append(
            f"For {'the one other' if rest == 1 else f'the other {rest}'} it holds 0: the model ranks about as well "
            "without what each tells alone. Do not read an order into these."
        )
    if worse:
        sentences.append(
            f"These customers are ranked better without what {' and '.join(worse[:MOST_NAMED])} {_tell(worse)}, which "
            "may be chance."
        )
    return " ".join(sentences)


def _tell(names: Sequence[str]) -> str:
    if len(names) > MOST_NAMED:
        return f"and {len(names) - MOST_NAMED} others tell"
    return "tells" if len(names) == 1 else "tell"
