"""Gauges of a command that ends before Prometheus could ask it: pushed to a Pushgateway, which keeps them."""

from collections.abc import Mapping, Sequence
from urllib.error import URLError

from prometheus_client import CollectorRegistry, push_to_gateway

from pipeline.runtime.errors import SinkUnavailable
from pipeline.runtime.metrics import Metric
from pipeline.runtime.process_metrics import progress
from pipeline.runtime.prometheus import Families

TIMEOUT_S = 10.0


def push(url: str, metrics: Sequence[Metric], gauges: Mapping[str, float], use_case: str) -> None:
    """Replace what the gateway holds of these metrics and this use case. Raises SinkUnavailable.

    `gauges` has values by pipeline.runtime.metrics.key.
    """
    progress.gauges.update(gauges)
    registry = CollectorRegistry()
    registry.register(Families(metrics))
    job, names = "riskstream-realised", {"use_case": use_case}
    try:
        push_to_gateway(url, job, registry, names, TIMEOUT_S)
    except (URLError, OSError) as error:
        raise SinkUnavailable(f"{url}: the gateway took no metrics: {error}") from error
