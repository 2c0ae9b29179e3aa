"""A message as it came from the broker, whatever the source was.

`data` are the event's bytes as received; `publish_us` is int64 microseconds since 1970 UTC.
"""

from collections.abc import Mapping
from typing import NamedTuple

import xxhash

MAX_ID_BYTES = 1_024  # the longest attribute of a Pub/Sub message
ASSESSED_WITH = (
    "assessed_with"  # attribute: the id of the model with which the REST service assesses the event
)
CALLER = "caller"  # attribute: who sent the event to the REST service. Whoever may publish can set it


class Message(NamedTuple):
    """One Pub/Sub message: the attributes `event_type`, `event_id`, `event_time` say what the body is."""

    data: bytes
    attributes: Mapping[str, str]
    message_id: str
    publish_us: int


def id_attribute(event_id: str) -> str:
    """The id, or a hash of one that no attribute can hold: it must only tell events apart."""
    text = event_id.encode()
    return event_id if len(text) <= MAX_ID_BYTES else xxhash.xxh3_128_hexdigest(text)
