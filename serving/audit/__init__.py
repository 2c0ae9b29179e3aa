"""The audit trail: records wait in files and are appended to BigQuery."""

__all__ = ["files", "trail"]
