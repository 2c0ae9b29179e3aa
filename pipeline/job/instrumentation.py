"""The job's counters, spans and log lines, batch by batch; nothing here looks at events one by one.

Counters go to Beam's metrics and to this process's own progress. Names and meanings are in `pipeline.runtime.metrics`.
The log names rejects by ids, reason and trace, never by their content. The key of a record that cannot be read is
logged although it names a customer: nobody could mend the record otherwise.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Protocol

import numpy as np
from apache_beam.metrics.metric import Metrics

from features.kernel import Disposition
from pipeline.engine import counts as engine_counts
from pipeline.engine.assessments import Assessments
from pipeline.engine.rejects import Reject, answered
from pipeline.job.sinks import Outgoing
from pipeline.job.translate import Decoded
from pipeline.runtime import metrics, tracing
from pipeline.runtime.metrics import NAMESPACE, OF_JOB, STEM, Metric, MetricKind, key
from pipeline.runtime.process_metrics import LastBatch, progress, tally, written

IN_TIME_US = metrics.IN_TIME_S * 1_000_000
# A series exists from the first batch on: one that begins with its first increase seems not to increase.
FROM_ZERO = [
    key(metric, value)
    for metric in OF_JOB
    if metric.kind is MetricKind.COUNTER
    for value in (metric.values if metric.label else ("",))
]
EXAMPLES = 5  # rejects of a batch that are logged one by one: a flood of them must not stop the stream

logger = logging.getLogger(__name__)


class _Counter(Protocol):
    def inc(self, n: int) -> None: ...


class _Distribution(Protocol):
    def update(self, value: int) -> None: ...


def count_batch(
    decoded: Decoded,
    assessments: Assessments | None,
    outgoing: Outgoing,
    drift: Counter[str],
    encode_s: float,
    now_us: int,
) -> None:
    """Count a batch that is ready to leave: its events, rejects, alerts, lags and the seconds of each stage."""
    seconds = {"decode": decoded.seconds, **(assessments.seconds if assessments else {}), "encode": encode_s}
    latest_us = int(assessments.batch.time_us.max()) if assessments else None
    counts = _batch_counts(decoded, assessments, outgoing, now_us)
    counts.update(drift)
    counts.update(engine_counts.background_counts())
    counts.update(engine_counts.owner_counts())
    _add(
        counts,
        LastBatch(
            at=written(now_us),
            events=decoded.size,
            lag_ms=(now_us - decoded.oldest_us) // 1_000,
            event_lag_ms=None if latest_us is None else (now_us - latest_us) // 1_000,
            stages_us={stage: round(spent_s * 1e6) for stage, spent_s in seconds.items()},
        ),
    )


def _batch_counts(
    decoded: Decoded, assessments: Assessments | None, outgoing: Outgoing, now_us: int
) -> Counter[str]:
    rejects = decoded.rejects
    counts = Counter(dict.fromkeys(FROM_ZERO, 0))
    counts.update({key(metrics.EVENTS): len(rejects), key(metrics.ALERTS): len(outgoing.alerts)})
    counts.update({key(metrics.REJECTS, reason): number for reason, number in outgoing.reasons.items()})
    counts[key(metrics.LATE)] = sum(now_us - each.message.publish_us > IN_TIME_US for each in rejects)
    if assessments:
        counts.update(_event_counts(decoded, assessments, now_us))
    return counts


def _event_counts(decoded: Decoded, assessments: Assessments, now_us: int) -> Counter[str]:
    """Count the events. Duplicates of what the REST service has answered already are not counted as duplicates."""
    is_duplicate = assessments.disposition == Disposition.DUPLICATE
    is_late = now_us - assessments.batch.published_us > IN_TIME_US
    by_service = len(answered(decoded.messages, assessments))
    counts = engine_counts.new_event_counts(assessments)
    counts[key(metrics.EVENTS)] = len(assessments.batch)
    counts[key(metrics.LATE)] = int(np.count_nonzero(is_late & ~is_duplicate))
    counts[key(metrics.DUPLICATES)] = int(np.count_nonzero(is_duplicate)) - by_service
    return counts


def _add(counts: Counter[str], last: LastBatch) -> None:
    """Add to Beam's metrics of the current step and to this process's progress."""
    for name, number in counts.items():
        if number or name not in progress.counts:
            _beam_counter(STEM + name).inc(number)
    _distribute(metrics.BATCH, last.events)
    _distribute(metrics.LAG, last.lag_ms / 1e3)
    if last.event_lag_ms is not None:
        _distribute(metrics.EVENT_LAG, last.event_lag_ms / 1e3)
    for stage, spent_us in last.stages_us.items():
        _distribute(metrics.STAGE, spent_us / 1e6, stage)
    progress.counts.update(counts)
    progress.last_batch = last


def _distribute(metric: Metric, value: float, label: str = "") -> None:
    name = f"{metric.beam}-{label}" if label else metric.beam
    _beam_distribution(name).update(round(value * metric.scale))
    tally(metric, value, label)


def count_sent(spent_s: float) -> None:
    """Count the seconds that a step has waited for the sinks."""
    _distribute(metrics.STAGE, spent_s, "send")
    progress.sent_us = round(spent_s * 1e6)


def count_waits(decoded: Decoded, assessed_ns: int) -> None:
    """Count how long a batch waited until it was assessed, which began at `assessed_ns` since 1970."""
    decoded_ns = decoded.began_ns + round(decoded.seconds * 1e9)
    tally(metrics.WAIT, max(0, assessed_ns - decoded_ns) / 1e9, "assess")
    if decoded.waited_s is not None and decoded.size:
        pulled_us = decoded.began_ns / 1e3 - decoded.waited_s * 1e6
        tally(metrics.WAIT, max(0.0, pulled_us - decoded.oldest_us) / 1e6, "pull")
        tally(metrics.WAIT, decoded.waited_s, "decode")


@cache
def _beam_counter(name: str) -> _Counter:
    counter: _Counter = Metrics.counter(NAMESPACE, name)
    return counter


@cache
def _beam_distribution(name: str) -> _Distribution:
    distribution: _Distribution = Metrics.distribution(NAMESPACE, name)
    return distribution


def record_span(
    decoded: Decoded, assessments: Assessments | None, outgoing: Outgoing, assessed_ns: int
) -> str:
    """Record a span for a sampled batch and return its traceparent ("" if not sampled).

    `assessed_ns` is when assessing began. Its stages follow one another; a stage that was repeated is one span.
    """
    stages, from_ns = {"decode": (decoded.began_ns, decoded.seconds)}, assessed_ns
    for stage, spent_s in (assessments.seconds if assessments else {}).items():
        stages[stage] = (from_ns, spent_s)
        from_ns += round(spent_s * 1e9)
    parents = (tracing.parent_of(each.attributes) for each in (*outgoing.alerts, *outgoing.dead_letters))
    return tracing.batch(
        decoded.began_ns,
        stages,
        filter(None, parents),
        messages=decoded.size,
        model=assessments.model_version if assessments else "",
    )


def log_rejects(rejects: Sequence[Reject]) -> None:
    """Log the first rejects of a batch one by one, the others as a number."""
    for reject in rejects[:EXAMPLES]:
        facts = {
            "event_id": reject.event_id,
            "event_type": reject.event_type,
            "message_id": reject.message.message_id,
            "reason": reject.reason,
            "key": reject.key,
            "trace_id": tracing.trace_id(tracing.parent_of(reject.message.attributes)),
        }
        text = ", ".join(f"{name} {value}" for name, value in facts.items() if value)
        logger.warning("dead letter: %s", text, extra=facts)
    if len(rejects) > EXAMPLES:
        logger.warning("and %d more dead letters in the same batch", len(rejects) - EXAMPLES)
