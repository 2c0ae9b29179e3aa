"""Champion and challenger: the same held-out rows for both, the gates, and the verdict."""

__all__ = ["champion_model", "comparison", "evidence", "gate_keys", "gates"]
