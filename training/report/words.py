"""What a run's numbers say in plain sentences: why this model, and what its thresholds mean for people and costs."""

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any, NamedTuple

from training.evaluation.figures import LevelFigures, ThresholdFigures
from training.pages import number, percent
from training.report.run import Run

PER = 1_000  # customers or events that a sentence speaks of
VERDICTS = {
    "promoted": "The model is in use.",
    "waiting": "The model is not in use. It waits for a person to approve it.",
    "rejected": "The model is rejected. It is not in use.",
    "": "Nobody has judged this model by gates yet.",
}
TARGETS: Mapping[str, str] = {
    "precision": "of the {about} on this level, at least {value} must be there rightly",
    "recall": "at least {value} of the positive {about} must reach this level",
    "share": "at most {value} of all {about} may reach this level",
    "score": "the threshold is fixed at {value}, whatever it gives",
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
    found = []
    for candidate in dict.fromkeys(trial["candidate"] for trial in trials):
        own = [trial for trial in trials if trial["candidate"] == candidate]
        complete = sorted((t for t in own if t["is_complete"]), key=lambda trial: sign * trial["mean"])
        found.append(Tried(candidate, len(own), len(own) - len(complete), complete[0] if complete else None))
    return sorted(found, key=lambda each: sign * each.best["mean"] if each.best else float("inf"))


def why(run: Run) -> str:
    """Why this model and no other."""
    model, found = run.training["model"], [each for each in tried(run) if each.best]
    if not found:
        return (
            f"The use case names one learner, {model['candidate']}, and asks for no tuning: it was fitted as declared, "
            "and nothing was compared."
        )
    first, low, high = found[0], *found[0].span
    best = first.best or {}
    told = (
        f"{first.candidate} has the {'lowest' if run.lower_is_better else 'highest'} mean {run.metric} over "
        f"{len(best['values'])} folds of customers that the trial had not seen: {best['mean']:.4f} "
        f"(the folds lie between {low:.4f} and {high:.4f})."
    )
    if len(found) == 1 or not found[1].best:
        return f"{told} No other learner was tried to the end."
    apart = abs(best["mean"] - found[1].best["mean"])
    told += f" The next, {found[1].candidate}, has {found[1].best['mean']:.4f}."
    if apart < high - low:
        told += (
            " That difference is smaller than the one between folds: it may be chance, and either would do."
        )
    return told


def target(run: Run, level: str) -> str:
    """What the policy asks of a level's threshold, and whether that was reached."""
    found = run.targets[level]
    ((kind, value),) = found["target"].items()
    about = run.evaluation.decides
    asked = TARGETS[kind].format(value=number(value) if kind == "score" else percent(value), about=about)
    if kind == "score":
        return f"The policy says: {asked}."
    reached = (
        "this is reached" if found["reached"] else "NO THRESHOLD REACHES THIS; the nearest one was taken"
    )
    return f"The policy asks: {asked}. On {about} held out while the threshold was chosen, {reached}."


def is_missed(run: Run, level: str) -> bool:
    return not run.targets[level]["reached"]


def meaning(found: LevelFigures, at: ThresholdFigures) -> str:
    """A threshold in people, or events: how many are flagged, how many of them rightly, who is missed."""
    if not found.n:
        return f"No {found.about} to count."
    recall = at.recall.value if isfinite(at.recall.value) else 0.0
    rightly = recall * found.positives
    flagged, right = PER * at.flagged / found.n, PER * rightly / found.n
    positives = PER * found.positives / found.n
    return (
        f"Of {PER:,} {found.about} like these, about {_count(flagged)} are flagged: {_count(right)} rightly, "
        f"{_count(flagged - right)} wrongly. {_count(positives)} of the {PER:,} are positive, so "
        f"{_count(max(positives - right, 0))} are missed."
    )


def _count(found: float) -> str:
    return f"{found:.0f}" if found >= 10 or found == 0 else f"{found:.1f}"


def costs(run: Run, found: LevelFigures) -> Iterator[str]:
    """What the thresholds cost by the use case's own costs; nothing without them."""
    points = [p for p in found.cost if isfinite(p.y)]
    if not points:
        return
    one = found.about.removesuffix("s")
    for level, at in sorted(found.at.items(), key=lambda each: each[1].threshold):
        nearest = min(points, key=lambda point: abs(point.x - at.threshold))
        yield f"At the threshold of {level.upper()}, one {one} costs {number(nearest.y)} on average."
    best = min(points, key=lambda point: point.y)
    yield f"The least is {number(best.y)}, with a threshold of {best.x:.3f}."


def first_lines(run: Run) -> list[str]:
    """What a reader must know before anything else, the evaluation's words first."""
    failed = [gate.name for gate in run.gates if not gate.passed]
    told = [run.evaluation.words, VERDICTS.get(run.verdict, run.verdict)]
    if failed:
        told.append(f"Gates that failed: {', '.join(failed)}.")
    if run.champion:
        told.append(f"It was compared with the champion {run.champion}.")
    return told
