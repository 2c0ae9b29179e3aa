"""Synthetic customers and transactions for the off-boarding use case.

The same seed gives the same bytes. Money is in whole cents and time in whole microseconds since 1970 (UTC)
until the moment of writing, so that no rounding depends on the machine.
"""

from training.generate.dataset import Summary, generate
from training.generate.dirt import Dirt

__all__ = ["Dirt", "Summary", "calendar", "generate", "observation"]
