"""Dashboards, alerts, runbook and reference say what the table of metrics says, and nothing else."""

import json
import re
from pathlib import Path

import pytest
import yaml

from deploy.monitoring import write
from deploy.monitoring.alerts import ALERTS, Severity
from deploy.monitoring.language import Cloud, MonitoringSystem, Prometheus
from pipeline.runtime.metrics import METRICS, MetricKind

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs/runbook.md").read_text()
ON_CLOUD = {metric.name for metric in METRICS if metric.beam or metric.cloud or not metric.in_beam}
ENTRY = re.compile(r"^### (\w+)\n\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", write.files())
def test_what_is_written_from_the_table_is_up_to_date(path: str) -> None:
    assert (ROOT / path).read_text() == write.files()[path], "run `make monitoring`"


def test_no_file_is_left_of_an_alert_that_is_gone() -> None:
    found = {str(file.relative_to(ROOT)) for file in (ROOT / "deploy/monitoring/cloud").rglob("*.json")}
    assert found == {path for path in write.files() if "/cloud/" in path}


@pytest.mark.parametrize(
    ("place", "all_metrics"), [(Prometheus(), {m.name for m in METRICS}), (Cloud(), ON_CLOUD)]
)
def test_every_metric_is_on_the_dashboard(place: MonitoringSystem, all_metrics: set[str]) -> None:
    list(write.charts(place))
    assert place.used == all_metrics


def test_files_ask_only_for_metrics_of_the_table() -> None:
    named = {metric.prometheus: metric for metric in METRICS}
    files = write.files()
    for path in ("deploy/monitoring/grafana/dashboard.json", "deploy/monitoring/prometheus/rules.yaml"):
        for name in re.findall(r"riskstream_\w+", files[path]):
            stem = re.sub(r"_(bucket|sum|count)$", "", name)
            assert name in named or named[stem].kind is MetricKind.DISTRIBUTION, name
    of_dataflow = {
        name
        for path, text in files.items()
        if "/cloud/" in path
        for name in re.findall(r"assess-[\w.*-]+", text)
    }
    for name in of_dataflow:
        assert any(metric.beam and name.startswith(metric.beam) for metric in METRICS), name


def test_alerts_are_told_alike_in_both_places() -> None:
    (group,) = yaml.safe_load(write.files()["deploy/monitoring/prometheus/rules.yaml"])["groups"]
    rules = {rule["alert"]: rule for rule in group["rules"]}
    assert rules.keys() == {alert.name for alert in ALERTS}
    policies = write.policies(Cloud())
    assert rules.keys() - policies.keys() == {"NoProgress", "Waiting"}, "gauges, which Dataflow has not"
    for name, policy in policies.items():
        (condition,) = policy["conditions"]
        asked = condition["conditionPrometheusQueryLanguage"]
        assert asked["duration"] == f"{60 * int(rules[name]['for'].rstrip('m'))}s"
        assert (policy["severity"] == "CRITICAL") == (rules[name]["labels"]["severity"] == Severity.PAGE)
        assert asked["query"].count("(") == asked["query"].count(")")


def test_burn_rates_are_those_of_the_workbook() -> None:
    rules = yaml.safe_load(write.files()["deploy/monitoring/prometheus/rules.yaml"])["groups"][0]["rules"]
    text = {rule["alert"]: rule["expr"] for rule in rules}
    expected = {"LateFast": ["0.0144 1h", "0.0144 5m"], "LateSlow": ["0.006 6h", "0.006 30m"],
                "LateCreeping": ["0.003 1d", "0.003 2h", "0.001 3d", "0.001 6h"]}  # fmt: skip
    for name, windows in expected.items():
        found = re.findall(r"_events_total\[(\w+)\]\)\) > ([\d.]+)", text[name])
        assert [f"{limit} {window}" for window, limit in found] == windows


def test_each_alert_has_its_entry_and_each_entry_its_alert() -> None:
    entries = dict(ENTRY.findall(RUNBOOK))
    assert sorted(entries) == sorted(alert.name for alert in ALERTS)
    for alert in ALERTS:
        entry = entries[alert.name]
        assert entry.startswith(f"{alert.severity.capitalize()}"), alert.name
        links_on = re.search(r"\]\(#\w+\)", entry)
        assert "```sh\n" in entry or "`riskstream " in entry or links_on, f"{alert.name}: what to type"


def test_links_within_the_runbook_lead_somewhere() -> None:
    headings = {heading.lower() for heading in re.findall(r"^#+ (\w+)$", RUNBOOK, re.MULTILINE)}
    assert set(re.findall(r"\]\(#(\w+)\)", RUNBOOK)) <= headings


def test_dashboards_have_no_empty_or_overlapping_panels() -> None:
    board = json.loads(write.files()["deploy/monitoring/grafana/dashboard.json"])
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(set(places)) == len(places) > 15
    assert all(target["expr"] for panel in board["panels"] for target in panel["targets"])
    tiles = json.loads(write.files()["deploy/monitoring/cloud/dashboard.json"])["mosaicLayout"]["tiles"]
    assert all(tile["widget"]["xyChart"]["dataSets"] for tile in tiles)
    assert all(tile["xPos"] + tile["width"] <= 48 for tile in tiles)


def test_names_are_what_both_systems_take() -> None:
    assert len({metric.prometheus for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert re.fullmatch(r"riskstream_[a-z_]+[a-z]", metric.prometheus)
        assert bool(metric.bounds) == (metric.kind is MetricKind.DISTRIBUTION) and list(
            metric.bounds
        ) == sorted(metric.bounds)
