"""Results on their way out: rows for BigQuery (`rows`), alerts and dead letters for Pub/Sub (`publications`). Pure."""

__all__ = ["publications", "rows"]
