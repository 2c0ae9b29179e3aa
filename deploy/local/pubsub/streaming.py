"""StreamingPull: one thread reads the client's requests, the thread of the RPC sends messages.

The stream's window (max_outstanding_messages and _bytes) holds messages back at the server. Messages that were sent
on a stream stay leased when it ends, until they are acknowledged elsewhere or their deadline passes.
"""

import threading
from collections.abc import Iterator
from typing import Any

import grpc

from . import wire
from .engine import SharedBroker
from .leases import FlowWindow
from .resources import ACK_DEADLINE_S, MAX_PULL_MESSAGES, CallRefused, check_between, check_name, invalid
from .subscription import Delivery


def streaming_pull(engine: SharedBroker, requests: Iterator[Any], context: Any) -> Iterator[bytes]:
    """Yield serialised StreamingPullResponses until the client or the server ends the stream."""
    first = next(requests, None)
    if first is None:
        return
    stream = PullStream(engine, first)
    context.add_callback(stream.end)
    threading.Thread(target=stream.read, args=(requests,), name="pubsub-stream", daemon=True).start()
    while deliveries := stream.next_deliveries():
        yield wire.response(deliveries)


class PullStream:
    """One open StreamingPull."""

    def __init__(self, engine: SharedBroker, first: Any) -> None:
        check_name("subscriptions", first.subscription)
        check_between("stream_ack_deadline_seconds", first.stream_ack_deadline_seconds, ACK_DEADLINE_S)
        self._engine = engine
        self._subscription = first.subscription
        self._deadline_s = first.stream_ack_deadline_seconds
        self._window = FlowWindow(first.max_outstanding_messages, first.max_outstanding_bytes)
        self._has_ended = False
        self._refusal: CallRefused | None = None
        self._apply(first)

    def next_deliveries(self) -> list[Delivery]:
        """Wait for messages that fit into the window; return none once the stream has ended."""
        with self._engine.open() as broker:
            while not self._is_over():
                deliveries = []
                if self._window.is_open:
                    deliveries = broker.deliver(
                        self._subscription,
                        MAX_PULL_MESSAGES,
                        self._engine.now_s(),
                        self._deadline_s,
                        self._window,
                    )
                if deliveries:
                    return deliveries
                broker.subscription(self._subscription)  # gone while the window was shut?
                self._engine.wait(self._subscription)
        return []

    def read(self, requests: Iterator[Any]) -> None:
        """Follow the client until it closes its side, disconnects or makes a wrong request."""
        try:
            for request in requests:
                self._check_later(request)
                self._apply(request)
        except CallRefused as refusal:
            self._refusal = refusal
        except grpc.RpcError:
            pass  # how gRPC says that the client has left without closing its side
        self.end()

    def end(self) -> None:
        """End the stream."""
        self._has_ended = True
        self._engine.wake(self._subscription)

    def _is_over(self) -> bool:
        if self._refusal is not None:
            raise self._refusal
        if self._engine.is_closing:
            raise CallRefused("UNAVAILABLE", "The local Pub/Sub server is stopping.")
        return self._has_ended

    def _check_later(self, request: Any) -> None:
        for field in ("subscription", "client_id", "max_outstanding_messages", "max_outstanding_bytes"):
            if getattr(request, field):
                raise invalid(f"{field} may only be set in the first request of a stream.")
        if request.stream_ack_deadline_seconds:
            check_between("stream_ack_deadline_seconds", request.stream_ack_deadline_seconds, ACK_DEADLINE_S)
            self._deadline_s = request.stream_ack_deadline_seconds

    def _apply(self, request: Any) -> None:
        """Acknowledge and extend as the request says."""
        if len(request.modify_deadline_ack_ids) != len(request.modify_deadline_seconds):
            raise invalid("modify_deadline_ack_ids and modify_deadline_seconds differ in length.")
        extensions = zip(request.modify_deadline_ack_ids, request.modify_deadline_seconds, strict=True)
        with self._engine.open() as broker:
            broker.ack(self._subscription, request.ack_ids)
            broker.extend(self._subscription, extensions, self._engine.now_s())
