"""Search for hyper-parameters by cross-validation over folds of customers, with Optuna.

The first trial of a candidate has the values that the use case declares. The tree-structured Parzen estimator (Bergstra
2011) draws later ones, and a trial that is behind the median after two folds is given up. The number of trials is the
limit, not time, so the same seed gives the same trials.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from export.onnx import Sigmoid
from training.arrays import Floats, Mask
from training.models.candidates import CANDIDATES, SearchRange
from training.models.fit import LearningRows, fit_folds
from training.models.parameters import Parameters
from training.progress import Progress
from training.statistics.customer_score import customer_scores

FIRST_FOLDS = 2  # that every trial is measured on, side by side
PATIENCE = 4  # trials of a candidate that are never given up: a median of fewer says nothing


@dataclass(frozen=True)
class Trial:
    """One candidate with one set of hyper-parameters; `values` is the metric by fold, fewer if it was given up."""

    candidate: str
    parameters: Mapping[str, Any]
    values: tuple[float, ...]
    mean: float
    is_complete: bool
    seconds: float

    @property
    def facts(self) -> dict[str, Any]:
        """Plain values for the manifest, without the seconds, which differ from run to run."""
        return {
            "candidate": self.candidate,
            "parameters": dict(self.parameters),
            "values": list(self.values),
            "mean": self.mean,
            "is_complete": self.is_complete,
        }


def tune(rows: LearningRows, asked: Parameters, seed: int, progress: Progress) -> list[Trial]:
    """Try all candidates in the order of the use case, `asked.trials` times each."""
    trials: list[Trial] = []
    total = max(asked.trials, 1) * len(asked.candidates)
    for candidate in asked.candidates:
        for trial in _trials(rows, candidate, asked, seed):
            trials.append(trial)
            progress(f"trial {len(trials)} of {total}: {_line(trial, best_trial(trials, asked), asked)}")
    return trials


def best_trial(trials: Sequence[Trial], asked: Parameters, candidate: str = "") -> Trial:
    """Return the complete trial with the best mean, of one candidate or of all; the earliest of equals."""
    sign = -1 if asked.metric.lower_is_better else 1
    complete = (each for each in trials if each.is_complete and candidate in ("", each.candidate))
    return max(complete, key=lambda trial: sign * trial.mean)


def _line(trial: Trial, best: Trial, asked: Parameters) -> str:
    end = "" if trial.is_complete else f" after {len(trial.values)} folds, given up"
    return (
        f"{trial.candidate}: {asked.metric} {trial.mean:.4f}{end}; best {best.mean:.4f} by {best.candidate}"
    )


def _trials(rows: LearningRows, candidate: str, asked: Parameters, seed: int) -> Iterator[Trial]:
    yield _tried(rows, candidate, asked.start(candidate), asked, seed)
    if asked.trials > 1:
        yield from _searched(rows, candidate, asked, seed)


def _searched(rows: LearningRows, candidate: str, asked: Parameters, seed: int) -> Iterator[Trial]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # `progress` reports the trials
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=PATIENCE),
        direction="minimize" if asked.metric.lower_is_better else "maximize",
    )
    space = _distributions(CANDIDATES[candidate].space)
    for _ in range(asked.trials - 1):
        asking = study.ask(space)
        values = asked.start(candidate) | asking.params
        trial = _tried(rows, candidate, values, asked, seed, asking)
        state = optuna.trial.TrialState.COMPLETE if trial.is_complete else optuna.trial.TrialState.PRUNED
        study.tell(asking, trial.mean if trial.is_complete else None, state)
        yield trial


def _distributions(space: Mapping[str, SearchRange]) -> dict[str, Any]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    distributions: dict[str, Any] = {"balanced": CategoricalDistribution([False, True])}
    for name, each in space.items():
        if each.is_whole:
            distributions[name] = IntDistribution(int(each.low), int(each.high), log=each.is_log)
        else:
            distributions[name] = FloatDistribution(each.low, each.high, log=each.is_log)
    return distributions


def _tried(
    rows: LearningRows,
    candidate: str,
    values: Mapping[str, Any],
    asked: Parameters,
    seed: int,
    asking: Any = None,
) -> Trial:
    """Measure the first folds, then the others; `asking` is Optuna's trial, which may prune the others."""
    start, measured = time.perf_counter(), list[float]()
    for folds in (range(FIRST_FOLDS), range(FIRST_FOLDS, rows.folds)):
        if not folds or (measured and asking is not None and asking.should_prune()):
            break
        for fold, (_, score) in zip(folds, fit_folds(rows, folds, candidate, values, seed), strict=True):
            out = rows.fold == fold
            measured.append(_measured(rows, out, Sigmoid()(score), asked))
        if asking is not None:
            asking.report(float(np.mean(measured)), len(measured))
    seconds, mean = time.perf_counter() - start, float(np.mean(measured))
    return Trial(candidate, dict(values), tuple(measured), mean, len(measured) == rows.folds, seconds)


def _measured(rows: LearningRows, out: Mask, score: Floats, asked: Parameters) -> float:
    """Measure the rows that are `out` of a fold: their customers, or events if the label is an event's."""
    if rows.by_event:
        return asked.metric(rows.label[out], score, np.ones(len(score)))
    customers, customer = np.unique(rows.customer[out], return_inverse=True)
    label = rows.customer_label[customers]
    return asked.metric(label, customer_scores(customer, score), np.ones(len(label)))


def draw_customers(rows: LearningRows, most: int, seed: int) -> LearningRows:
    """Draw customers, the same share of each class in each fold, until about `most` rows are learned from.

    Returns the sampled rows of each and, where customers are ranked, the latest rows, which make its score.
    """
    share = min(1.0, most / rows.sampled.sum())
    is_drawn = _drawn(rows, share, np.random.default_rng(seed))
    kept = (rows.sampled if rows.by_event else rows.sampled | rows.latest) & is_drawn[rows.customer]
    return replace(
        rows,
        vectors=rows.vectors[kept],
        label=rows.label[kept],
        customer=(np.cumsum(is_drawn) - 1)[rows.customer[kept]],
        customer_label=rows.customer_label[is_drawn],
        fold=rows.fold[kept],
        sampled=rows.sampled[kept],
        latest=rows.latest[kept],
        place=rows.place[kept],
    )


def _drawn(rows: LearningRows, share: float, rng: np.random.Generator) -> Mask:
    """Mark the customers drawn [customers]: the same share of each class in each fold, at least one."""
    fold, label = (np.zeros(len(rows.customer_label), np.int64) for _ in range(2))
    fold[rows.customer] = rows.fold
    np.maximum.at(label, rows.customer[rows.sampled], rows.label[rows.sampled])
    is_drawn = np.zeros(len(label), np.bool_)
    for group in np.unique(2 * fold + label):
        members = rng.permutation(np.flatnonzero(2 * fold + label == group))
        is_drawn[members[: int(np.ceil(share * len(members)))]] = True
    return is_drawn
