"""The files: dashboards for Grafana and Cloud Monitoring, alert rules and alert policies."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy.monitoring.alerts import ALERTS, Alert, Severity
from deploy.monitoring.language import Cloud, NotThere, Place, Prometheus
from deploy.monitoring.panels import PANELS, Panel
<<<<<<< HEAD
from pipeline.runtime.metrics import METRICS, Metric
=======
>>>>>>> b05afcd (The pages become a site that builds and reads offline; references come from code)

ROOT = Path(__file__).parents[2]
OWN = "deploy/monitoring"
RUNBOOK = "docs/runbook.md"
TITLE = "riskstream"
CLOUD_SEVERITY = {Severity.PAGE: "CRITICAL", Severity.TICKET: "WARNING"}
GRAFANA_WIDTH, CLOUD_WIDTH = 24, 48  # columns of their grids
SOURCE = {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
HEADER = "# Written by `make monitoring`; change deploy/monitoring/alerts.py instead.\n"


def files() -> dict[str, str]:
    """What `make monitoring` writes, by path in the repository."""
    cloud = {f"{OWN}/cloud/alerts/{name}.json": _json(policy) for name, policy in policies(Cloud()).items()}
    return {
        f"{OWN}/grafana/dashboard.json": _json(grafana(Prometheus())),
        f"{OWN}/prometheus/rules.yaml": HEADER
        + yaml.safe_dump(rules(Prometheus()), sort_keys=False, width=10_000),
        f"{OWN}/cloud/dashboard.json": _json(cloud_dashboard(Cloud())),
        **cloud,
    }


def _json(document: Any) -> str:
    return json.dumps(document, indent=2) + "\n"


def answered(panel: Panel, place: Place) -> list[tuple[str, str]]:
    """Legends and queries of what can be asked there."""
    found = []
    for legend, ask in panel.lines:
        try:
            found.append((legend, ask(place)))
        except NotThere:
            continue
    return found


def charts(place: Place) -> Iterator[tuple[Panel, list[tuple[str, str]]]]:
    for panel in PANELS:
        if found := answered(panel, place):
            yield panel, found


def grafana(place: Place) -> dict[str, Any]:
    """The dashboard of a place that speaks PromQL; the data source is chosen when it is looked at."""
    return {
        "uid": TITLE,
        "title": TITLE,
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [SOURCE]},
        "panels": [_grafana_panel(number, *chart) for number, chart in enumerate(charts(place))],
    }


def _grafana_panel(number: int, panel: Panel, found: list[tuple[str, str]]) -> dict[str, Any]:
    half = GRAFANA_WIDTH // 2
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": {"type": "prometheus", "uid": "${source}"},
        "gridPos": {"h": 8, "w": half, "x": half * (number % 2), "y": 8 * (number // 2)},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + i),
                "expr": query,
                "legendFormat": re.sub(r"\{(\w+)\}", r"{{\1}}", legend),
            }
            for i, (legend, query) in enumerate(found)
        ],
    }


def cloud_dashboard(place: Place) -> dict[str, Any]:
    """A dashboard as the API of Cloud Monitoring takes it."""
    tiles = []
    for number, (panel, found) in enumerate(charts(place)):
        sets = [
            {
                "timeSeriesQuery": {"prometheusQuery": query},
                "plotType": "LINE",
                "legendTemplate": "" if "{" in legend else legend,
            }
            for legend, query in found
        ]
        widget = {"title": panel.title, "xyChart": {"dataSets": sets, "yAxis": {"scale": "LINEAR"}}}
        half = CLOUD_WIDTH // 2
        where = {"xPos": half * (number % 2), "yPos": 16 * (number // 2), "width": half, "height": 16}
        tiles.append({**where, "widget": widget})
    return {"displayName": TITLE, "mosaicLayout": {"columns": CLOUD_WIDTH, "tiles": tiles}}


def asked(place: Place) -> Iterator[tuple[Alert, str]]:
    """The alerts that can be raised there."""
    for alert in ALERTS:
        try:
            yield alert, alert.asks(place)
        except NotThere:
            continue


def rules(place: Place) -> dict[str, Any]:
    """Alert rules for Prometheus."""
    found = [
        {
            "alert": alert.name,
            "expr": query,
            "for": f"{alert.minutes}m",
            "labels": {"severity": alert.severity.value},
            "annotations": {"summary": alert.says, "runbook": f"{RUNBOOK}#{alert.name.lower()}"},
        }
        for alert, query in asked(place)
    ]
    return {"groups": [{"name": TITLE, "rules": found}]}


def policies(place: Place) -> dict[str, dict[str, Any]]:
    """Alert policies as the API of Cloud Monitoring takes them, by name. Channels are added where they are made."""
    return {alert.name: _policy(alert, query) for alert, query in asked(place)}


def _policy(alert: Alert, query: str) -> dict[str, Any]:
    content = f"{alert.says} See {RUNBOOK}#{alert.name.lower()}."
    asks = {
        "query": query,
        "duration": f"{60 * alert.minutes}s",
        "evaluationInterval": "60s",
        "ruleGroup": TITLE,
        "alertRule": alert.name,
    }
    return {
        "displayName": f"{TITLE}: {alert.name}",
        "severity": CLOUD_SEVERITY[alert.severity],
        "documentation": {"mimeType": "text/markdown", "content": content},
        "combiner": "OR",
        "conditions": [{"displayName": alert.name, "conditionPrometheusQueryLanguage": asks}],
        "alertStrategy": {"autoClose": "1800s"},
        "userLabels": {"severity": alert.severity.value},
        "enabled": True,
    }


<<<<<<< HEAD
def reference() -> str:
    """docs/metrics.md."""
    names = ("metric", "kind", "unit", "label", "Prometheus", "Dataflow, Cloud Monitoring", "what it says")
    rows = [names, ("---",) * len(names), *(_described(metric) for metric in METRICS)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return REFERENCE.format(table=table)


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

Written by `make monitoring` from `pipeline/runtime/metrics.py`, the one place where metrics are named;
dashboards and alerts in
`deploy/monitoring/` are made from the same table. What to do about an alert is in the [runbook](runbook.md).

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


=======
>>>>>>> b05afcd (The pages become a site that builds and reads offline; references come from code)
def write(root: Path = ROOT) -> Mapping[str, str]:
    """Writes the files; those that are no longer made are removed."""
    found = files()
    for old in (root / OWN / "cloud" / "alerts").glob("*.json"):
        old.unlink()
    for path, text in found.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return found
