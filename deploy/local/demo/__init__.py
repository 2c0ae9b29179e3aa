"""The demo: the whole system on one machine, from the stack to the reconciliation (`riskstream demo`)."""

from deploy.local.demo.job import DemoFailed
from deploy.local.demo.play import DemoSettings, play
from deploy.local.demo.summary import DemoSummary, report

__all__ = ["DemoFailed", "DemoSettings", "DemoSummary", "play", "report"]
