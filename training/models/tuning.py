"""Searching for hyper-parameters by cross-validation over folds of customers, with Optuna.

The first trial of a candidate is what the use case declares; later ones are drawn by the tree-structured Parzen
estimator (Bergstra 2011), and one that is behind the median after two folds is given up. The number of trials is
the bound, not time: the same seed gives the same trials.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from export.onnx import Sigmoid
from training.arrays import Floats, Mask
from training.models.candidates import CANDIDATES, Range
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
        """All but the seconds, which no seed repeats."""
        return {
            "candidate": self.candidate,
            "parameters": dict(self.parameters),
            "values": list(self.values),
            "mean": self.mean,
            "is_complete": self.is_complete,
        }


def tune(rows: LearningRows, asked: Parameters, seed: int, progress: Progress) -> list[Trial]:
    """Trials of all candidates in the order of the use case, `asked.trials` of each."""
    found: list[Trial] = []
    total = max(asked.trials, 1) * len(asked.candidates)
    for candidate in asked.candidates:
        for trial in _trials(rows, candidate, asked, seed):
            found.append(trial)
            progress(f"trial {len(found)} of {total}: {_words(trial, best_trial(found, asked), asked)}")
    return found


def best_trial(trials: Sequence[Trial], asked: Parameters, candidate: str = "") -> Trial:
    """Return the complete trial with the best mean, of one candidate or of all; the earliest of equals."""
    sign = -1 if asked.metric.lower_is_better else 1
    complete = (each for each in trials if each.is_complete and candidate in ("", each.candidate))
    return max(complete, key=lambda trial: sign * trial.mean)


def _words(trial: Trial, best: Trial, asked: Parameters) -> str:
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

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # progress is told by us
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


def _distributions(space: Mapping[str, Range]) -> dict[str, Any]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, Any] = {"balanced": CategoricalDistribution([False, True])}
    for name, each in space.items():
        if each.is_whole:
            found[name] = IntDistribution(int(each.low), int(each.high), log=each.is_log)
        else:
            found[name] = FloatDistribution(each.low, each.high, log=each.is_log)
    return found


def _tried(
    rows: LearningRows,
    candidate: str,
    values: Mapping[str, Any],
    asked: Parameters,
    seed: int,
    asking: Any = None,
) -> Trial:
    """The first folds, then the others; `asking` is Optuna's trial, which may say that these are not worth it."""
    start, found = time.perf_counter(), []
    for folds in (range(FIRST_FOLDS), range(FIRST_FOLDS, rows.folds)):
        if not folds or (found and asking is not None and asking.should_prune()):
            break
        for fold, (_, score) in zip(folds, fit_folds(rows, folds, candidate, values, seed), strict=True):
            out = rows.fold == fold
            found.append(_measured(rows, out, Sigmoid()(score), asked))
        if asking is not None:
            asking.report(float(np.mean(found)), len(found))
    seconds, mean = time.perf_counter() - start, float(np.mean(found))
    return Trial(candidate, dict(values), tuple(found), mean, len(found) == rows.folds, seconds)


def _measured(rows: LearningRows, out: Mask, score: Floats, asked: Parameters) -> float:
    """The metric of the rows that are `out` of a fold: of their customers, or of events where the label is one's."""
    if rows.by_event:
        return asked.metric(rows.label[out], score, np.ones(len(score)))
    customers, customer = np.unique(rows.customer[out], return_inverse=True)
    label = rows.customer_label[customers]
    return asked.metric(label, customer_scores(customer, score), np.ones(len(label)))


def draw_customers(rows: LearningRows, most: int, seed: int) -> LearningRows:
    """Rows of customers drawn, the same share of each class in each fold, until about `most` are learned from.

    Of each the sampled rows, and where customers are ranked the latest ones, which its score is made of.
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
    """True [customers] for the share of each class in each fold, one at least; the class is that of sampled rows."""
    fold, label = (np.zeros(len(rows.customer_label), np.int64) for _ in range(2))
    fold[rows.customer] = rows.fold
    np.maximum.at(label, rows.customer[rows.sampled], rows.label[rows.sampled])
    is_drawn = np.zeros(len(label), np.bool_)
    for group in np.unique(2 * fold + label):
        own = rng.permutation(np.flatnonzero(2 * fold + label == group))
        is_drawn[own[: int(np.ceil(share * len(own)))]] = True
    return is_drawn
