"""The embedded server: the two Pub/Sub services and a private one for figures, on one loopback port.

`serve()` starts it in this process, `python -m deploy.local.pubsub` in a separate one. Nothing is kept on disk: topics,
subscriptions and messages end with the server.
"""

import concurrent.futures
import json
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import grpc
from google.pubsub_v1 import types

from . import publisher, subscriber
from .engine import SharedBroker
from .resources import CallRefused
from .streaming import streaming_pull

# A blocked pull or an open stream holds a thread; threads are only made when they are needed.
MAX_CONCURRENT_CALLS = 1_000
STOP_GRACE_S = 1.0
# Well above the service's own limit of 10 MB, so that a request too large is refused with its reason.
MAX_REQUEST_BYTES = 64 << 20
OPTIONS = (
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # two servers on one port would share its calls at random
)
STATS_METHOD = "/riskstream.local.Stats/Get"


class PubSubServer:
    """A running server; a context manager that stops it."""

    def __init__(self, host: str, port: int) -> None:
        self._engine = SharedBroker()
        self._threads = concurrent.futures.ThreadPoolExecutor(MAX_CONCURRENT_CALLS, "pubsub-call")
        self._server = grpc.server(self._threads, handlers=_handlers(self._engine), options=OPTIONS)
        self.port: int = self._server.add_insecure_port(f"{host}:{port}")
        self.address = f"{host}:{self.port}"
        self._server.start()

    def stop(self) -> None:
        """End all calls and wait until every thread is gone; safe to call twice."""
        self._engine.close()
        self._server.stop(STOP_GRACE_S).wait()
        self._threads.shutdown(wait=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def serve(host: str = "127.0.0.1", port: int = 0) -> PubSubServer:
    """Start a server in this process; port 0 takes a free one. Raises RuntimeError if the port is taken."""
    return PubSubServer(host, port)


def stats(address: str, timeout_s: float = 10.0) -> dict[str, dict[str, float]]:
    """Return the backlog by subscription: num_undelivered_messages, num_outstanding_messages, oldest_unacked_age_s.

    These figures are not part of the Pub/Sub API. The service gives them through Cloud Monitoring, under the first and
    the third name; the first counts messages that are out too, here as there. Raises grpc.RpcError.
    """
    with grpc.insecure_channel(address) as channel:
        figures: dict[str, dict[str, float]] = json.loads(
            channel.unary_unary(STATS_METHOD)(b"", timeout=timeout_s)
        )
    return figures


def _handlers(engine: SharedBroker) -> list[Any]:
    stream = grpc.stream_stream_rpc_method_handler(
        _answering_stream(engine), types.StreamingPullRequest.pb().FromString, _to_bytes
    )
    services = {
        "google.pubsub.v1.Publisher": _unary_handlers(engine, publisher.METHODS),
        "google.pubsub.v1.Subscriber": _unary_handlers(engine, subscriber.METHODS)
        | {"StreamingPull": stream},
        "riskstream.local.Stats": _unary_handlers(engine, {"Get": (None, _figures)}),
    }
    return [grpc.method_handlers_generic_handler(name, methods) for name, methods in services.items()]


def _unary_handlers(engine: SharedBroker, methods: dict[str, tuple[Any, Any]]) -> dict[str, Any]:
    return {
        name: grpc.unary_unary_rpc_method_handler(
            _answering(engine, function), request_type and request_type.FromString, _to_bytes
        )
        for name, (request_type, function) in methods.items()
    }


def _answering(
    engine: SharedBroker, function: Callable[[SharedBroker, Any, Any], Any]
) -> Callable[[Any, Any], Any]:
    """Return a gRPC handler that turns a refusal into the status of the call."""

    def answer(request: Any, context: Any) -> Any:
        try:
            return function(engine, request, context)
        except CallRefused as refusal:
            context.abort(grpc.StatusCode[refusal.status], refusal.reason)

    return answer


def _answering_stream(engine: SharedBroker) -> Callable[[Iterator[Any], Any], Iterator[bytes]]:
    def answer(requests: Iterator[Any], context: Any) -> Iterator[bytes]:
        try:
            yield from streaming_pull(engine, requests, context)
        except CallRefused as refusal:
            context.abort(grpc.StatusCode[refusal.status], refusal.reason)

    return answer


def _figures(engine: SharedBroker, request: bytes, context: Any) -> bytes:
    with engine.open() as broker:
        return json.dumps(broker.figures(engine.now_s())).encode()


def _to_bytes(response: Any) -> bytes:
    serialised: bytes = response if isinstance(response, bytes) else response.SerializeToString()
    return serialised
