"""Figures of a trained model on rows that it had not seen."""

__all__ = [
    "absent_fields",
    "baselines",
    "calendar",
    "curves",
    "customers",
    "evaluate",
    "fairness",
    "figures",
    "promises",
    "recommendations",
    "treatment",
    "weeks",
]
