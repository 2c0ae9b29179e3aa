"""The engine that stream, batch scoring and the REST service share: a batch of events in, assessments out.

`assess` is the whole of it; `unit_of_work` holds the records of a batch, `engine` the model and its policy.
`live_model` exchanges the engine while a process runs.
"""

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
