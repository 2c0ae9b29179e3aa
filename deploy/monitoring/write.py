"""The files: dashboards for Grafana and Cloud Monitoring, alert rules and alert policies."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy.monitoring.alerts import ALERTS, AlertRule, Severity
from deploy.monitoring.language import Cloud, Inexpressible, MonitoringSystem, Prometheus
from deploy.monitoring.panels import PANELS, Panel

ROOT = Path(__file__).parents[2]
OWN = "deploy/monitoring"
RUNBOOK = "docs/runbook.md"
TITLE = "riskstream"
CLOUD_SEVERITY = {Severity.PAGE: "CRITICAL", Severity.TICKET: "WARNING"}
GRAFANA_WIDTH, CLOUD_WIDTH = 24, 48  # columns of their grids
SOURCE = {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
HEADER = "# Written by `make monitoring`; change deploy/monitoring/alerts.py instead.\n"


def files() -> dict[str, str]:
    """Return the files that `make monitoring` writes, by path in the repository."""
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


def answered(panel: Panel, place: MonitoringSystem) -> list[tuple[str, str]]:
    """Legends and queries of what can be asked there."""
    queries = []
    for legend, ask in panel.lines:
        try:
            queries.append((legend, ask(place)))
        except Inexpressible:
            continue
    return queries


def charts(place: MonitoringSystem) -> Iterator[tuple[Panel, list[tuple[str, str]]]]:
    for panel in PANELS:
        if queries := answered(panel, place):
            yield panel, queries


def grafana(place: MonitoringSystem) -> dict[str, Any]:
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


def _grafana_panel(number: int, panel: Panel, queries: list[tuple[str, str]]) -> dict[str, Any]:
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
            for i, (legend, query) in enumerate(queries)
        ],
    }


def cloud_dashboard(place: MonitoringSystem) -> dict[str, Any]:
    """A dashboard as the API of Cloud Monitoring takes it."""
    tiles = []
    for number, (panel, queries) in enumerate(charts(place)):
        sets = [
            {
                "timeSeriesQuery": {"prometheusQuery": query},
                "plotType": "LINE",
                "legendTemplate": "" if "{" in legend else legend,
            }
            for legend, query in queries
        ]
        widget = {"title": panel.title, "xyChart": {"dataSets": sets, "yAxis": {"scale": "LINEAR"}}}
        half = CLOUD_WIDTH // 2
        where = {"xPos": half * (number % 2), "yPos": 16 * (number // 2), "width": half, "height": 16}
        tiles.append({**where, "widget": widget})
    return {"displayName": TITLE, "mosaicLayout": {"columns": CLOUD_WIDTH, "tiles": tiles}}


def asked(place: MonitoringSystem) -> Iterator[tuple[AlertRule, str]]:
    """The alerts that can be raised there."""
    for alert in ALERTS:
        try:
            yield alert, alert.asks(place)
        except Inexpressible:
            continue


def rules(place: MonitoringSystem) -> dict[str, Any]:
    """Alert rules for Prometheus."""
    entries = [
        {
            "alert": alert.name,
            "expr": query,
            "for": f"{alert.minutes}m",
            "labels": {"severity": alert.severity.value},
            "annotations": {"summary": alert.says, "runbook": f"{RUNBOOK}#{alert.name.lower()}"},
        }
        for alert, query in asked(place)
    ]
    return {"groups": [{"name": TITLE, "rules": entries}]}


def policies(place: MonitoringSystem) -> dict[str, dict[str, Any]]:
    """Alert policies as the API of Cloud Monitoring takes them, by name. Channels are added where they are made."""
    return {alert.name: _policy(alert, query) for alert, query in asked(place)}


def _policy(alert: AlertRule, query: str) -> dict[str, Any]:
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


def write(root: Path = ROOT) -> Mapping[str, str]:
    """Writes the files; those that are no longer made are removed."""
    texts = files()
    for old in (root / OWN / "cloud" / "alerts").glob("*.json"):
        old.unlink()
    for path, text in texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return texts
