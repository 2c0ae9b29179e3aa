"""Sentences about thresholds, levels and recommendations: what was asked, what was reached, what to be warned of."""

from collections.abc import Iterator, Mapping
from math import isnan
from typing import Any

from export.policy import Terms, terms
from training.evaluation import baselines
from training.evaluation.figures import DecisionFigures, Quantiles, Recommendations, UnitFigures
from training.pages.html import number, percent
from training.report.run import Run
from training.statistics.interval import Interval

APART = 0.25  # of the larger of two thresholds: more and figures at one say little of the other
ASKED: Mapping[str, str] = {
    "precision": "of the {about} on this level, at least {value} must be there rightly",
    "recall": "at least {value} of the positive {about} must reach this level",
    "share": "at most {value} of all {about} may reach this level",
    "score": "the threshold is fixed at {value}, whatever it gives",
    "per_week": "on average at most {value} {about} a week may reach this level",
    "f_beta": "the best balance of precision and recall, where recall counts {value} times as much (F-beta)",
    "expected_cost": "the least cost, where a missed positive costs {miss} and a false alarm {false_alarm}",
}
SHARES = ("precision", "recall", "share")
VERDICTS = {
    "yes": "The target is reached.",
    "not reached": "NO THRESHOLD REACHES THIS; the nearest one was taken.",
    "cannot be known": "WHETHER THIS IS REACHED CANNOT BE KNOWN from so few: from {low} to {high} all is possible.",
}
OF_KIND: Mapping[str, Mapping[str, str]] = {
    "f_beta": {"yes": "On these customers no other threshold has a better balance."},
    "expected_cost": {
        "yes": "So it pays to flag.",
        "not reached": "NO THRESHOLD SAVES ANYTHING; the one that loses least was taken.",
        "cannot be known": "WHETHER IT SAVES ANYTHING CANNOT BE KNOWN from so few: it may be from {low} to {high}.",
    },
}


def in_order(run: Run) -> list[str]:
    """The levels, the highest first."""
    return sorted(run.thresholds, key=lambda level: (run.thresholds[level], level == "high"), reverse=True)


def alike(run: Run) -> str:
    """Explain levels that share one threshold."""
    if len(set(run.thresholds.values())) == len(run.thresholds):
        return ""
    return (
        "MEDIUM and HIGH have the same threshold, because what is asked of MEDIUM would put it there or above. "
        "So nobody is on MEDIUM but those who have come down from HIGH. Look whether the policy asks enough of HIGH."
    )


def status(run: Run, level: str) -> str:
    """Say whether a level's target is reached: yes, not reached, cannot be known. Older runs have true or false."""
    reached = run.targets[level]["reached"]
    return reached if isinstance(reached, str) else "yes" if reached else "not reached"


def is_missed(run: Run, level: str) -> bool:
    return status(run, level) != "yes"


def asked(run: Run, level: str) -> str:
    """Return the target of a level's threshold as a clause."""
    ((kind, value),) = run.targets[level]["target"].items()
    about = run.evaluation.decides
    if kind == "expected_cost":
        costs = {name: each if isinstance(each, str) else number(each) for name, each in value.items()}
        return ASKED[kind].format(**costs)
    return ASKED[kind].format(value=_share(value) if kind in SHARES else number(value), about=about)


def target(run: Run, level: str) -> str:
    """Describe the target of a level's threshold, the figures while it was chosen, and what follows."""
    target_facts = run.targets[level]
    if "score" in target_facts["target"]:
        return f"The policy says: {asked(run, level)}."
    ends = _ends(target_facts)
    ((kind, _),) = target_facts["target"].items()
    verdict = {**VERDICTS, **OF_KIND.get(kind, {})}[status(run, level)].format(**ends)
    return " ".join(filter(None, [f"The policy asks: {asked(run, level)}.", counts(run, level), verdict]))


def amounts(run: Run) -> str:
    """Explain a missing curve of costs, where a feature says what a miss costs; else empty."""
    targets = [each["target"] for each in run.targets.values()]
    costs = [each["expected_cost"]["miss"] for each in targets if "expected_cost" in each]
    features = [each for each in costs if isinstance(each, str)]
    if not features:
        return ""
    meaning = run.meanings.get(features[0], features[0])
    return (
        f"What a miss costs differs by {run.subject}: it is the highest value that the feature {features[0]} "
        f"({meaning}) ever had. What the threshold saves with these costs stands above."
    )


def counts(run: Run, level: str) -> str:
    """Count those above the threshold while it was chosen; empty for older runs, which lack the count."""
    facts, about = run.targets[level], run.evaluation.decides
    if "flagged" not in facts:
        return ""
    verb = "sustained it" if about == "customers" else "reached it"
    if not facts["flagged"]:
        return f"Of {facts['n']:,} {about} held out while the threshold was chosen, none {verb}."
    ((kind, _),) = facts["target"].items()
    ends = _ends(facts)
    measured = {
        "precision": "that is {value} [{low}, {high}]",
        "recall": "that is {value} [{low}, {high}] of the {positives:,} positive ones",
        "share": "that is {value} [{low}, {high}] of all",
        "per_week": "that is {value} [{low}, {high}] a week",
        "f_beta": "F-beta is {value} [{low}, {high}]",
        "expected_cost": "against flagging nobody that saves {value} [{low}, {high}] for each of all {about}",
    }[kind].format(**ends, positives=facts["positives"], about=about)
    return (
        f"Of {facts['n']:,} {about} held out while the threshold was chosen, {facts['flagged']:,} {verb}, "
        f"{facts['rightly']:,} of them rightly: {measured}."
    )


def uncertainty(run: Run, level: str) -> str:
    """Describe the threshold's own uncertainty; empty where it is fixed, or for older runs."""
    facts = run.targets[level]
    if "score" in facts["target"] or facts.get("threshold_low") is None:
        return ""
    return (
        f"Chosen on other customers of the same kind, the threshold would mostly lie between "
        f"{facts['threshold_low']:.4f} and {facts['threshold_high']:.4f}."
    )


def _ends(facts: Mapping[str, Any]) -> dict[str, str]:
    ((kind, _),) = facts["target"].items()
    shown = percent if kind in SHARES else number
    return {name: "-" if facts.get(name) is None else shown(facts[name]) for name in ("value", "low", "high")}


def _share(value: float) -> str:
    return percent(value).replace(".0%", "%")


def sustained(run: Run) -> str:
    """Explain sustained scores of customers; empty where events decide."""
    if run.evaluation.decides != "customers":
        return ""
    policy = terms(run.policy)
    return (
        "A customer sustains a threshold if off-boarding would have been recommended at it: once a score has reached "
        f"it, {_in_a_row(policy)} at least {policy.exit_ratio:.0%} of it, and there are {policy.min_events} "
        "events or more. Thresholds are chosen by what customers sustained, not by their highest score: that grows "
        "with the number of events alone, and a single high score leads to nothing."
    )


def _in_a_row(policy: Terms) -> str:
    return "one score is" if policy.in_a_row == 1 else f"{policy.in_a_row} scores in a row are"


def other_threshold(run: Run, figures: UnitFigures, level: str) -> str:
    """Warn of figures that were measured at a threshold far from the bundle's; empty if none were."""
    if level not in figures.at:
        return ""
    kept, judged = run.thresholds[level], figures.at[level].threshold
    if abs(kept - judged) <= APART * max(kept, judged):
        return ""
    return (
        f"The figures are of a threshold of {judged:.4f}, which was chosen in the same way before the cut in time. "
        f"The bundle's is {kept:.4f}, far from it, so expect other figures: the share of customers that are positive "
        "changes with the length of a history, and thresholds with it."
    )


def warnings(run: Run) -> list[str]:
    """Return the warnings that nobody who trains must overlook.

    A model no better than a rule on a card, targets missed or unknown, levels that nobody reaches, an empty list.
    """
    behind = baselines.warning(run.evaluation.baselines)
    return [*([behind] if behind else []), *_of_targets(run), *_of_recommendations(run)]


def _of_targets(run: Run) -> Iterator[str]:
    for level in in_order(run):
        if is_missed(run, level):
            lead = "misses its target" if status(run, level) == "not reached" else "may miss its target"
            yield f"{level.upper()} {lead}. {target(run, level)}"


def _of_recommendations(run: Run) -> Iterator[str]:
    recommendations = run.evaluation.recommendations
    if recommendations is None:
        return
    ever = {each.level: each.ever for each in run.evaluation.segments}
    for level in in_order(run):
        if not ever.get(level.upper(), 1) and not (level == "medium" and ever.get("HIGH")):
            yield f"No customer that judges the model ever reaches {level.upper()}."
    if not recommendations.ever.customers:
        yield "The policy recommends nobody: the off-boarding list would be empty."
    elif not recommendations.open.customers:
        yield "No recommendation is open after the customers' last events: the off-boarding list would be empty."


def rows(recommendations: Recommendations) -> list[tuple[str, str]]:
    """Return the replayed policy's decisions as the lines of a short table: name and value."""
    lines = [
        (
            "customers judged",
            f"{recommendations.customers:,}, {recommendations.positives:,} of them positive",
        ),
        *_decided("recommended at some time", recommendations.ever),
        *_decided("open after the last event", recommendations.open),
        *(
            _decided("recommended by the bundle's thresholds", recommendations.flattered)
            if recommendations.flattered
            else ()
        ),
        ("retracted at some time", f"{recommendations.retracted:,}"),
        ("held by the circuit breaker", f"{recommendations.held:,}"),
        ("cases a week", f"{recommendations.cases_per_week:.1f} on average{_busiest(recommendations)}"),
    ]
    if recommendations.ever.rightly:
        lines.append(("days until recommended", _quartiles(recommendations.days_until, 1)))
        lines.append(("events until recommended", _quartiles(recommendations.events_until, 0)))
    return lines


def _decided(name: str, decided: DecisionFigures) -> Iterator[tuple[str, str]]:
    yield name, f"{decided.customers:,}, {decided.rightly:,} of them rightly"
    yield "  precision", _interval(decided.precision)
    yield "  recall", _interval(decided.recall)


def _busiest(recommendations: Recommendations) -> str:
    week = recommendations.busiest
    return f", {week.cases:,} in the busiest (from {week.start})" if week else ""


def _interval(interval: Interval) -> str:
    return "-" if isnan(interval.value) else f"{interval.value:.1%} [{interval.low:.1%}, {interval.high:.1%}]"


def _quartiles(quantiles: Quantiles, after_point: int) -> str:
    """Return the median of positive customers, and the quartiles between which half of them lie."""
    low, middle, high = (
        f"{each:.{after_point}f}" for each in (quantiles.q25, quantiles.median, quantiles.q75)
    )
    return f"median {middle}, for half of the positive customers {low} to {high}"
