"""The registry: bundles as versions of an MLflow model, their runs, and which one is in use."""

__all__ = ["promotion", "runs", "tracking", "versions"]
