"""Dashboards and alerts, which `make monitoring` writes from pipeline/runtime/metrics.py and the lists in here."""
