"""A message as it came from the broker, whatever the source was.

`data` are the event's bytes as received; `publish_us` is int64 microseconds since 1970 UTC.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Message(NamedTuple):
    """One Pub/Sub message: the attributes `event_type`, `event_id`, `event_time` say what the body is."""

    data: bytes
    attributes: Mapping[str, str]
    message_id: str
    publish_us: int
