"""BigQuery: tables and views, rows appended through the Storage Write API, and the log of assessments read back."""

__all__ = ["assessment_log", "client", "differences", "log_end", "queries", "schemas", "settings", "tables"]
