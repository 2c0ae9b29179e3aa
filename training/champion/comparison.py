"""Champion and challenger on the same held-out rows: paired figures, curves, and customers who change level.

Each model decides by its own thresholds and policy. Intervals draw the same customers for both models, so what the two
have in common cancels out of the differences. A share's own interval is Wilson's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from export.policy import Level, Transition
from training.arrays import Floats, Indices, Mask
from training.evaluation.curves import bounds, draw, precision_recall, roc
from training.evaluation.customers import HeldOutCustomers
from training.evaluation.figures import Point
from training.evaluation.recommendations import replayed
from training.models.held_out import HeldOut
from training.policy.replay import Decisions
from training.statistics.interval import Interval
from training.statistics.metrics import REPLICATES, Ranking, average_precision, brier, roc_auc
from training.statistics.wilson import rate

CHAMPION, CHALLENGER = "champion", "challenger"
LOWER_IS_BETTER = ("Brier score",)
LEAST = 10  # customers of a share; a bootstrap of fewer is too narrow


class PairedFigure(Struct, frozen=True):
    """One figure of both models."""

    name: str
    champion: Interval
    challenger: Interval
    difference: Interval  # challenger minus champion
    lower_is_better: bool = False
    of: int | None = None  # customers that it is a share of, of the model with fewer; None where all count

    @property
    def finding(self) -> str:
        """Conclusion: better, worse, or the same as far as can be measured."""
        if self.of is not None and self.of < LEAST:
            return "too few to say"
        if not self.difference.low > 0 and not self.difference.high < 0:
            return "no measurable difference"
        return "better" if (self.difference.value > 0) != self.lower_is_better else "worse"


class LevelMove(Struct, frozen=True):
    """Customers with one outcome by the champion and the same or another one by the challenger."""

    champion: str
    challenger: str
    customers: int
    positives: int


class ModelComparison(Struct, frozen=True):
    """Comparison of both models on the rows that both have scores for."""

    about: str  # customers or events: whose label it is
    customers: int
    events: int
    positives: int  # customers
    left_out: int  # customers that judge the challenger, but have no score of the champion's that may be used
    thresholds: dict[str, dict[str, float]]  # by model, by level
    pairs: tuple[PairedFigure, ...]
    roc: dict[str, tuple[Point, ...]]  # by model
    precision_recall: dict[str, tuple[Point, ...]]  # by model
    last_levels: tuple[LevelMove, ...]  # levels after the last event
    highest_levels: tuple[LevelMove, ...]
    recommended: tuple[LevelMove, ...]  # no, yes: at any time
    notes: tuple[str, ...] = ()  # what flatters one of them


@dataclass(frozen=True, eq=False)
class _ModelDecisions:
    """Ranking of one model, of what has the label, and its policy's decisions by customer."""

    ranking: Ranking
    decided: Decisions

    @classmethod
    def of(cls, held_out: HeldOut, customers: HeldOutCustomers) -> "_ModelDecisions":
        score = held_out.score if held_out.by_event else customers.score
        label = held_out.rows.label if held_out.by_event else customers.label
        return cls(Ranking.of(label, score), replayed(held_out))

    @property
    def is_high(self) -> Mask:
        return np.asarray(self.decided.highest_level == Level.HIGH)

    @property
    def is_recommended(self) -> Mask:
        return self.decided.ever(Transition.RECOMMENDED)


def compare_models(
    challenger: HeldOut, champion: HeldOut, left_out: int, seed: int, notes: Sequence[str] = ()
) -> ModelComparison:
    """Compare two models that score the same rows. Raises BadHistory if all customers have one label."""
    customers = HeldOutCustomers.of(challenger)
    sides = {
        CHAMPION: _ModelDecisions.of(champion, HeldOutCustomers.of(champion)),
        CHALLENGER: _ModelDecisions.of(challenger, customers),
    }
    unit = np.arange(len(customers)) if not challenger.by_event else challenger.customer
    weight = np.ones(len(unit))
    before, after = sides[CHAMPION].decided, sides[CHALLENGER].decided
    positive = customers.label == 1
    return ModelComparison(
        about="events" if challenger.by_event else "customers",
        customers=len(customers),
        events=len(challenger.score),
        positives=int(positive.sum()),
        left_out=left_out,
        thresholds={CHAMPION: dict(champion.thresholds), CHALLENGER: dict(challenger.thresholds)},
        pairs=_pairs(sides, customers, unit, seed),
        roc={name: roc(side.ranking, weight) for name, side in sides.items()},
        precision_recall={name: precision_recall(side.ranking, weight) for name, side in sides.items()},
        last_levels=_moves(_LEVELS, before.last_level, after.last_level, positive),
        highest_levels=_moves(_LEVELS, before.highest_level, after.highest_level, positive),
        recommended=_moves(
            ("no", "yes"), sides[CHAMPION].is_recommended, sides[CHALLENGER].is_recommended, positive
        ),
        notes=tuple(notes),
    )


_LEVELS = tuple(level.name for level in Level)


def _moves(
    names: Sequence[str], before: NDArray[np.generic], after: NDArray[np.generic], positive: Mask
) -> tuple[LevelMove, ...]:
    """Count customers for every pair of values, by the champion's first."""
    cells = ((i, j, (before == i) & (after == j)) for i in range(len(names)) for j in range(len(names)))
    return tuple(
        LevelMove(names[i], names[j], int(cell.sum()), int((cell & positive).sum())) for i, j, cell in cells
    )


def _pairs(
    sides: Mapping[str, _ModelDecisions], customers: HeldOutCustomers, unit: Indices, seed: int
) -> tuple[PairedFigure, ...]:
    """Measure all figures of both models; `unit` [n] is the customer of each label."""
    measured = {model: _figures(side, customers.label == 1) for model, side in sides.items()}
    draws = [np.ones(len(customers)), *_draws(customers, seed)]  # the first is everybody
    return tuple(
        _pair({model: figures[k] for model, figures in measured.items()}, draws, unit)
        for k in range(len(measured[CHAMPION]))
    )


@dataclass(frozen=True, eq=False)
class _DrawnFigure:
    """Figure of one model for any draw: how often each customer [customers] and each label [n] is drawn."""

    name: str
    measure: Callable[[Floats, Floats], float]
    of: Mask | None = None  # customers that it is a share of
    those: Mask | None = None  # who are counted among them

    def interval(self, values: Floats) -> Interval:
        """Return Wilson's interval of a share, else the bootstrap's; the first value is that of all customers."""
        if self.of is None or self.those is None:
            return Interval(float(values[0]), *bounds(values[1:].tolist()))
        return rate(int((self.of & self.those).sum()), int(self.of.sum()))


def _pair(figures: Mapping[str, _DrawnFigure], draws: list[Floats], unit: Indices) -> PairedFigure:
    values = {
        model: np.array([each.measure(times, times[unit]) for times in draws])
        for model, each in figures.items()
    }
    difference = values[CHALLENGER] - values[CHAMPION]
    counts = [int(each.of.sum()) for each in figures.values() if each.of is not None]
    name = figures[CHAMPION].name
    return PairedFigure(
        name,
        champion=figures[CHAMPION].interval(values[CHAMPION]),
        challenger=figures[CHALLENGER].interval(values[CHALLENGER]),
        difference=Interval(float(difference[0]), *bounds(difference[1:].tolist())),
        lower_is_better=name in LOWER_IS_BETTER,
        of=min(counts) if counts else None,
    )


def _figures(side: _ModelDecisions, positive: Mask) -> list[_DrawnFigure]:
    def ranked(name: str, metric: Callable[[Ranking, Floats], float]) -> _DrawnFigure:
        return _DrawnFigure(name, lambda _, times: metric(side.ranking, times))

    def share(name: str, of: Mask, those: Mask) -> _DrawnFigure:
        return _DrawnFigure(name, lambda times, _: _share(times, of, those), of, those)

    return [
        ranked("ROC AUC", roc_auc),
        ranked("average precision", average_precision),
        ranked("Brier score", brier),
        share("precision of HIGH at any time", side.is_high, positive),
        share("recall of HIGH at any time", positive, side.is_high),
        share("precision of recommendations", side.is_recommended, positive),
        share("recall of recommendations", positive, side.is_recommended),
    ]


def _share(times: Floats, of: Mask, those: Mask) -> float:
    """Return the share of `those` among `of`; NaN if there are none."""
    total = times @ of
    return float(times @ (of & those) / total) if total else float("nan")


def _draws(customers: HeldOutCustomers, seed: int) -> list[Floats]:
    """Draw customers REPLICATES times and return how often each is drawn; both labels are in every draw."""
    rng, made = np.random.default_rng(seed), list[Floats]()
    while len(made) < REPLICATES:
        times = draw(rng, len(customers))
        if 0 < times @ customers.label < times.sum():
            made.append(times)
    return made
