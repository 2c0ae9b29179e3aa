"""Counts of an assessed batch, for the job and the REST service alike. Their names are in `metrics`.

All work is done on whole arrays, never event by event.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from export import policy
from export.policy import Transition
from pipeline.engine.assessments import Assessments
from pipeline.runtime import metrics
from pipeline.runtime.metrics import BANDS, key
from pipeline.runtime.process_metrics import progress

BAND_KEYS = [key(metrics.SCORES, value) for value in metrics.SCORES.values]
ENDS = np.array(BANDS[:-1], np.float32)


def new_event_counts(assessments: Assessments) -> Counter[str]:
    """Return the counts of the events that were applied just now. Changes by duplicates are not counted again."""
    is_new = assessments.is_new
    new, score = assessments.outcome[is_new], assessments.score[is_new]
    transition = policy.transition(new)
    return Counter(
        {
            key(metrics.CONFLICTS): assessments.conflicts,
            key(metrics.LEVEL_CHANGES): int(np.count_nonzero(policy.is_new_level(new))),
            key(metrics.RECOMMENDATIONS): int(np.count_nonzero(transition == Transition.RECOMMENDED)),
            key(metrics.HELD): int(np.count_nonzero(transition == Transition.HELD)),
            key(metrics.MODEL, assessments.model_version): len(assessments.batch),
            **band_counts(score[~np.isnan(score)]),
        }
    )


def background_counts() -> Counter[str]:
    """Return what the watches of pointers and store have added since it was last counted."""
    totals = {
        key(metrics.MODELS_REFUSED): progress.models_refused,
        key(metrics.STORE_DAMAGES): progress.store_damages,
        key(metrics.LOOKS_FAILED): progress.looks_failed,
    }
    return _added(totals)


def owner_counts() -> Counter[str]:
    """Return what requests to the owners of records have added since it was last counted."""
    return _added(
        {
            key(metrics.OWNERS_ASKED): progress.owners_asked,
            key(metrics.OWNERS_UNANSWERED): progress.owners_unanswered,
        }
    )


def _added(totals: Mapping[str, int]) -> Counter[str]:
    return Counter({name: total - progress.counts[name] for name, total in totals.items()})


def band_counts(score: NDArray[np.float32]) -> dict[str, int]:
    """Return the number of scores, float32 [n], in each band."""
    numbers = np.bincount(np.searchsorted(ENDS, score), minlength=len(BANDS))
    return dict(zip(BAND_KEYS, numbers.tolist(), strict=True))
