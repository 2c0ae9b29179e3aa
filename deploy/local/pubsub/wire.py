"""Protobuf bytes assembled by hand, for the two paths where every microsecond counts.

A message is serialised once, when it is published, and only copied from then on: a pull response is the concatenation
of frames. Two rules of the wire format make that right: an embedded message is its tag, its length and its bytes; and
of a scalar field that occurs twice the last one wins. `tests/pubsub/test_state.py` compares every function here with
the protobuf library.
"""

from collections.abc import Iterable
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from google.pubsub_v1 import types

PubsubMessage: Any = types.PubsubMessage.pb()

_RECEIVED_MESSAGES = b"\x0a"  # field 1 of PullResponse and of StreamingPullResponse
_MESSAGE = b"\x12"  # field 2 of ReceivedMessage
_DELIVERY_ATTEMPT = b"\x18"  # field 3 of ReceivedMessage
_PUBLISH_TIME = b"\x22"  # field 4 of PubsubMessage

FRAME_OVERHEAD_BYTES = 40  # `response` adds at most this to a frame: ack id, attempt, tags and lengths


def varint(value: int) -> bytes:
    """Return `value` >= 0 in base 128, low groups first."""
    if value < 0x80:
        return _ONE_BYTE[value]
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    return bytes((value & 0x7F | 0x80,)) + varint(value >> 7)


_ONE_BYTE = [bytes((value,)) for value in range(0x80)]


def publish_time_field(now_s: float) -> bytes:
    """Return the publish_time field of a PubsubMessage; the same bytes serve a whole request."""
    time = Timestamp(seconds=int(now_s), nanos=int(now_s % 1 * 1e9))
    body: bytes = time.SerializeToString()
    return _PUBLISH_TIME + varint(len(body)) + body


def frame(body: bytes, message_id: int, time_field: bytes) -> bytes:
    """Return the `message` field of a ReceivedMessage: a serialised PubsubMessage with its id and time appended."""
    full = b"%b\x1a\x10%016d%b" % (body, message_id, time_field)
    return b"".join((_MESSAGE, varint(len(full)), full))


def unframe(framed: bytes) -> Any:
    """Return the PubsubMessage of a frame."""
    return types.ReceivedMessage.pb().FromString(framed).message


def received(ack_id: str, attempt: int, framed: bytes) -> bytes:
    """Return one received_messages element; an `attempt` of 0 is left out, as in proto3."""
    head = b"\x0a\x10" + ack_id.encode()
    tail = _DELIVERY_ATTEMPT + varint(attempt) if attempt else b""
    size = varint(len(head) + len(framed) + len(tail))
    return b"".join((_RECEIVED_MESSAGES, size, head, framed, tail))


def response(deliveries: Iterable[tuple[str, int, bytes]]) -> bytes:
    """Return a PullResponse, or equally a StreamingPullResponse, of (ack id, attempt, frame) triples."""
    return b"".join([received(*delivery) for delivery in deliveries])
