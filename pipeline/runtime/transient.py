"""Errors that pass: the one table of types after which the same call may succeed."""

import grpc
from google.api_core import exceptions

from features.errors import Unavailable

TRANSIENT: tuple[type[Exception], ...] = (
    Unavailable,
    exceptions.ServiceUnavailable,
    exceptions.BadGateway,
    exceptions.DeadlineExceeded,
    exceptions.InternalServerError,
    exceptions.Unknown,  # what a server answers that dies while it works
    exceptions.Aborted,
    exceptions.Cancelled,
    exceptions.ResourceExhausted,  # a quota per minute
    exceptions.RetryError,  # the client library gave up waiting
)


def is_transient(error: BaseException) -> bool:
    """Return whether waiting helps against an error of ours, of a Google client or of plain gRPC.

    Every other error would be the same next time.
    """
    known = exceptions.from_grpc_error(error) if isinstance(error, grpc.RpcError) else error
    return isinstance(known, TRANSIENT)
