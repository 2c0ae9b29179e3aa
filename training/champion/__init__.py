"""Champion and challenger: the same held-out rows for both, the gates, and the verdict."""

__all__ = ["comparison", "evidence", "gates"]
