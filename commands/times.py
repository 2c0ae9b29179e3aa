"""Times as flags give them: without a zone they are UTC."""

import time
from datetime import UTC, datetime, timedelta

FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def in_utc(moment: datetime | None) -> datetime | None:
    """Return a time with its zone."""
    return moment and moment.replace(tzinfo=UTC)


def as_us(moment: datetime | None) -> int | None:
    """Return a time in microseconds since 1970 (UTC)."""
    return None if moment is None else (moment.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


def now_us() -> int:
    """Return the present time in microseconds since 1970 (UTC)."""
    return time.time_ns() // 1_000
