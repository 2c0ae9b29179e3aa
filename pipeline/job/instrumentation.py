"""What the job counts, batch by batch: as Beam's metrics, and in the process's own tally beside them.

Names and meanings are in `metrics`. Nothing here looks at events one by one.
"""

from collections import Counter
from functools import cache
from typing import Any

import numpy as np
from apache_beam.metrics import Metrics

from features.kernel import Disposition
from pipeline.engine import counts as tallies
from pipeline.engine.assess import Assessments
from pipeline.engine.rejects import Reject
from pipeline.job.sinks import Outgoing
from pipeline.runtime import metrics
from pipeline.runtime.metrics import NAMESPACE, OF_JOB, STEM, Kind, Metric, key
from pipeline.runtime.process_metrics import LastBatch, progress, tally

IN_TIME_US = metrics.IN_TIME_S * 1_000_000
# Told from the first batch on: a series that begins with its first increase seems not to increase.
FROM_ZERO = [
    key(metric, value)
    for metric in OF_JOB
    if metric.kind is Kind.COUNTER
    for value in (metric.values if metric.label else ("",))
]


def counts(
    rejects: list[Reject],
    said: Assessments | None,
    outgoing: Outgoing,
    drifted: Counter[str],
    now_us: int,
    answered: int,
) -> Counter[str]:
    """What became of a batch; `rejects` gave no event, `answered` are the duplicates that the REST service made."""
    found = Counter(dict.fromkeys(FROM_ZERO, 0))
    found.update({key(metrics.EVENTS): len(rejects), key(metrics.ALERTS): len(outgoing.alerts)})
    found.update({key(metrics.REJECTS, reason): number for reason, number in outgoing.reasons.items()})
    found[key(metrics.LATE)] = sum(now_us - each.message.publish_us > IN_TIME_US for each in rejects)
    if said:
        found.update(_of_events(said, now_us, answered))
    found.update(drifted)
    found.update(tallies.of_looks())
    return found


def _of_events(said: Assessments, now_us: int, answered: int) -> Counter[str]:
    is_duplicate = said.disposition == Disposition.DUPLICATE
    is_late = now_us - said.batch.published_us > IN_TIME_US
    found = tallies.of_new(said)
    found[key(metrics.EVENTS)] = len(said.batch)
    found[key(metrics.LATE)] = int(np.count_nonzero(is_late & ~is_duplicate))
    found[key(metrics.DUPLICATES)] = int(np.count_nonzero(is_duplicate)) - answered
    return found


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
    tally(metric, value, of)


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
