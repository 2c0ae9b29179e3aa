"""Quality of scores beside a random forest on plain aggregates and a small rule, on the same folds.

Intervals draw customers (loans, accounts), for all lines alike, so that those of differences are paired. A figure of
several seeds is the mean of their figures, not the figure of their mean score.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from training.statistics.metrics import INTERVAL, Ranking, average_precision, roc_auc

DRAWS, MANY_ROWS, FEWER_DRAWS = 2_000, 10_000, 200
SEEDS = range(5)
TREES = 500  # with 200 the forest was 0.01 of AUC worse; the yardstick is not to be weakened to save time
METRICS = {"AUC": roc_auc, "average precision": average_precision}

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Figure:
    """A metric, and what it is in each draw of the bootstrap."""

    value: float
    draws: Floats

    def __sub__(self, other: "Figure") -> "Figure":
        return Figure(self.value - other.value, self.draws - other.draws)

    @property
    def interval(self) -> tuple[float, float]:
        low, high = np.percentile(self.draws, INTERVAL)
        return float(low), float(high)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:6.3f}  [{low:6.3f}, {high:6.3f}]"


@dataclass(frozen=True)
class Line:
    """One line of the table: figures by metric."""

    words: str
    n: int
    positives: int
    figures: dict[str, Figure]

    def minus(self, other: "Line") -> "Line":
        differences = {name: self.figures[name] - other.figures[name] for name in self.figures}
        return Line(f"  difference to {other.words}", self.n, self.positives, differences)


def measure(
    words: str, label: Labels, scores: Sequence[Floats], customer: NDArray[np.intp] | None = None
) -> Line:
    """`scores` [n] of each seed; `customer` [n] numbers whose they are, by default each its own.

    The draws are the same for the same labels: differences are of pairs.
    """
    drawn = draws(label, np.arange(len(label)) if customer is None else customer)
    rankings = [Ranking.of(label, np.asarray(score, np.float64)) for score in scores]
    once = np.ones(len(label))
    figures = {
        name: Figure(
            float(np.mean([metric(ranking, once) for ranking in rankings])),
            np.array([np.mean([metric(ranking, weight) for ranking in rankings]) for weight in drawn]),
        )
        for name, metric in METRICS.items()
    }
    return Line(words, len(label), int(label.sum()), figures)


def draws(label: Labels, customer: NDArray[np.intp]) -> list[Floats]:
    """Draw customers with replacement; return their counts by row [n]. A draw of one class only is drawn again."""
    rng, n = np.random.default_rng(20261122), int(customer.max()) + 1
    found: list[Floats] = []
    while len(found) < (DRAWS if len(label) < MANY_ROWS else FEWER_DRAWS):
        weight = np.bincount(rng.integers(0, n, n), minlength=n)[customer].astype(np.float64)
        if 0 < weight @ label < weight.sum():
            found.append(weight)
    return found


def table(lines: Sequence[Line]) -> str:
    titles = "".join(f"  {name + ' (95 % interval)':<28}" for name in METRICS)
    rows = [f"{'':<58}{'n':>7}{'positive':>9}{titles}".rstrip()]
    for line in lines:
        figures = "".join(f"  {figure!s:<28}" for figure in line.figures.values())
        rows.append(f"{line.words:<58}{line.n:>7}{line.positives:>9}{figures}".rstrip())
    return "\n".join(rows)


def aggregates(folder: Path) -> pd.DataFrame:
    """Aggregate as an analyst would in an hour: a row by account, from all up to its loan's date; and its label."""
    loans = pd.read_csv(folder / "loan_test_labelled.csv").set_index("account_id")
    moves = pd.read_csv(folder / "trans_test.csv", sep=";", skipinitialspace=True)
    known = moves.merge(loans[["date"]], on="account_id", suffixes=("", "_loan"))
    known = known[known.date <= known.date_loan].sort_values("date", kind="stable")
    by_account = known.groupby("account_id")
    parts = [loans[["label", "amount", "duration", "payments"]]]
    for column in ("balance", "amount"):
        found = by_account[column].agg(["last", "mean", "std", "min", "max", "sum"])
        parts.append(found.add_prefix(f"{column}_"))
    for column in ("type", "operation", "k_symbol"):
        named = known.fillna({column: "none"})
        found = named.pivot_table(
            index="account_id", columns=column, values="amount", aggfunc=["count", "sum"]
        )
        found.columns = ["_".join(names) for names in found.columns]
        parts.append(found.add_prefix(f"{column}_"))
    return pd.concat(parts, axis=1).fillna(0)


def forest(seed: int) -> RandomForestClassifier:
    return RandomForestClassifier(TREES, random_state=seed, n_jobs=-1)


def forest_after(rows: Floats, label: Labels, is_first: NDArray[np.bool_]) -> list[Floats]:
    """Scores of the later loans by forests of the first ones."""
    fitted = (forest(seed).fit(rows[is_first], label[is_first]) for seed in SEEDS)
    return [model.predict_proba(rows[~is_first])[:, 1] for model in fitted]


def plain(rows: Floats, label: Labels, fold: NDArray[np.int64], seed: int) -> tuple[Floats, Floats]:
    """Out-of-fold scores by a forest and by a tree of three questions, on aggregates [n, columns]."""
    scores = np.empty((2, len(label)))
    for each in np.unique(fold):
        out = fold == each
        rule = DecisionTreeClassifier(max_depth=3, min_samples_leaf=0.01, random_state=seed)
        for k, learner in enumerate((forest(seed), rule)):
            scores[k, out] = learner.fit(rows[~out], label[~out]).predict_proba(rows[out])[:, 1]
    return scores[0], scores[1]


def beside(
    words: str,
    label: Labels,
    ours: Sequence[Floats],
    forests: Sequence[Floats],
    rules: Sequence[Floats] = (),
    customer: NDArray[np.intp] | None = None,
) -> list[Line]:
    """Lines of ours, of the plain models and of the differences to them."""
    mine = measure(f"{words}: riskstream", label, ours, customer)
    others = [measure("plain forest", label, forests, customer)]
    if rules:
        others.append(measure("small rule", label, rules, customer))
    lines = [mine, *others, *(mine.minus(each) for each in others)]
    TABLE.extend(lines)
    return lines


TABLE: list[Line] = []  # of all tests, in the order in which they ran: conftest prints it in the end
