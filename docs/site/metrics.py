"""The reference of metrics, made from the one table that names them."""

from docs.site.markdown import notice, table
from pipeline.runtime.metrics import METRICS, Metric

HEAD = ("metric", "kind", "unit", "label", "Prometheus", "Dataflow, Cloud Monitoring", "meaning")


def page() -> str:
    """Return docs/reference/metrics.md."""
    return notice("the table of metrics in pipeline/") + REFERENCE.format(
        table=table(HEAD, map(_described, METRICS))
    )


def _described(metric: Metric) -> tuple[str, ...]:
    values = f"`{metric.label}`" + (f": {', '.join(metric.values)}" if metric.values else "")
    on_dataflow = "-"
    if metric.beam:
        on_dataflow = f"`{metric.beam}{'-' + metric.label.upper() if metric.label else ''}`"
    elif not metric.in_beam:
        on_dataflow = "managed Prometheus"
    elif metric.cloud:
        on_dataflow = f"`{metric.cloud.partition('{')[0]}`"
    unit = metric.unit + (f" ({metric.beam_unit} on Dataflow)" if metric.beam_unit else "")
    return (
        metric.name, metric.kind.value, unit, values if metric.label else "", f"`{metric.prometheus}`", on_dataflow,
        metric.meaning,
    )  # fmt: skip


REFERENCE = """# Metrics

Metrics are named in one table; dashboards and alerts in `deploy/monitoring/` are made from it
too (`make monitoring`). What to do about an alert is in the [runbook](../runbook.md).

On Dataflow these are Beam's own metrics, which Cloud Monitoring has as `dataflow_googleapis_com:job_user_counter` (as
PromQL spells it), the name in its label `metric_name`. There are no gauges there, and of a distribution only count,
mean, least and greatest since the job began, so what an alert needs is a counter. Elsewhere
`riskstream run --metrics-port 9464` serves them to Prometheus, each worker process at a port of its own, counted from
that one. Other runners also have Beam's metrics in their own way.

`riskstream serve --metrics-port 9464` tells what the REST service does: its own metrics (`api-...`), and of what it was
the first to assess the same as a job does, under the same names. On GKE Google's managed Prometheus collects them.

`riskstream realised --push URL` pushes `realised-...` to a Pushgateway, to be scraped with `honor_labels: true`.

No metric has a label that says who: no customer, no event.

{table}

## How they are put to use

Prometheus scrapes each worker process and loads the rules; Grafana imports the dashboard and asks for the Prometheus:

```yaml
scrape_configs:
  - job_name: riskstream
    static_configs:
      - targets: ["10.0.0.5:9464", "10.0.0.5:9465"]
rule_files: [deploy/monitoring/prometheus/rules.yaml]
```

Cloud Monitoring takes the same questions in PromQL (not run for this page; channels are the project's own):

```sh
gcloud monitoring dashboards create --config-from-file deploy/monitoring/cloud/dashboard.json
for policy in deploy/monitoring/cloud/alerts/*.json; do
  gcloud monitoring policies create --policy-from-file "$policy" --notification-channels "$CHANNEL"
done
```

They find jobs by name (`riskstream-...`), the subscription of events (`...-events-riskstream`) and Redis
(`...riskstream...`). What they say of Pub/Sub holds wherever the job runs: Prometheus has backlog and age of the oldest
event from the local server only, so with Pub/Sub itself take the policies Stalled and EventsAtRisk on every runner.
LateCreeping looks back three days, which alert policies in PromQL could not do before 2026.
"""
