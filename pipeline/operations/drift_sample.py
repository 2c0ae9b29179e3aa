"""Samples of the assessments in the log, binned as training was; drift is measured on them.

BigQuery returns the vectors of at most some MOST_VECTORS events, each once, chosen by a hash of their ids; page by
page they become places (export/distributions/reference.py), one byte a feature.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from export.bundle import Bundle
from export.distributions.drift import BinnedColumns
from export.distributions.reference import Places
from pipeline.bigquery.queries import DURING, SCORED, AssessmentQueries
from pipeline.bigquery.schemas import ASSESSMENTS, TIME, unique_rows

MOST_VECTORS = 100_000  # by chance alone an index is then about 0.0001; about a minute of BigQuery's answers
PIECE = 10_000  # vectors binned at once: some 10 MB
CHOSEN = (
    f"{SCORED} AND {DURING} AND ARRAY_LENGTH(features) > 0 AND MOD(FARM_FINGERPRINT(event_id), @one_in) = 0"
)


class DriftPeriod(NamedTuple):
    """A period of event times: since <= time < until."""

    since: datetime
    until: datetime


@dataclass(frozen=True, eq=False)
class DriftSample:
    """n events: the bins of their features and scores, their customers and times."""

    features: Places  # [n, F]
    score: Places  # [n]
    customers: NDArray[Any]  # [n] ids
    times_us: NDArray[np.int64]  # [n]
    by_model: NDArray[np.bool_]  # [n] scored by the model whose training this is compared with

    def __len__(self) -> int:
        return len(self.times_us)

    def __getitem__(self, rows: NDArray[Any]) -> "DriftSample":
        return DriftSample(*(each[rows] for each in vars(self).values()))

    def during(self, period: DriftPeriod) -> "DriftSample":
        """Return the events of a period."""
        since_us, until_us = (round(each.timestamp() * 1e6) for each in period)
        return self[(self.times_us >= since_us) & (self.times_us < until_us)]


def draw(log: AssessmentQueries, bundle: Bundle, during: DriftPeriod, events: int) -> DriftSample:
    """Draw a sample of a period that has so many events. Raises GoogleAPIError."""
    names = bundle.manifest.features
    features = BinnedColumns([bundle.reference.features[name] for name in names])
    score = BinnedColumns([bundle.reference.score])
    sql = unique_rows("{table}", ASSESSMENTS, "features, score, model, customer, event_time", CHOSEN)
    one_in = max(1, -(-events // MOST_VECTORS))
    parts = [_none(len(names))]
    for page in log.ask(sql, one_in=one_in, **during._asdict()).to_arrow_iterable():
        for start in range(0, page.num_rows, PIECE):
            part = page.slice(start, PIECE)
            vectors = part["features"].flatten().to_numpy().reshape(-1, len(names))
            parts.append(
                DriftSample(
                    features.places(vectors),
                    score.places(part["score"].to_numpy()[:, None])[:, 0],
                    part["customer"].to_numpy(zero_copy_only=False),
                    part["event_time"].cast(TIME).cast(pa.int64()).to_numpy(),
                    pc.equal(part["model"], bundle.manifest.id).to_numpy(zero_copy_only=False),
                )
            )
    return DriftSample(
        *(np.concatenate(column) for column in zip(*(vars(p).values() for p in parts), strict=True))
    )


def _none(features: int) -> DriftSample:
    nothing = np.zeros(0, np.int64)
    return DriftSample(
        np.zeros((0, features), np.uint8),
        nothing.astype(np.uint8),
        nothing.astype(object),
        nothing,
        nothing > 0,
    )
