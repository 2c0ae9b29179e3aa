"""Assessments on their way out: rows for BigQuery, alerts and dead letters for Pub/Sub. Pure."""

__all__ = ["rows"]
