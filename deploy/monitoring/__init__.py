"""Dashboards and alerts, written by `make monitoring` from the table in pipeline/runtime/metrics.py and the lists in here."""
