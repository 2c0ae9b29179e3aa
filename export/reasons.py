"""Reasons of a score: the score that one feature's usual value would have given.

Usual is the median of the training data, in which each customer counts once (in older bundles each event): of its
events for an event, of its event with the highest score for a customer's highest score. One feature at a time, so
features that say the same hide each other; an effect is how this model answers, not what caused what.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from export.distributions.reference import Bins, Reference
from export.onnx import Scorer
from features.usecase import Feature

MOST = 5  # reasons told of a score
LEAST_EFFECT = 0.001  # of a probability; less is told to nobody
ROWS_AT_ONCE = 50_000  # vectors: some ten megabytes
DURATIONS = ((86_400, "days"), (3_600, "hours"), (60, "minutes"))


class Reason(NamedTuple):
    """`effect` is the part of the score that goes when the feature is at the `median`. NaN: unknown."""

    feature: str
    words: str  # of features.usecase.descriptions
    value: float
    median: float
    effect: float
    choice: str = ""
    unit: str = ""

    @property
    def fact(self) -> str:
        """State the fact alone, without the usual value."""
        return f"{self.words} is {self._shown(self.value)}"

    def __str__(self) -> str:
        return f"{self.fact}; {self._usual()} (+{self.effect:.3f} of the score)"

    def _usual(self) -> str:
        """State the usual value: the lower median of the training data."""
        if self.median != self.median:
            return "usually it is unknown"
        if self.choice:
            return f"usually it is{'' if self.median else ' not'}"
        if not self.median and self.value > 0:
            return "usually it is not above 0"  # "0 or less" would be odd of a count
        or_what = "or more" if self.value < self.median else "or less"
        return f"usually it is {self._shown(self.median)} {or_what}"

    def _shown(self, value: float) -> str:
        if value != value:
            return "unknown"
        if self.choice:
            return self.choice if value else f"not {self.choice}"
        if self.unit == "seconds":
            return duration(value)
        return f"{number(value)} {self.unit}".rstrip()


def number(value: float) -> str:
    """For a person to read."""
    if value != value:
        return "unknown"
    if abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 or not value else f"{value:.6f}"


def duration(seconds: float) -> str:
    """In the largest unit of which there are two."""
    for length, unit in DURATIONS:
        if abs(seconds) >= 2 * length:
            return f"{number(round(seconds / length, 1))} {unit}"
    return f"{number(seconds)} seconds"


def median(bins: Bins) -> float:
    """The least known value with half of the column up to it; NaN where most values were missing.

    Bundles from before it was kept have it as an edge, unless the upper half of the column is one value: then NaN.
    """
    if bins.missing > 0.5:
        return float("nan")
    if bins.median is not None:
        return bins.median
    below = np.cumsum(bins.shares)[:-1]
    half = np.flatnonzero(below >= 0.5 * (1 - bins.missing) - 1e-9)
    return bins.edges[half[0]] if len(half) else float("nan")


def medians(reference: Reference, names: Sequence[str]) -> NDArray[np.float32]:
    """float32 [F] what is usual of the events of the training data's customers; NaN where mostly nothing is known.

    In a bundle that does not keep it, medians over events. Who else is scored makes no difference.
    """
    return np.array([_usual(reference, name) for name in names], np.float32)


def _usual(reference: Reference, name: str) -> float:
    usual = reference.usual.get(name)
    if usual is None:
        return median(reference.features[name])
    return float("nan") if usual.median is None or usual.missing > 0.5 else usual.median


def medians_at_highest(reference: Reference, table: Sequence[Feature]) -> NDArray[np.float32]:
    """float32 [F] the same over customers, at the highest score of each: for values at a customer's highest score."""
    return np.array([_usual_at_highest(reference, feature) for feature in table], np.float32)


def _usual_at_highest(reference: Reference, feature: Feature) -> float:
    usual = reference.usual.get(feature.name)
    if usual is None:
        return median(reference.features[feature.name])
    if usual.at_highest is None or usual.missing_at_highest > 0.5:
        return float("nan")
    return float(usual.at_highest > 0.5) if feature.choice else usual.at_highest


def reasons(
    scorer: Scorer,
    vectors: NDArray[np.float32],
    score: NDArray[np.float32],
    typical: NDArray[np.float32],
    table: Sequence[Feature],
    silent: Collection[str] = (),
) -> Iterator[list[Reason]]:
    """For each of c vectors [c, F] with its score [c]: what raises it, the largest effect first.

    Features that say nothing where the vectors are from are no reasons.
    """
    speaks = np.array([feature.name not in silent for feature in table])
    step = max(1, ROWS_AT_ONCE // len(table))
    for start in range(0, len(vectors), step):
        some = vectors[start : start + step]
        effects = score[start : start + step, None] - without_each(scorer, some, typical)
        effects = np.where(speaks, effects, np.float32(0))
        for vector, effect in zip(some, effects, strict=True):
            best = np.argsort(-effect, kind="stable")[:MOST]
            yield [
                reason(table[k], float(vector[k]), float(typical[k]), float(effect[k]))
                for k in best.tolist()
                if effect[k] >= LEAST_EFFECT
            ]


def reason(feature: Feature, value: float, median: float, effect: float) -> Reason:
    return Reason(feature.name, feature.words, value, median, effect, feature.choice, feature.unit)


def without_each(
    scorer: Scorer, vectors: NDArray[np.float32], typical: NDArray[np.float32]
) -> NDArray[np.float32]:
    """[c, F] the score of each vector with feature k at its typical value."""
    c, width = vectors.shape
    changed = np.repeat(vectors, width, axis=0)
    rows = np.arange(c * width)
    changed[rows, rows % width] = np.tile(typical, c)
    return scorer.score(changed).reshape(c, width)
