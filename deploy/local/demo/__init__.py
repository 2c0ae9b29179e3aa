"""The demo: the whole system on one machine, from the stack to the reconciliation (`riskstream demo`)."""

from deploy.local.demo.job import DemoFailed
from deploy.local.demo.play import Settings, play
from deploy.local.demo.summary import Summary, report

__all__ = ["DemoFailed", "Settings", "Summary", "play", "report"]
