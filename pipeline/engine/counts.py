"""What there is to count of a batch that was assessed, for the job and the REST service alike. Names are in `metrics`.

Nothing here looks at events one by one.
"""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from export import policy
from export.policy import Transition
from features.kernel import Disposition
from pipeline.engine.assessments import Assessments
from pipeline.runtime import metrics
from pipeline.runtime.metrics import BANDS, key
from pipeline.runtime.process_metrics import progress

BAND_KEYS = [key(metrics.SCORES, value) for value in metrics.SCORES.values]
ENDS = np.array(BANDS[:-1], np.float32)


def of_new(said: Assessments) -> Counter[str]:
    """Of the events that were counted just now. What a duplicate once changed is not counted again."""
    is_new = said.disposition == Disposition.APPLIED
    new, score = said.outcome[is_new], said.score[is_new]
    transition = policy.transition(new)
    return Counter(
        {
            key(metrics.CONFLICTS): said.conflicts,
            key(metrics.LEVEL_CHANGES): int(np.count_nonzero(policy.is_new_level(new))),
            key(metrics.RECOMMENDATIONS): int(np.count_nonzero(transition == Transition.RECOMMENDED)),
            key(metrics.HELD): int(np.count_nonzero(transition == Transition.HELD)),
            key(metrics.MODEL, said.model_version): len(said.batch),
            **in_bands(score[~np.isnan(score)]),
        }
    )


def of_looks() -> Counter[str]:
    """What looking at pointers and at the store has added since it was last counted."""
    totals = {
        key(metrics.MODELS_REFUSED): progress.models_refused,
        key(metrics.STORE_DAMAGES): progress.store_damages,
        key(metrics.LOOKS_FAILED): progress.looks_failed,
    }
    return Counter({name: total - progress.counts[name] for name, total in totals.items()})


def in_bands(score: NDArray[np.float32]) -> dict[str, int]:
    """How many scores, float32 [n], lie in each band."""
    found = np.bincount(np.searchsorted(ENDS, score), minlength=len(BANDS))
    return dict(zip(BAND_KEYS, found.tolist(), strict=True))
