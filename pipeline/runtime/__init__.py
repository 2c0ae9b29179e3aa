"""The process: errors, metrics, traces, logs, retries and locks. No other room of the pipeline is needed for them."""

__all__ = [
    "errors",
    "folder_lock",
    "logging_setup",
    "metrics",
    "printable",
    "probe",
    "process_metrics",
    "process_tuning",
    "prometheus",
    "pushgateway",
    "retry",
    "settings",
    "tracing",
    "transient",
    "undelivered",
]
