"""The process's metrics for Prometheus: an HTTP endpoint, and a thread that reads gauges of Redis and Pub/Sub.

Each worker process has an endpoint of its own, on the first free port from the job's on: a job with four workers is
scraped at four ports in a row.
"""

import errno
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import start_http_server
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from pipeline.runtime import metrics
from pipeline.runtime.metrics import Metric, MetricKind, key
from pipeline.runtime.process_metrics import Tally, labelled, progress

PORTS = 64  # as many as a job may have workers
ASK_S = 15.0  # Prometheus's own habit
CLOSE_S = 1.0  # a frozen Redis is waited for longer, but not when the process ends

ReadGauges = Callable[[], Mapping[Metric, float | None]]  # None: cannot be read now

logger = logging.getLogger(__name__)


class Endpoint:
    """An HTTP endpoint that is open until it is closed. Raises OSError if no port is free."""

    def __init__(self, host: str, port: int, metrics: Sequence[Metric], gauges: Sequence[ReadGauges]) -> None:
        """Serve the metrics. Each of `gauges` is read every ASK_S seconds, for values that nobody counts."""
        self._gauges = gauges
        registry = CollectorRegistry()
        registry.register(Families(metrics))
        self._server = _serve(host, port, registry)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask_until_ended, name="gauges", daemon=True)
        self._thread.start()
        logger.warning("metrics for Prometheus: http://%s:%d/metrics", host, self.port)

    @property
    def port(self) -> int:
        return self._server.server_port

    def close(self) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(CLOSE_S)

    def _ask_until_ended(self) -> None:
        while True:
            self._ask()
            if self._ended.wait(ASK_S):
                return

    def _ask(self) -> None:
        """Drop a gauge that cannot be read: an old value would look like a new one."""
        for read in self._gauges:
            for metric, value in read().items():
                if value is None:
                    progress.gauges.pop(key(metric), None)
                else:
                    progress.gauges[key(metric)] = value


def check(host: str, port: int) -> None:
    """Raise OSError unless the first port is free: Prometheus must find this job there, not another one."""
    with socket.create_server((host, port)):
        pass


def _serve(host: str, port: int, registry: CollectorRegistry) -> WSGIServer:
    for each in range(port, port + PORTS):
        try:
            return start_http_server(each, host, registry)[0]
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise OSError(
        errno.EADDRINUSE, f"metrics: none of the ports {port} to {port + PORTS - 1} of {host} is free"
    )


class Families(Collector):
    """The metrics of this process as Prometheus' families, made anew for each scrape."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Family]:
        waiting = {key(metrics.WAITING, part): float(n) for part, n in progress.waiting.copy().items()}
        tallies: dict[MetricKind, Mapping[str, float | Tally]] = {
            MetricKind.COUNTER: progress.counts.copy(),
            MetricKind.GAUGE: progress.gauges | waiting,
            MetricKind.DISTRIBUTION: progress.seen.copy(),
        }
        for metric in self._metrics:
            yield _family(metric, dict(_series(metric, tallies[metric.kind])))


def _series(metric: Metric, tally: Mapping[str, float | Tally]) -> Iterator[tuple[str, float | Tally]]:
    """Yield the metric's series by the value of its label; series of known values exist from the beginning."""
    if metric.kind is MetricKind.GAUGE and not metric.label:
        if key(metric) in tally:
            yield "", tally[key(metric)]
    elif metric.kind is MetricKind.DISTRIBUTION:
        for value in metric.values or ("",):
            yield value, tally.get(key(metric, value), Tally(metric.bounds))
    else:
        for value in metric.values if metric.label else ("",):
            yield value, tally.get(key(metric, value), 0)
        if metric.label and not metric.values:
            yield from labelled(tally, key(metric))


def _family(metric: Metric, series: dict[str, float | Tally]) -> Family:
    labels = [metric.label] if metric.label else []
    family: Any = FAMILIES[metric.kind](metric.prometheus, metric.meaning, labels=labels)
    for label_value, value in series.items():
        label_values = [label_value] if metric.label else []
        if isinstance(value, Tally):
            ends = (*map(str, map(float, value.bounds)), "+Inf")
            family.add_metric(
                label_values, list(zip(ends, accumulate(value.counts), strict=True)), value.total
            )
        else:
            family.add_metric(label_values, value)
    return family  # type: ignore[no-any-return]


FAMILIES: dict[MetricKind, Any] = {
    MetricKind.COUNTER: CounterMetricFamily,
    MetricKind.GAUGE: GaugeMetricFamily,
    MetricKind.DISTRIBUTION: HistogramMetricFamily,
}
