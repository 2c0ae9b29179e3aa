"""The process: errors, metrics, traces, logs, retries and locks. No other room of the pipeline is needed for them."""

__all__ = [
    "checks",
    "errors",
    "folder_lock",
    "liveness",
    "logging_setup",
    "metrics",
    "printable",
    "process_metrics",
    "process_tuning",
    "prometheus",
    "provisioned",
    "pushgateway",
    "retry",
    "settings",
    "terminal",
    "tracing",
    "transient",
    "undelivered",
    "watchdog",
]
