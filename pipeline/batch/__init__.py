"""Histories from files: backfill of the store, and customers scored in memory."""

__all__ = ["backfill", "backfill_basis", "customer_table", "differences", "score", "summary"]
