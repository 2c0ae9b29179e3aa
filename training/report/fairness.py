"""The report's section on groups of customers: what follows from the rates in words, and a plot of them."""

from collections.abc import Iterator
from math import isfinite

import numpy as np

from training.evaluation.fairness import APART, MAYBE, OUTCOMES, SMALL
from training.evaluation.treatment import Fairness, GroupFigures, GroupOutcome
from training.pages.html import percent
from training.pages.svg import NEGATIVE, PLAIN, POSITIVE, figure, short, style, svg
from training.report.run import Run
from training.statistics import ratios
from training.statistics.interval import Interval

LOOKS = {APART: "problem", MAYBE: "look", SMALL: "muted"}  # the class of a cell by its finding
DRAWN = ((OUTCOMES[0], PLAIN, "D"), (OUTCOMES[2], POSITIVE, "o"), (OUTCOMES[3], NEGATIVE, "s"))
SHOWN_SMALL = 12  # names of groups that are too small


def use(field: Fairness) -> str:
    """Say what the model may use the field for."""
    if field.is_protected:
        return "Protected: no feature may use it. Other features may stand in for it."
    if not field.features:
        return "Sensitive; no feature uses it."
    names = ", ".join(field.features)
    return f"Sensitive: the model uses it, in {names}."


def findings(field: Fairness) -> Iterator[tuple[str, str]]:
    """Sentences, each with the class of its look: what is surely unequal, what may be, or that nothing is."""
    if not field.known:
        yield "problem", "No customer that judges has a value of this field, so nothing can be said of it."
        return
    if not field.reference:
        yield "muted", "No group is large enough to be compared."
        return
    pairs = [(group, each) for group in field.groups for each in group.outcomes]
    if not any(each.ratio for _, each in pairs):
        yield "muted", f"No group is large enough to be compared with {field.reference}, the largest one."
        return
    apart, maybe = ([pair for pair in pairs if pair[1].finding == finding] for finding in (APART, MAYBE))
    for group, each in apart:
        yield "problem", f"{_times(field, group, each)} {_base_rates(field, group)}"
    for group, each in maybe:
        yield "look", f"{_times(field, group, each)} With this few customers it may be chance."
    if not apart and not maybe:
        yield "", "No group that is large enough to be compared lies beyond the four-fifths rule."


def small(field: Fairness) -> str:
    """Name the groups that are too small to be shown; empty if none is."""
    if not field.small:
        return ""
    more = len(field.small) - SHOWN_SMALL
    names = ", ".join(field.small[:SHOWN_SMALL]) + (f" and {more} more" if more > 0 else "")
    return f"Too small to say anything of: {names} ({field.small_customers:,} customers in all)."


def look(each: GroupOutcome) -> str:
    return LOOKS.get(each.finding, "")


def times(each: GroupOutcome) -> str:
    """The ratio to the reference in a cell of the table."""
    return each.finding if each.ratio is None else ratios.times(each.ratio)


def absent(run: Run) -> str:
    """A warning if fields that the use case names have no values; empty if all have."""
    names = [field.field for field in run.evaluation.fairness if not field.known]
    if not names:
        return ""
    return f"No customer that judges has a value of {', '.join(names)}: whether the model is fair by that is unknown."


def _times(field: Fairness, group: GroupFigures, each: GroupOutcome) -> str:
    return f"{group.group}: {each.outcome} {times(each)} as often as {field.reference}."


def _base_rates(field: Fairness, group: GroupFigures) -> str:
    (reference,) = (one for one in field.groups if one.group == field.reference)
    return (
        f"That is beyond the four-fifths rule. Of {group.group}, {percent(group.positives / group.n)} are positive, of "
        f"{field.reference}, {percent(reference.positives / reference.n)}: a person has to judge whether that is why."
    )


def plot(field: Fairness) -> str:
    """Rates of each group as points with their intervals."""
    groups = field.groups[::-1]
    with style():
        drawn = figure(7, 1 + 0.36 * len(groups))
        axes, places = drawn.add_subplot(), np.arange(len(groups))
        for i, (name, color, mark) in enumerate(DRAWN):
            rates = [
                (place + 0.22 * (1 - i), _rate(g, name)) for place, g in zip(places, groups, strict=True)
            ]
            known = [(place, r) for place, r in rates if isfinite(r.value)]
            ends = [[max(r.value - r.low, 0) for _, r in known], [max(r.high - r.value, 0) for _, r in known]]
            axes.errorbar(
                [r.value for _, r in known], [p for p, _ in known], xerr=ends,
                fmt=mark, color=color, markersize=4, capsize=2, linewidth=1, label=name,
            )  # fmt: skip
        axes.set_yticks(places, [f"{short(g.group, 30)} ({g.n:,})" for g in groups])
        axes.set_ylim(-0.6, len(groups) - 0.4)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        axes.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
        words = "; ".join(f"{g.group}: {OUTCOMES[0]} {_rate(g, OUTCOMES[0])}" for g in field.groups)
        return svg(drawn, f"Rates by {field.field}", words)


def _rate(group: GroupFigures, outcome: str) -> Interval:
    return next(each.rate for each in group.outcomes if each.outcome == outcome)
