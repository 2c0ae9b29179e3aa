"""Names of a run: one stem, the time and a random token are in the name of whatever a run creates.

The same name is that of the run's use case, hence of its topics and subscriptions, of its dataset and of its keys.
"""

import re
from datetime import UTC, datetime

STEM = "riskstream_certify_"
PATTERN = re.compile(STEM + r"\d{8}t\d{6}z_[0-9a-f]{8}")


def run_name(now: datetime, token: str) -> str:
    """Return the name of a run that begins now; `token` has eight hexadecimal digits."""
    return f"{STEM}{now.astimezone(UTC):%Y%m%dt%H%M%Sz}_{token}"


def run_in(text: str) -> str | None:
    """Return the name of the run in the name of a topic, subscription, dataset or key; None if there is none."""
    match = PATTERN.search(text)
    return match[0] if match else None
