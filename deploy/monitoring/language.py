"""The same question in two places, both in PromQL: Prometheus, and Cloud Monitoring for a job on Dataflow.

What only the REST service tells comes from Google's managed Prometheus there, under its own names. Dataflow tells
counters and distributions only, each as what it has come to since the job began, a distribution as _MEAN and _COUNT
(and as _MIN and _MAX, which never come back). A label's value is the end of the name.
"""

from dataclasses import dataclass, field
from typing import Protocol

from features.errors import Refused
from pipeline.runtime.metrics import Metric, MetricKind

JOB = 'job_name=~"riskstream-.*"'
COUNTER = "dataflow_googleapis_com:job_user_counter"


class Inexpressible(Refused):
    """The query language of a dashboard cannot express this question."""


class MonitoringSystem(Protocol):
    """A monitoring system. Windows are PromQL's durations; `value` is of the metric's label. Raises Inexpressible."""

    used: set[str]

    def rate(self, metric: Metric, window: str = "5m", by_label: bool = False, value: str = "") -> str:
        """A counter's increase a second; of all series together, or one of each label's value."""

    def mean(self, metric: Metric, window: str = "5m", value: str = "") -> str:
        """A distribution's mean within the window."""

    def quantile(self, metric: Metric, share: float, window: str = "5m", value: str = "") -> str:
        """A distribution's quantile within the window."""

    def latest(self, metric: Metric, how: str = "max", by_label: bool = False, value: str = "") -> str:
        """A gauge, of all processes together."""

    def down(self, metric: Metric) -> str:
        """More than nothing when no job runs; `metric` is one that it always tells."""


@dataclass
class Prometheus:
    """Metrics of processes started with --metrics-port."""

    used: set[str] = field(default_factory=set)

    def rate(self, metric: Metric, window: str = "5m", by_label: bool = False, value: str = "") -> str:
        return f"{_sum(metric.label if by_label else '')}(rate({self._series(metric, value)}[{window}]))"

    def mean(self, metric: Metric, window: str = "5m", value: str = "") -> str:
        total, count = (self._series(metric, value, part) for part in ("_sum", "_count"))
        return f"sum(rate({total}[{window}])) / sum(rate({count}[{window}]))"

    def quantile(self, metric: Metric, share: float, window: str = "5m", value: str = "") -> str:
        buckets = self._series(metric, value, "_bucket")
        return f"histogram_quantile({share:g}, sum by (le) (rate({buckets}[{window}])))"

    def latest(self, metric: Metric, how: str = "max", by_label: bool = False, value: str = "") -> str:
        return f"{_sum(metric.label if by_label else '', how)}({self._series(metric, value)})"

    def down(self, metric: Metric) -> str:
        return f"absent({self._series(metric)})"

    def _series(self, metric: Metric, value: str = "", part: str = "") -> str:
        self.used.add(metric.name)
        return metric.prometheus + part + (f'{{{metric.label}="{value}"}}' if value else "")


@dataclass
class Cloud:
    """Cloud Monitoring, of a job on Dataflow and the REST service on GKE."""

    used: set[str] = field(default_factory=set)

    def rate(self, metric: Metric, window: str = "5m", by_label: bool = False, value: str = "") -> str:
        if not metric.in_beam:
            return self._managed.rate(metric, window, by_label, value)
        return f"{_sum('metric_name' if by_label else '')}(rate({self._series(metric, value)}[{window}]))"

    def mean(self, metric: Metric, window: str = "5m", value: str = "") -> str:
        if not metric.in_beam:
            return self._managed.mean(metric, window, value)
        mean, count = (self._series(metric, value, part) for part in ("_MEAN", "_COUNT"))
        total = "sum({m}{at} * ignoring (metric_name) {c}{at})"
        now, before = (total.format(m=mean, c=count, at=at) for at in ("", f" offset {window}"))
        return f"({now} - {before}) / (sum({count}) - sum({count} offset {window})) / {metric.scale:g}"

    def quantile(self, metric: Metric, share: float, window: str = "5m", value: str = "") -> str:
        if not metric.in_beam:
            return self._managed.quantile(metric, share, window, value)
        raise Inexpressible("Dataflow has no quantiles of a distribution")

    def latest(self, metric: Metric, how: str = "max", by_label: bool = False, value: str = "") -> str:
        if not metric.in_beam:
            return self._managed.latest(metric, how, by_label, value)
        if not metric.cloud:
            raise Inexpressible("Dataflow has no gauges")
        self.used.add(metric.name)
        return f"{how}({metric.cloud})"

    def down(self, metric: Metric) -> str:
        return f"max(dataflow_googleapis_com:job_is_failed{{{JOB}}}) > 0 or {self._absent(metric)}"

    @property
    def _managed(self) -> Prometheus:
        return Prometheus(self.used)

    def _absent(self, metric: Metric) -> str:
        return f"absent({self._series(metric)})"

    def _series(self, metric: Metric, value: str = "", part: str = "") -> str:
        self.used.add(metric.name)
        assert metric.kind is not MetricKind.GAUGE
        wanted = f'="{metric.beam}{part}"'
        if metric.label:
            wanted = f'="{metric.beam}-{value}{part}"' if value else f'=~"{metric.beam}-.*"'
        return f'{COUNTER}{{monitored_resource="dataflow_job",{JOB},metric_name{wanted}}}'


def _sum(label: str, how: str = "sum") -> str:
    return f"{how} by ({label}) " if label else how
