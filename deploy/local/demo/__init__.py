"""The whole system on this machine, shown: stack, model, job, stream, reconciliation (`riskstream demo`)."""

from deploy.local.demo.job import DemoFailed
from deploy.local.demo.play import Settings, play
from deploy.local.demo.summary import Summary, report

__all__ = ["DemoFailed", "Settings", "Summary", "play", "report"]
