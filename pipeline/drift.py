"""How scores and features of late are distributed beside training's, from a sample of each batch.

Shares are weighed by age: half as much for each HALF_LIFE_S. They live as long as the process, so a new worker
begins anew and says nothing before LEAST_ROWS.
"""

from collections import Counter

import numpy as np

from export.bundle import Bundle
from export.drift import DRIFTED, LEAST_ROWS, Columns, are_many
from features.kernel import Disposition
from pipeline.assess import Assessments
from pipeline.metrics import DRIFT, DRIFT_CHECKS, FEATURE_PSI, SCORE_PSI, key
from pipeline.progress import progress

SAMPLE = 128  # events of a batch that are looked at; takes about 0.1 ms
CHECK_S = 30.0
HALF_LIFE_S = 86_400.0  # a day: features that follow the hour would seem to drift all the time in less


class Drift:
    """One model's; `seen` is called with every batch that is done."""

    def __init__(self, bundle: Bundle) -> None:
        self.model, self.names = bundle.manifest.id, bundle.manifest.features
        columns = [*(bundle.reference.features[name] for name in self.names), bundle.reference.score]
        self._columns = Columns(columns)
        self._weights = np.zeros(self._columns.then.shape)
        self._checked_s = float("-inf")
        self._aged_s: float | None = None

    def seen(self, said: Assessments, now_s: float) -> Counter[str]:
        """What there is to count. `now_s` never goes back."""
        rows = np.flatnonzero((said.disposition == Disposition.APPLIED) & ~np.isnan(said.score))
        if len(rows) == 0 or said.model_version != self.model:
            return Counter()
        if len(rows) > SAMPLE:
            rows = rows[np.arange(SAMPLE) * len(rows) // SAMPLE]
        self._weights += self._columns.counts(np.column_stack((said.vectors[rows], said.score[rows])))
        is_due = now_s - self._checked_s >= CHECK_S and self._weights[-1].sum() >= LEAST_ROWS
        return self._check(now_s) if is_due else Counter()

    def _check(self, now_s: float) -> Counter[str]:
        found = self._columns.psi(self._weights)
        self._weights *= 0.5 ** ((now_s - (self._aged_s or now_s)) / HALF_LIFE_S)
        self._checked_s = self._aged_s = now_s
        *of_features, of_score = found.tolist()
        progress.gauges[key(SCORE_PSI)] = of_score
        progress.gauges.update(
            {key(FEATURE_PSI, name): each for name, each in zip(self.names, of_features, strict=True)}
        )
        drifted = sum(each > DRIFTED for each in of_features)
        return Counter(
            {
                key(DRIFT_CHECKS): 1,
                key(DRIFT, "score"): int(of_score > DRIFTED),
                key(DRIFT, "features"): int(are_many(drifted, len(of_features))),
            }
        )
