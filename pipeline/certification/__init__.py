"""Certification of a deployment: the job under faults on its own servers, and the oracle that judges the outcome."""

__all__ = ["account", "certify", "faults", "job_process", "publishing", "report", "resources", "settings"]
