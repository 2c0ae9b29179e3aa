"""The `model` section of a use case: which learners are tried, by which metric, how often, and where they start.

    model: {candidates: [xgboost, random_forest], metric: {recall_at_fpr: 0.01}, trials: 20, folds: 3, trees: 200}

Declared hyper-parameters hold for every candidate that has them. Tuning starts from them: they are the first trial, so
the result is no worse by the metric.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from export.policy import positive, whole
from features.usecase import Node, section
from training.models.candidates import CANDIDATES
from training.models.keys import MODEL
from training.models.objectives import AVERAGE_PRECISION, Objective


@dataclass(frozen=True)
class Parameters:
    """Settings of model selection; hyper-parameters that are None are the candidate's defaults."""

    candidates: tuple[str, ...] = ("logistic_regression", "random_forest", "xgboost")
    metric: Objective = AVERAGE_PRECISION
    trials: int = 0  # of each candidate; 0: no tuning, several candidates are compared as declared
    repeats: int = 2  # of the comparison of several candidates, each with the customers dealt to folds anew
    tuning_rows: int = (
        50_000  # learned from while tuning and comparing: customers are drawn until they have as many
    )
    folds: int = 5
    rows_per_customer: int = 50  # learned from; of a busier one they are drawn: more tell little that is new
    balanced: bool = False  # weigh both classes alike while learning; calibration undoes it
    trees: int | None = None
    leaves: int | None = None
    rows_per_leaf: int | None = None
    child_weight: float | None = None  # least sum of p (1 - p) in a leaf
    learning_rate: float | None = None
    l2: float | None = None
    columns: float | None = None  # share of the features looked at for a tree or a split

    @classmethod
    def of(cls, model: Mapping[str, Any], file: str = "use case") -> "Parameters":
        """Read the section. Raises BadUseCase."""
        return section(file, "model", model).whole(cls._read)

    @classmethod
    def _read(cls, node: Node) -> "Parameters":
        parts = node.section(MODEL)
        parameters = cls(
            **{name: node.attempt(READ[name], part) for name, part in parts.items() if name not in OTHERS}
        )
        for name in (name for name in parts if name in HYPER):
            node.attempt(_check_owner, parts[name], name, parameters.candidates)
        return parameters

    def start(self, candidate: str) -> dict[str, Any]:
        """Return the candidate's hyper-parameters as declared, else its defaults."""
        defaults = CANDIDATES[candidate].defaults
        declared = {name: getattr(self, name) for name in defaults if getattr(self, name) is not None}
        return {**defaults, **declared, "balanced": self.balanced}


OTHERS = ("split", "gates")  # read by training.data.splits and training.champion.gates
HYPER = ("trees", "leaves", "rows_per_leaf", "child_weight", "learning_rate", "l2", "columns")


def _check_owner(node: Node, name: str, candidates: tuple[str, ...]) -> None:
    """Refuse a hyper-parameter that no candidate has."""
    if any(name in CANDIDATES[each].defaults for each in candidates):
        return
    owners = [each for each, candidate in CANDIDATES.items() if name in candidate.defaults]
    node.blame(
        f"{' and '.join(candidates)} has no {name}; leave it out, or add one of {', '.join(owners)} to candidates"
    )


def _candidates(node: Node) -> tuple[str, ...]:
    items = node.items()
    if not items:
        node.fail(f"a list of at least one of {', '.join(CANDIDATES)}")
    names = node.each(lambda item: item.choice(CANDIDATES))
    for item in items:
        if names.count(item.value) > 1:
            item.blame(f"{item.value} is there twice")
    return names


def _whole(least: int) -> Callable[[Node], int]:
    return lambda node: whole(node, least)


def _not_negative(node: Node) -> float:
    if node.number() < 0:
        node.fail("a number of at least 0")
    return node.number()


def _share(node: Node) -> float:
    if not 0 < node.number() <= 1:
        node.fail("above 0 and at most 1")
    return node.number()


READ: Mapping[str, Callable[[Node], Any]] = {
    "candidates": _candidates,
    "metric": Objective.of,
    "trials": _whole(0),
    "repeats": _whole(1),
    "tuning_rows": _whole(1_000),  # fewer say nothing about hyper-parameters
    "folds": _whole(2),
    "rows_per_customer": _whole(1),
    "balanced": Node.flag,
    "trees": _whole(1),
    "leaves": _whole(2),
    "rows_per_leaf": _whole(1),
    "child_weight": _not_negative,
    "learning_rate": positive,
    "l2": _not_negative,
    "columns": _share,
}
