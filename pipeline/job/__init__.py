"""The streaming job: the Beam graph, its steps, sources and sinks, and the processes that run it."""

__all__ = ["graph", "preflight", "run", "settings"]
