"""The page of realised figures: precision and recall of past decisions by week, with intervals, and open questions.

One HTML file that needs nothing else (pages.py). Counts are a pipeline.operations.realised.Week's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from markupsafe import Markup

from training.pages.html import environment
from training.pages.svg import NEGATIVE, PALE, PLAIN, POSITIVE, figure, style, svg
from training.statistics.interval import Interval
from training.statistics.wilson import rate

Week = Any
NAMES = {
    "RECOMMENDED": "was recommended for off-boarding",
    "HIGH": "reached HIGH",
    "MEDIUM": "reached MEDIUM or HIGH",
}
UNITS = {False: "customer", True: "event"}
ARTICLES = {False: "a customer", True: "an event"}


@dataclass(frozen=True)
class RealisedFigures:
    """Figures of one kind of decision over some weeks: sums, and shares with Wilson's 95 % intervals.

    `precision` is of the decisions whose outcome is known; `least` and `most` is what it comes to for all of them if
    those unknown as yet are all denied, or all confirmed. `recall` is of those that became known to be positive.
    """

    decision: str
    by_event: bool
    since: date
    weeks: int
    decided: int
    known_before: int
    confirmed: int
    denied: int
    unknown: int
    positives: int
    decided_before: int

    @property
    def precision(self) -> Interval:
        return rate(self.confirmed, self.confirmed + self.denied)

    @property
    def least(self) -> float:
        return rate(self.confirmed, self.decided - self.known_before).value

    @property
    def most(self) -> float:
        return rate(self.confirmed + self.unknown, self.decided - self.known_before).value

    @property
    def recall(self) -> Interval:
        return rate(self.decided_before, self.positives)

    @property
    def words(self) -> str:
        """Describe the figures in whole sentences."""
        return " ".join((self._of_decisions(), self._of_positives()))

    def _of_decisions(self) -> str:
        when = f"in the {self.weeks} weeks from {self.since}" if self.weeks else f"since {self.since}"
        if not self.decided:
            return f"No {UNITS[self.by_event]} {NAMES[self.decision]} {when}."
        known = (
            f"{self.decided} times {when} {ARTICLES[self.by_event]} {NAMES[self.decision]}: {self.confirmed} are "
            f"confirmed, {self.denied} denied, {self.unknown} unknown as yet"
        )
        before = f", and {self.known_before} were known to be positive already" if self.known_before else ""
        return f"{known}{before}. {self._of_outcomes()}"

    def _of_outcomes(self) -> str:
        outcomes = self.confirmed + self.denied
        if not outcomes:
            return "Nothing can be said of precision yet."
        bounds = f" Once all are known it will lie between {self.least:.0%} and {self.most:.0%}."
        precision = (
            f"Of the {outcomes} whose outcome is known, {_share(self.precision)} are confirmed (precision)."
        )
        return precision + (bounds if self.unknown else "")

    def _of_positives(self) -> str:
        if not self.positives:
            return "Nothing that was scored became known to be positive."
        return (
            f"Of the {self.positives} that became known to be positive, {self.decided_before} had been decided about "
            f"before: {_share(self.recall)} (recall)."
        )


def figures(decision: str, weeks: Sequence[Week], since: date, by_event: bool) -> RealisedFigures:
    """The sums of a decision's weeks."""
    chosen = [week for week in weeks if week.decision == decision]
    names = ("decided", "known_before", "confirmed", "denied", "unknown", "positives", "decided_before")
    sums = {name: sum(getattr(week, name) for week in chosen) for name in names}
    return RealisedFigures(decision, by_event, since, len({week.week for week in chosen}), **sums)


def page(use_case: str, figures: Sequence[RealisedFigures], weeks: Sequence[Week], by_event: bool) -> str:
    """The HTML. The first of the figures are in the headline."""
    parts = [(each, [week for week in weeks if week.decision == each.decision]) for each in figures]
    template = environment(Path(__file__).parent).get_template("realised_page.html.jinja")
    return template.render(use_case=use_case, parts=parts, rate=rate, course=course, by_event=by_event)


def course(weeks: Sequence[Week], title: str) -> Markup:
    """Decisions by what is known of them, and precision and recall with their intervals, week by week."""
    places = list(range(len(weeks)))
    with style():
        drawn = figure(9, 3.4)
        above, below = drawn.subplots(2, sharex=True)
        base = [0] * len(weeks)
        for name, color in (("confirmed", POSITIVE), ("denied", NEGATIVE), ("unknown", PALE)):
            counts = [getattr(week, name) for week in weeks]
            above.bar(places, counts, bottom=base, color=color, label=name)
            base = [low + n for low, n in zip(base, counts, strict=True)]
        above.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
        above.set_ylabel("decisions")
        for shift, name, color, parts in (
            (-0.1, "precision", POSITIVE, [(w.confirmed, w.confirmed + w.denied) for w in weeks]),
            (0.1, "recall", PLAIN, [(w.decided_before, w.positives) for w in weeks]),
        ):
            shares = [(k + shift, rate(*pair)) for k, pair in enumerate(parts) if pair[1]]
            below.errorbar(
                [k for k, _ in shares], [s.value for _, s in shares], fmt="o", markersize=3, color=color, label=name,
                yerr=[[s.value - s.low for _, s in shares], [s.high - s.value for _, s in shares]],
            )  # fmt: skip
        below.set_ylim(0, 1.05)
        below.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
        step = max(1, len(weeks) // 12)
        below.set_xticks(places[::step], [f"{week.week}" for week in weeks[::step]], rotation=30)
        return Markup(svg(drawn, title))


def _share(share: Interval) -> str:
    return f"{share.value:.0%} [{share.low:.0%}, {share.high:.0%}]"
