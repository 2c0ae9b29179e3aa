"""A BigQuery whose appends are slow or refused: a gRPC server in front of another one, bytes in and bytes out.

Answers of one stream are delayed side by side, as by a distant server. The server behind never sees what is refused.
"""

import os
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc

from pipeline.bigquery.client import STORAGE_EMULATOR

APPEND = "/google.cloud.bigquery.storage.v1.BigQueryWrite/AppendRows"
READ = "/google.cloud.bigquery.storage.v1.BigQueryRead/ReadRows"
STREAMS = 256  # open at a time; each holds a thread
UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
END = object()


class SlowBigQuery(grpc.GenericRpcHandler):
    """Append through here with `delay_s` seconds before each answer; `refusal`, if set, answers instead."""

    def __init__(self, address: str, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.refusal: grpc.StatusCode | None = None
        self.appends = self.refused = 0
        self._channel = grpc.insecure_channel(address, options=UNLIMITED)
        self._server = grpc.server(ThreadPoolExecutor(STREAMS), handlers=[self], options=UNLIMITED)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """Return the handler of a method: appends are delayed, all else passes."""
        name = details.method
        if name == APPEND:
            return grpc.stream_stream_rpc_method_handler(self._append)
        if name == READ:
            stream = self._channel.unary_stream(name)
            return grpc.unary_stream_rpc_method_handler(lambda request, _: stream(request))
        single = self._channel.unary_unary(name)
        return grpc.unary_unary_rpc_method_handler(lambda request, _: single(request))

    def close(self) -> None:
        """End all calls."""
        self._server.stop(None)
        self._channel.close()

    def _append(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        answers: queue.SimpleQueue[tuple[float, object]] = queue.SimpleQueue()
        refused = threading.Event()

        def accepted() -> Iterator[bytes]:
            for request in requests:
                if self.refusal:
                    self.refused += 1
                    refused.set()
                    return
                self.appends += 1
                yield request

        def receive() -> None:
            try:
                for answer in self._channel.stream_stream(APPEND)(accepted(), metadata=route(context)):
                    answers.put((time.monotonic() + self.delay_s, answer))
            except grpc.RpcError as error:
                answers.put((0.0, error))
            answers.put((0.0, END))

        threading.Thread(target=receive, daemon=True).start()
        while True:
            due_s, answer = answers.get()
            if answer is END:
                break
            if isinstance(answer, grpc.RpcError):
                context.abort(answer.code(), answer.details())
            time.sleep(max(0.0, due_s - time.monotonic()))
            yield answer
        if refused.is_set():
            context.abort(self.refusal or grpc.StatusCode.RESOURCE_EXHAUSTED, "the quota is used up")


def route(context: grpc.ServicerContext) -> list[tuple[str, str]]:
    """Return the header by which the server behind routes a call."""
    return [(key, value) for key, value in context.invocation_metadata() if key == "x-goog-request-params"]


@contextmanager
def slow_bigquery(
    delay_s: float = 0.0, environment: Mapping[str, str] = os.environ
) -> Iterator[SlowBigQuery]:
    """Serve in front of the environment's BigQuery. Set STORAGE_EMULATOR to its address for whom it is to be slow."""
    proxy = SlowBigQuery(environment[STORAGE_EMULATOR], delay_s)
    try:
        yield proxy
    finally:
        proxy.close()
