"""The streaming job: the Beam graph, its steps, sources and sinks, and the processes that run it."""

__all__ = ["beam_options", "graph", "job", "preflight", "run", "settings"]
