"""Commands around a running job: publish files, follow alerts, show the status, measure drift and realised figures."""

__all__ = [
    "drift_columns",
    "drift_series",
    "follow_alerts",
    "gauges",
    "logged_drift",
    "publish_file",
    "realised",
    "settings",
    "status",
]
