"""Whether scores stay what they were: each week's, against the deciles of the first half of the rows.

PSI below 0.1 is usually called stable, above 0.25 shifted; a week of few rows is far off by chance alone.
"""

from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from export.drift import psi
from export.reference import Bins, freeze
from training.evaluation.customers import Customers
from training.evaluation.earliness import DAY_US, quantiles
from training.evaluation.figures import Week
from training.metrics import Ranking, average_precision, roc_auc
from training.train import Judged

WEEK_US = 7 * DAY_US
MONDAY_US = 4 * DAY_US  # 1970-01-05, the first Monday of the epoch
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def weeks(judged: Judged, customers: Customers) -> tuple[Week, ...]:
    """Weeks with events, in order; figures of events are weighted as in all of the evaluation."""
    times_us = judged.rows.times_us
    start_us = (times_us - MONDAY_US) // WEEK_US * WEEK_US + MONDAY_US
    then = freeze(judged.score[times_us <= np.quantile(times_us, 0.5, method="lower")])
    return tuple(
        _week(judged, customers, then, int(each), start_us == each) for each in np.unique(start_us).tolist()
    )


def _week(judged: Judged, customers: Customers, then: Bins, start_us: int, rows: NDArray[np.bool_]) -> Week:
    label, score, weight = judged.rows.label[rows], judged.score[rows], customers.weight[rows]
    ranking = Ranking.of(label, score) if 0 < label.sum() < len(label) else None
    return Week(
        start=f"{EPOCH + timedelta(microseconds=start_us):%Y-%m-%d}",
        n=len(label),
        positives=int(label.sum()),
        quantiles=quantiles(score),
        psi=psi(then, score),
        roc_auc=None if ranking is None else roc_auc(ranking, weight),
        average_precision=None if ranking is None else average_precision(ranking, weight),
    )
