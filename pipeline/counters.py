"""What the job counts, batch by batch: as Beam's metrics, and in the process's own tally beside them.

Names and meanings are in `metrics`. Nothing here looks at events one by one.
"""

from collections import Counter
from functools import cache
from typing import Any

import numpy as np
from apache_beam.metrics import Metrics

from export import policy
from export.levels import Change
from features.kernel import Disposition
from pipeline import metrics
from pipeline.assess import Assessments
from pipeline.metrics import BANDS, NAMESPACE, STEM, Kind, Metric, key
from pipeline.progress import LastBatch, Tally, progress
from pipeline.rows import Reject
from pipeline.sinks import Outgoing

IN_TIME_US = metrics.IN_TIME_S * 1_000_000
BAND_KEYS = [key(metrics.SCORES, value) for value in metrics.SCORES.values]
# Told from the first batch on: a series that begins with its first increase seems not to increase.
FROM_ZERO = [
    key(metric, value)
    for metric in metrics.METRICS
    if metric.kind is Kind.COUNTER
    for value in (metric.values if metric.label else ("",))
]
ENDS = np.array(BANDS[:-1], np.float32)


def counts(
    rejects: list[Reject], said: Assessments | None, outgoing: Outgoing, drifted: Counter[str], now_us: int
) -> Counter[str]:
    """What became of a batch; `rejects` gave no event. Changes are counted when they happen, not again."""
    found = Counter(dict.fromkeys(FROM_ZERO, 0))
    found.update({key(metrics.EVENTS): len(rejects), key(metrics.ALERTS): len(outgoing.alerts)})
    found.update({key(metrics.REJECTS, reason): number for reason, number in outgoing.reasons.items()})
    found[key(metrics.LATE)] = sum(now_us - each.message.publish_us > IN_TIME_US for each in rejects)
    if said:
        found.update(_of_events(said, now_us))
    found.update(drifted)
    found[key(metrics.MODELS_REFUSED)] = (
        progress.models_refused - progress.counts[key(metrics.MODELS_REFUSED)]
    )
    return found


def _of_events(said: Assessments, now_us: int) -> Counter[str]:
    is_new, n = said.disposition == Disposition.APPLIED, len(said.batch)
    is_duplicate = said.disposition == Disposition.DUPLICATE
    is_late = now_us - said.batch.published_us > IN_TIME_US
    new, score = said.outcome[is_new], said.score[is_new]
    change = policy.change(new)
    return Counter(
        {
            key(metrics.EVENTS): n,
            key(metrics.LATE): int(np.count_nonzero(is_late & ~is_duplicate)),
            key(metrics.DUPLICATES): int(np.count_nonzero(is_duplicate)),
            key(metrics.CONFLICTS): said.conflicts,
            key(metrics.LEVEL_CHANGES): int(
                np.count_nonzero(policy.level_before(new) != policy.level_after(new))
            ),
            key(metrics.RECOMMENDATIONS): int(np.count_nonzero(change == Change.RECOMMENDED)),
            key(metrics.HELD): int(np.count_nonzero(change == Change.HELD)),
            key(metrics.MODEL, said.model_version): n,
            **in_bands(score[~np.isnan(score)]),
        }
    )


def in_bands(score: Any) -> dict[str, int]:
    """How many scores, float32 [n], lie in each band."""
    found = np.bincount(np.searchsorted(ENDS, score), minlength=len(BANDS))
    return dict(zip(BAND_KEYS, found.tolist(), strict=True))


def count(counted: Counter[str], last: LastBatch) -> None:
    """Adds a batch to Beam's metrics of the current step, and to the process's tally."""
    for name, number in counted.items():
        if number or name not in progress.counts:
            _beam_counter(STEM + name).inc(number)
    distribute(metrics.BATCH, last.events)
    distribute(metrics.LAG, last.lag_ms / 1e3)
    if last.event_lag_ms is not None:
        distribute(metrics.EVENT_LAG, last.event_lag_ms / 1e3)
    for stage, spent_us in last.stages_us.items():
        distribute(metrics.STAGE, spent_us / 1e6, stage)
    progress.counts.update(counted)
    progress.last_batch = last


def distribute(metric: Metric, value: float, of: str = "") -> None:
    """One value of a distribution; `of` is its label's."""
    name = f"{metric.beam}-{of}" if of else metric.beam
    _beam_distribution(name).update(round(value * metric.scale))
    progress.seen.setdefault(key(metric, of), Tally(metric.bounds)).add(value)


def count_sent(spent_s: float) -> None:
    """How long the step waited for the ways out."""
    distribute(metrics.STAGE, spent_s, "send")
    progress.sent_us = round(spent_s * 1e6)


@cache
def _beam_counter(name: str) -> Any:
    return Metrics.counter(NAMESPACE, name)


@cache
def _beam_distribution(name: str) -> Any:
    return Metrics.distribution(NAMESPACE, name)
