"""Drift of scores and features, column by column, from training; a column that cannot be judged has a reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from export.bundle import Bundle
from export.distributions.drift import (
    LEAST_ROWS,
    NEVER_SEEN,
    WORTH_A_LOOK,
    Distance,
    DriftVerdict,
    are_many,
    distance,
    verdict,
)
from export.distributions.independence import worth
from export.distributions.reference import ABOVE, BELOW, MISSING, PLACES, Bins
from features.usecase import UseCase, lookbacks
from pipeline.bigquery.queries import Beginning
from pipeline.operations.drift_sample import DriftPeriod, DriftSample

SCORE = "score"
WEEK = timedelta(days=7)


@dataclass(frozen=True)
class ColumnDrift:
    """The score or a feature, then (in training) and now.

    `index` is the score's PSI or the feature's CSI, `ks` the Kolmogorov-Smirnov statistic, `divergence` the
    Kullback-Leibler divergence of now from then in nats: export/distributions/distance.py. `usual` is the index
    without any change: by chance in a sample of this size, or, in less than a week, on single days of training.
    Shares `then` and `now` are of training's bins; those of missing values, and of values below `low` or above `high`,
    which training never saw, are apart.
    """

    name: str
    words: str
    index: float
    ks: float
    divergence: float
    usual: float
    ks_by_chance: float
    verdict: DriftVerdict
    reason: str  # why it is not judged, or why it is judged otherwise than by the index
    missing_then: float
    missing_now: float
    never_seen: float
    below_now: float
    above_now: float
    low: float | None
    high: float | None
    edges: tuple[float, ...]
    then: tuple[float, ...]
    now: tuple[float, ...]


@dataclass(frozen=True)
class DriftComparison:
    """The sample of a period; `score` is None with too few scores of this model."""

    looked_at: int
    verdict: DriftVerdict
    score: ColumnDrift | None
    features: tuple[ColumnDrift, ...]  # those first that have drifted most

    @property
    def drifted(self) -> list[str]:
        """The names of features that have drifted."""
        return [each.name for each in self.features if each.verdict is DriftVerdict.DRIFTED]

    @property
    def moved(self) -> float:
        """The share of the features judged that have drifted or are worth a look."""
        judged = [each.verdict for each in self.features if each.verdict is not DriftVerdict.OPEN]
        return sum(each is not DriftVerdict.STEADY for each in judged) / len(judged) if judged else 0.0


def compare(
    use_case: UseCase, bundle: Bundle, sample: DriftSample, during: DriftPeriod, began: Beginning | None
) -> DriftComparison:
    """Compare a sample of at least LEAST_ROWS events of a period with what the bundle's model has learned from."""
    reasons = unjudged(use_case, bundle, during.since, began)
    in_short = during.until - (max(during.since, began.at) if began else during.since) < WEEK
    customers = np.unique(sample.customers, return_inverse=True)[1]
    reference = bundle.reference
    features = [
        _column(feature.name, feature.meaning, reference.features[feature.name], sample.features[:, k], customers,
                reasons.get(feature.name, ""), in_short)
        for k, feature in enumerate(use_case.table)
    ]  # fmt: skip
    by_model = sample.by_model
    score = None if by_model.sum() < LEAST_ROWS else _column(
        SCORE, "the model's probability", reference.score, sample.score[by_model], customers[by_model],
        reasons.get(SCORE, ""), in_short, reference.score_models,
    )  # fmt: skip
    ranked = tuple(sorted(features, key=lambda each: (each.verdict is DriftVerdict.OPEN, -each.index)))
    return DriftComparison(len(sample), overall(score, ranked), score, ranked)


def unjudged(
    use_case: UseCase, bundle: Bundle, since: datetime, began: Beginning | None
) -> Mapping[str, str]:
    """Return, by name of a feature or `score`, why a difference would say nothing about drift."""
    reasons: dict[str, str] = {}
    span = timedelta(microseconds=bundle.reference.span_us)
    is_young = began is not None and began.cold and since < began.at + span
    for feature, back in zip(use_case.table, lookbacks(use_case), strict=True):
        window = timedelta(microseconds=back.window_us)
        if back.grows:
            reasons[feature.name] = "it grows with the age of the customer's record"
        elif not bundle.reference.features[feature.name].filled:
            reasons[feature.name] = "training was too short to fill its window"
        elif began and began.cold and since < began.at + window:
            full = f"{began.at + window:%Y-%m-%d %H:%M}"
            reasons[feature.name] = f"the store began empty, so its window is filled from {full} UTC on"
        elif back.ever and is_young:
            reasons[feature.name] = "records are younger than training's"
    filling = [name for name, reason in reasons.items() if "window" in reason]
    if filling:
        what = (
            "a feature whose window is" if len(filling) == 1 else f"{len(filling)} features whose windows are"
        )
        reasons[SCORE] = f"it depends on {what} not filled"
    elif is_young and any(back.ever for back in lookbacks(use_case)):
        reasons[SCORE] = "it depends on the age of records, which are younger than training's"
    return reasons


def overall(score: ColumnDrift | None, features: tuple[ColumnDrift, ...]) -> DriftVerdict:
    """Return the overall verdict.

    It is drifted if the score is, or if many features are worth a look; worth a look if any column is.
    """
    judged = [each for each in features if each.verdict is not DriftVerdict.OPEN]
    moved = sum(each.verdict is not DriftVerdict.STEADY for each in judged)
    if are_many(moved, len(judged)) or (score and score.verdict is DriftVerdict.DRIFTED):
        return DriftVerdict.DRIFTED
    return (
        DriftVerdict.LOOK if moved or (score and score.verdict is DriftVerdict.LOOK) else DriftVerdict.STEADY
    )


def _column(
    name: str,
    words: str,
    bins: Bins,
    place: NDArray[np.uint8],
    customers: NDArray[np.intp],
    reason: str,
    in_short: bool,
    models: float = 0.0,
) -> ColumnDrift:
    counts = np.bincount(place, minlength=PLACES)
    apart = distance(bins, counts, worth(place, customers, PLACES), models)
    usual = max(apart.index_by_chance, (bins.usual_day or 0.0) if in_short else 0.0)
    shares = (counts / counts.sum()).tolist()
    return ColumnDrift(
        name=name,
        words=words,
        index=apart.index,
        ks=apart.ks,
        divergence=apart.divergence,
        usual=usual,
        ks_by_chance=apart.ks_by_chance,
        verdict=DriftVerdict.OPEN if reason else verdict(apart.index, usual, apart.never_seen),
        reason=reason or _reason(apart, usual),
        missing_then=bins.missing,
        missing_now=shares[MISSING],
        never_seen=apart.never_seen,
        below_now=shares[BELOW],
        above_now=shares[ABOVE],
        low=bins.low,
        high=bins.high,
        edges=bins.edges,
        then=bins.shares,
        now=tuple(shares[1 : len(bins.shares) + 1]),
    )


def _reason(apart: Distance, usual: float) -> str:
    """Return reasons to change the verdict that the index alone would give."""
    by_chance = f"up to {usual:.2f} comes without any change" if WORTH_A_LOOK < apart.index <= usual else ""
    is_new = apart.never_seen >= NEVER_SEEN
    unseen = f"{apart.never_seen:.1%} of the values were never seen in training" if is_new else ""
    return "; ".join(filter(None, (by_chance, unseen)))
