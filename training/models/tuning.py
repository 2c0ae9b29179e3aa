"""Searching for hyper-parameters by cross-validation over folds of customers, with Optuna.

The first trial of a candidate is what the use case declares; later ones are drawn by the tree-structured Parzen
estimator (Bergstra 2011), and one that is behind the median after two folds is given up. The number of trials is
the bound, not time: the same seed gives the same trials.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.fit import Progress, Rows, held_out
from training.models.candidates import CANDIDATES, Range
from training.models.parameters import Parameters

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


def tune(rows: Rows, asked: Parameters, seed: int, progress: Progress) -> list[Trial]:
    """Trials of all candidates in the order of the use case, `asked.trials` (at least one) of each."""
    found: list[Trial] = []
    total = max(asked.trials, 1) * len(asked.candidates)
    for candidate in asked.candidates:
        for trial in _trials(rows, candidate, asked, seed):
            found.append(trial)
            progress(f"trial {len(found)} of {total}: {_words(trial, best(found, asked), asked)}")
    return found


def best(trials: list[Trial], asked: Parameters) -> Trial:
    """The complete trial with the best mean; the earliest of equals."""
    sign = -1 if asked.metric.lower_is_better else 1
    return max((trial for trial in trials if trial.is_complete), key=lambda trial: sign * trial.mean)


def _words(trial: Trial, best: Trial, asked: Parameters) -> str:
    end = "" if trial.is_complete else f" after {len(trial.values)} folds, given up"
    return (
        f"{trial.candidate}: {asked.metric} {trial.mean:.4f}{end}; best {best.mean:.4f} by {best.candidate}"
    )


def _trials(rows: Rows, candidate: str, asked: Parameters, seed: int) -> Iterator[Trial]:
    yield _tried(rows, candidate, asked.start(candidate), asked, seed)
    if asked.trials > 1:
        yield from _searched(rows, candidate, asked, seed)


def _searched(rows: Rows, candidate: str, asked: Parameters, seed: int) -> Iterator[Trial]:
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
    rows: Rows,
    candidate: str,
    values: Mapping[str, Any],
    asked: Parameters,
    seed: int,
    asking: Any = None,
) -> Trial:
    """The first folds, then the others; `asking` is Optuna's trial, which may say that these are not worth it."""
    start, found, weight = time.perf_counter(), [], rows.weight
    for folds in (range(FIRST_FOLDS), range(FIRST_FOLDS, rows.folds)):
        if not folds or (found and asking is not None and asking.should_prune()):
            break
        for fold, (_, score) in zip(folds, held_out(rows, folds, candidate, values, seed), strict=True):
            out = rows.fold == fold
            found.append(asked.metric(rows.label[out], score, weight[out]))
        if asking is not None:
            asking.report(float(np.mean(found)), len(found))
    seconds, mean = time.perf_counter() - start, float(np.mean(found))
    return Trial(candidate, dict(values), tuple(found), mean, len(found) == rows.folds, seconds)


def part(rows: Rows, most: int, seed: int) -> Rows:
    """The sampled rows of customers drawn, the same share of each class in each fold, until they are about `most`."""
    share = min(1.0, most / rows.sampled.sum())
    is_drawn = _drawn(rows, share, np.random.default_rng(seed))
    kept = rows.sampled & is_drawn[rows.customer]
    return replace(
        rows,
        vectors=rows.vectors[kept],
        label=rows.label[kept],
        customer=(np.cumsum(is_drawn) - 1)[rows.customer[kept]],
        customer_label=rows.customer_label[is_drawn],
        fold=rows.fold[kept],
        sampled=rows.sampled[kept],
    )


def _drawn(rows: Rows, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """True [customers] for the share of each class in each fold, one at least; the class is that of sampled rows."""
    fold, label = (np.zeros(len(rows.customer_label), np.int64) for _ in range(2))
    fold[rows.customer] = rows.fold
    np.maximum.at(label, rows.customer[rows.sampled], rows.label[rows.sampled])
    is_drawn = np.zeros(len(label), np.bool_)
    for group in np.unique(2 * fold + label):
        own = rng.permutation(np.flatnonzero(2 * fold + label == group))
        is_drawn[own[: int(np.ceil(share * len(own)))]] = True
    return is_drawn
