"""What the job counts: Beam's counters and distributions, and the process's own progress beside them.

Counters: `assess-events`, `-duplicates`, `-conflicts`, `-alerts`, `-recommendations`, `-level-changes` and
`-rejects-REASON`. Distributions, one value a batch: `assess-batch-size`, `assess-STAGE-us`, `assess-lag-ms` since
the oldest message was published, and `assess-event-lag-ms` since the latest event happened.
"""

from collections import Counter

import numpy as np
from apache_beam.metrics import Metrics

from export import policy
from export.levels import Change
from features.kernel import Disposition
from pipeline.assess import Assessments
from pipeline.progress import REJECTS, LastBatch, progress
from pipeline.sinks import Outgoing

NAMESPACE = "riskstream"


def counts(n: int, said: Assessments | None, outgoing: Outgoing) -> Counter[str]:
    """What became of n messages. Changes are counted when they happen, not when an event comes again."""
    found = Counter({"events": n, "alerts": len(outgoing.alerts)})
    found.update({f"{REJECTS}{reason}": number for reason, number in outgoing.reasons.items()})
    if said:
        new = said.outcome[said.disposition == Disposition.APPLIED]
        found["duplicates"] = int(np.count_nonzero(said.disposition == Disposition.DUPLICATE))
        found["conflicts"] = said.conflicts
        found["level-changes"] = int(np.count_nonzero(policy.level_before(new) != policy.level_after(new)))
        found["recommendations"] = int(np.count_nonzero(policy.change(new) == Change.RECOMMENDED))
    return found


def count(counted: Counter[str], last: LastBatch) -> None:
    """Adds a batch to Beam's metrics of the current step, and to the process's progress."""
    for name, number in counted.items():
        if number:
            Metrics.counter(NAMESPACE, f"assess-{name}").inc(number)
    distribute("batch-size", last.events)
    distribute("lag-ms", last.lag_ms)
    if last.event_lag_ms is not None:
        distribute("event-lag-ms", last.event_lag_ms)
    for stage, spent_us in last.stages_us.items():
        distribute(f"{stage}-us", spent_us)
    progress.counts.update(counted)
    progress.last_batch = last


def distribute(name: str, value: int) -> None:
    Metrics.distribution(NAMESPACE, f"assess-{name}").update(value)


def count_sent(spent_s: float) -> None:
    """How long the step waited for the ways out."""
    distribute("send-us", round(spent_s * 1e6))
    progress.sent_us = round(spent_s * 1e6)
