"""The engine that stream, batch scoring and the REST service share: a batch of events in, assessments out."""

__all__ = [
    "assess",
    "assessments",
    "counts",
    "engine",
    "live_drift",
    "live_model",
    "pointer_watch",
    "preflight",
    "rejects",
    "settings",
    "stand_in",
    "start_check",
    "unreadable",
]
