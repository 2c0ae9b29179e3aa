"""A run's numbers in plain sentences: why this model, and what its thresholds mean for people and costs."""

import re
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite, log10
from typing import Any, NamedTuple

from training.evaluation.figures import ThresholdFigures, UnitFigures
from training.evaluation.recommendations import outlook
from training.pages.html import number
from training.report import calendar, fairness, levels
from training.report.run import Run

PER = (
    1_000,
    10_000,
    100_000,
    1_000_000,
)  # customers or events that a sentence speaks of: the least that serves
LEAST = 10  # of them flagged and positive, so that whole numbers say enough
VERDICTS = {
    "promoted": "The model is in use.",
    "waiting": "The model is not in use. It waits for a person to approve it.",
    "rejected": "The model is rejected. It is not in use.",
    "": "Nobody has judged this model by gates yet.",
}
BY_HAND = " The model is in use because a person trained it; a retraining would not have used it without an approval."

PARAMETERS: Mapping[str, str] = {
    "trees": "how many decision trees there are",
    "leaves": "how many leaves a tree may have: more can tell finer cases apart, and learn what was only chance",
    "rows_per_leaf": "how many events a leaf must have at least",
    "child_weight": "how much must be left to tell apart in a leaf",
    "learning_rate": "how much each tree adds: with less it takes more of them",
    "l2": "how strongly weights are held near 0",
    "columns": "the share of the features that a tree, or a split, may look at",
    "balanced": "whether positives weigh as much as negatives while learning; scores are calibrated all the same",
}


class Tried(NamedTuple):
    """A candidate: how often it was tried, and its best complete trial, if one is."""

    candidate: str
    trials: int
    given_up: int
    best: Mapping[str, Any] | None

    @property
    def span(self) -> tuple[float, float]:
        """Worst and best fold of the best trial, or NaN."""
        return (min(self.best["values"]), max(self.best["values"])) if self.best else (float("nan"),) * 2


def tried(run: Run) -> list[Tried]:
    """The candidates, the best first; those without a complete trial last."""
    trials = run.training["model"]["trials"]
    sign = 1 if run.lower_is_better else -1
    learners = []
    for candidate in dict.fromkeys(trial["candidate"] for trial in trials):
        of_candidate = [trial for trial in trials if trial["candidate"] == candidate]
        complete = sorted(
            (t for t in of_candidate if t["is_complete"]), key=lambda trial: sign * trial["mean"]
        )
        learners.append(
            Tried(
                candidate,
                len(of_candidate),
                len(of_candidate) - len(complete),
                complete[0] if complete else None,
            )
        )
    return sorted(learners, key=lambda each: sign * each.best["mean"] if each.best else float("inf"))


def why(run: Run) -> str:
    """Explain the choice of this model."""
    model, chosen = run.training["model"], [each for each in tried(run) if each.best]
    if model.get("compared"):
        return _compared(run, model)
    if not chosen:
        return (
            f"The use case names one learner, {model['candidate']}, and asks for no tuning: it was fitted as declared, "
            "and nothing was compared."
        )
    first, low, high = chosen[0], *chosen[0].span
    best = first.best or {}
    return (
        f"The use case names one learner, {first.candidate}. Of its trials the one with the "
        f"{'lowest' if run.lower_is_better else 'highest'} mean {run.metric} over {len(best['values'])} folds of "
        f"customers that it had not seen is chosen: {best['mean']:.4f} (folds from {low:.4f} to {high:.4f})."
    )


def _compared(run: Run, model: Mapping[str, Any]) -> str:
    """Name the chosen learner, those that are worse beyond chance, and those that may be as good."""
    chosen, *others = model["compared"]
    which = "lowest" if run.lower_is_better else "highest"
    sentences = [
        f"{plain(chosen['candidate'])} has the {which} mean {plain(run.metric)}, {chosen['mean']:.3f}, in "
        f"{len(chosen['values'])} repeats of {model['folds']}-fold cross-validation: each repeat deals the customers "
        f"to folds anew, and only {run.evaluation.decides} that a learner had not seen count."
    ]
    worse = [plain(each["candidate"]) for each in others if not may_be_chance(each)]
    alike = [plain(each["candidate"]) for each in others if may_be_chance(each)]
    if worse:
        sentences.append(
            f"{_listed(worse)} {'is' if len(worse) == 1 else 'are'} worse by more than chance explains."
        )
    if alike:
        sentences.append(
            f"The difference to {_listed(alike)} may be chance, so these data do not tell which is better; the use "
            "case can name the one that is preferred."
        )
    return " ".join(sentences)


def plain(name: str) -> str:
    """The name of a learner or a metric as people write it."""
    return name.replace("_", " ")


def may_be_chance(compared: Mapping[str, Any]) -> bool:
    """Return True if 0 lies within the interval of a learner's difference to the chosen one."""
    apart = compared["difference"]
    return apart is None or bool(apart["low"] <= 0 <= apart["high"])


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def judges(run: Run) -> str:
    """Describe the rows that judge the model, without the split's name and with times to the minute."""
    split = run.training["split"].partition(": ")[2] or run.training["split"]
    return re.sub(r"(\d)T(\d\d:\d\d):[\d.]+Z", r"\1 \2 UTC", split)


def agreed(run: Run) -> int:
    """Decimals to which the scores of the bundle are those of the learner."""
    return int(-log10(max(run.parity, 1e-12)))


def meaning(figures: UnitFigures, at: ThresholdFigures) -> str:
    """A threshold in people, or events: how many are flagged, how many of them rightly, who is missed."""
    if not figures.n:
        return f"No {figures.about} to count."
    rightly: float = at.rightly or 0
    if at.rightly is None and isfinite(at.recall.value):
        rightly = at.recall.value * figures.positives
    least = min(n for n in (at.flagged or figures.n, figures.positives or figures.n))
    per = next((each for each in PER if each * least >= LEAST * figures.n), PER[-1])
    flagged, right, positives = (round(per * n / figures.n) for n in (at.flagged, rightly, figures.positives))
    return (
        f"Of {per:,} {figures.about} like these, about {flagged:,} are flagged: {right:,} rightly, "
        f"{flagged - right:,} wrongly. {positives:,} of the {per:,} are positive, so "
        f"{max(positives - right, 0):,} are missed."
    )


def costs(run: Run, figures: UnitFigures) -> Iterator[str]:
    """Describe the costs of the thresholds by the use case's own costs; empty without them."""
    points = [p for p in figures.cost if isfinite(p.y)]
    if not points:
        return
    one = figures.about.removesuffix("s")
    for level, at in sorted(figures.at.items(), key=lambda each: each[1].threshold):
        nearest = min(points, key=lambda point: abs(point.x - at.threshold))
        yield f"At the threshold of {level.upper()}, one {one} costs {number(nearest.y)} on average."
    best = min(points, key=lambda point: point.y)
    yield f"The least is {number(best.y)}, with a threshold of {best.x:.3f}."


def _outlook(run: Run) -> list[str]:
    recommendations = run.evaluation.recommendations
    line = outlook(recommendations) if recommendations and run.evaluation.has_signal else ""
    return [line] if line else []


def first_lines(run: Run) -> list[str]:
    """Return the sentences that a reader must know first; the evaluation's own come before the others."""
    failed = [gate.name for gate in run.gates if not gate.passed]
    time = calendar.warning(run.evaluation)
    sentences = [
        run.evaluation.words,
        *_outlook(run),
        *([time] if time else []),
        *levels.warnings(run),
        VERDICTS.get(run.verdict, run.verdict),
    ]
    if failed:
        sentences.append(
            f"Gates that failed: {', '.join(failed)}.{BY_HAND if run.verdict == 'promoted' else ''}"
        )
    if fairness.absent(run):
        sentences.append(fairness.absent(run))
    if run.champion:
        sentences.append(f"It was compared with the champion {run.champion}.")
    return sentences
