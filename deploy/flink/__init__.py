"""A real Flink on this machine: fetched, started, and given a jar that runs the job's pipeline in it.

Beam's own Flink runner is a jar of its own, the job server. Where that can be had, nothing of `java/` is needed.
"""
