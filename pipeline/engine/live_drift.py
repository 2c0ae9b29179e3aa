"""Live drift: scores and features of the latest day compared with training, from a sample of each batch.

The hours of a day differ, so nothing is compared before a process has seen a whole day of event time, and then always
the latest 24 hours. A sampled event is weighted by the number of events it stands for: quiet hours are sampled more
densely. Counts live as long as the process.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from export.bundle import Bundle
from export.distributions.distance import Floats, empty_by_chance, index_by_chance
from export.distributions.drift import DRIFTED, LEAST_ROWS, WORTH_A_LOOK, BinnedColumns, are_many
from export.distributions.reference import PLACES, Bins, expected
from features.usecase import Lookback, UseCase, lookbacks
from pipeline.engine.assessments import Assessments
from pipeline.runtime.metrics import DRIFT, DRIFT_CHECKS, FEATURE_CSI, SCORE_PSI, key
from pipeline.runtime.process_metrics import progress

SAMPLE = 128  # events of a batch that are looked at; takes about 0.1 ms
CHECK_S = 30.0
HOURS = 24  # a day: features that follow the hour would seem to drift all the time in less
HOUR_US = 3_600_000_000


class LiveDrift:
    """The drift of one model; `add` takes every assessed batch."""

    def __init__(self, bundle: Bundle, use_case: UseCase, cold_us: int | None = None) -> None:
        """`cold_us` is the time at which the store began empty: windows fill from then on. None: it was filled."""
        self.model, self.names = bundle.manifest.id, bundle.manifest.features
        bins = [*(bundle.reference.features[name] for name in self.names), bundle.reference.score]
        self._fills = _Fills(bins[:-1], lookbacks(use_case), bundle.reference.span_us, cold_us)
        self._columns, self._noise = BinnedColumns(bins), _Noise(bins, bundle.reference.score_models)
        self._day = _Day(self._columns.then.shape)
        self._checked_s = float("-inf")

    def add(self, assessments: Assessments, now_s: float) -> Counter[str]:
        """Add a batch and return the counts of a check, if one is due. `now_s` never goes back."""
        rows = np.flatnonzero(assessments.is_new & ~np.isnan(assessments.score))
        if len(rows) == 0 or assessments.model_version != self.model:
            return Counter()
        weight = max(1.0, len(rows) / SAMPLE)
        if len(rows) > SAMPLE:
            rows = rows[np.arange(SAMPLE) * len(rows) // SAMPLE]
        hours = assessments.batch.time_us[rows] // HOUR_US
        for hour in np.unique(hours).tolist():
            some = rows[hours == hour]
            counts = self._columns.counts(
                np.column_stack((assessments.vectors[some], assessments.score[some]))
            )
            self._day.add(hour, counts, len(some), weight)
        is_due = now_s - self._checked_s >= CHECK_S and self._day.is_whole and self._day.rows >= LEAST_ROWS
        return self._check(now_s) if is_due else Counter()

    def _check(self, now_s: float) -> Counter[str]:
        self._checked_s = now_s
        counts, rows = self._day.counts, self._day.rows
        index = self._columns.index(counts)
        bins = ((self._columns.then > 0) | (counts > 0)).sum(axis=1)
        usual = self._noise.usual(bins, rows, counts)
        *features, score = index.tolist()
        progress.gauges[key(SCORE_PSI)] = score
        progress.gauges.update(
            {key(FEATURE_CSI, name): each for name, each in zip(self.names, features, strict=True)}
        )
        judged, is_score_judged = self._fills.judged(self._day.since_us, self._day.first_us)
        moved = (index > np.maximum(WORTH_A_LOOK, usual))[:-1] & judged
        many = are_many(int(moved.sum()), int(judged.sum()))
        return Counter(
            {
                key(DRIFT_CHECKS): 1,
                key(DRIFT, "score"): int(is_score_judged and score > max(DRIFTED, usual[-1])),
                key(DRIFT, "features"): int(many),
            }
        )


class _Fills:
    """The columns that can be compared: not those that grow, nor those with windows that are not filled."""

    def __init__(
        self, features: Sequence[Bins], backs: Sequence[Lookback], span_us: int, cold_us: int | None
    ) -> None:
        self._cold_us, self._span_us = cold_us, span_us
        self._windows_us = np.array([back.window_us for back in backs])
        self._ever = np.array([back.ever for back in backs])
        self._comparable = np.array(
            [each.filled and not back.grows for each, back in zip(features, backs, strict=True)]
        )

    def judged(self, since_us: int, first_us: int) -> tuple[NDArray[np.bool_], bool]:
        """[features], and the score, of a day that begins at `since_us`; the process has seen events since `first_us`.

        A stream of old events began before the store did, by their time.
        """
        if self._cold_us is None:
            return self._comparable, True
        began_us = min(self._cold_us, first_us)
        is_filled = since_us >= began_us + self._windows_us
        is_old = since_us >= began_us + self._span_us
        score = bool(is_filled.all()) and (is_old or not self._ever.any())
        return self._comparable & is_filled & (is_old | ~self._ever), score


class _Noise:
    """The distance of the columns from training on a day without any change."""

    def __init__(self, columns: list[Bins], models: float) -> None:
        trained = np.array([each.effective or np.inf for each in columns])
        # how far rows of a customer resemble each other is known of training only
        self._alike = np.array([each.effective / each.rows if each.effective else 1.0 for each in columns])
        self._training = 1 / trained
        self._training[-1] += models
        self._freedom = np.array([each.freedom or PLACES for each in columns])
        self._then = np.array([expected(each) for each in columns])
        self._day = np.array([each.usual_day or 0.0 for each in columns])

    def usual(self, bins: NDArray[np.integer], rows: float, counts: Floats) -> Floats:
        """Return [columns] the larger of the distance by chance and the distance of a usual day of training."""
        worth = rows * self._alike
        by_chance = index_by_chance(bins, self._training + 1 / worth, self._freedom)
        by_chance = by_chance + empty_by_chance(self._then, counts, worth)
        usual: Floats = np.maximum(by_chance, self._day)
        return usual


class _Day:
    """Weighted counts [columns, places] of the latest 24 hours of event time."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._counts = np.zeros((HOURS, *shape))
        self._hours = np.full(HOURS, -1)
        self._weights, self._squares = np.zeros(HOURS), np.zeros(HOURS)
        self._first = -1

    def add(self, hour: int, counts: NDArray[np.int64], rows: int, weight: float) -> None:
        """Events of an hour, numbered from 1970; those of more than a day ago are left out."""
        if hour <= self._hours.max() - HOURS:
            return
        place = hour % HOURS
        if self._hours[place] != hour:
            self._counts[place], self._weights[place], self._squares[place] = 0, 0, 0
            self._hours[place] = hour
        self._first = hour if self._first < 0 else min(self._first, hour)
        self._counts[place] += weight * counts
        self._weights[place] += weight * rows
        self._squares[place] += weight**2 * rows

    @property
    def first_us(self) -> int:
        """The first hour ever."""
        return self._first * HOUR_US

    @property
    def since_us(self) -> int:
        """The beginning of the latest 24 hours."""
        return (int(self._hours.max()) - HOURS + 1) * HOUR_US

    @property
    def is_whole(self) -> bool:
        return self._first >= 0 and int(self._hours.max()) - self._first >= HOURS

    @property
    def _latest(self) -> NDArray[np.bool_]:
        latest: NDArray[np.bool_] = self._hours > self._hours.max() - HOURS
        return latest

    @property
    def counts(self) -> Floats:
        counts: Floats = self._counts[self._latest].sum(axis=0)
        return counts

    @property
    def rows(self) -> float:
        """The number of events of equal weight that would scatter as much (Kish's effective sample size)."""
        squares = self._squares[self._latest].sum()
        return float(self._weights[self._latest].sum() ** 2 / squares) if squares else 0.0
