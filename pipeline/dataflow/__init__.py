"""The streaming job on Google Cloud Dataflow: settings, preflight, submission, updates and the end of a job.

The graph is that of every other runner; here is only what Dataflow needs besides.
"""

__all__ = ["jobs", "plan", "preflight", "settings", "submit"]
