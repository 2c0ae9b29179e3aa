"""The log against the store: results recomputed and compared bit for bit, and records rebuilt."""

__all__ = ["compare", "published", "reconcile", "repair_run"]
