"""Throughput and latency of the embedded Pub/Sub server, in a process of its own, through the real client.

Run `python tests/benchmarks/bench_pubsub_server.py [MESSAGES]`. Messages have 250 bytes and two attributes.
Figures are of one run on a shared machine: compare them only with figures of the same minute.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from google.cloud import pubsub_v1
from google.pubsub_v1 import types

TOPIC = "projects/bench/topics/events"
SUBSCRIPTION = "projects/bench/subscriptions/events"
BATCH = 1_000
WAKE_UPS = 1_000
ROOT = Path(__file__).parents[2]
BODY = b'{"event_id":"0123456789abcdef"}'.ljust(250, b".")


@contextmanager
def server_process() -> Iterator[str]:
    """The server's address; it runs until the block ends."""
    command = [sys.executable, "-m", "deploy.local.pubsub"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


class Raw:
    """The low-level calls: protobuf in, protobuf out, none of the client's wrapping, retries or batching."""

    def __init__(self, publisher: Any, subscriber: Any) -> None:
        self.publish = _call(publisher.transport.grpc_channel, "Publisher/Publish", types.PublishRequest)
        channel = subscriber.transport.grpc_channel
        pull = channel.unary_unary(
            "/google.pubsub.v1.Subscriber/Pull",
            types.PullRequest.pb().SerializeToString,
            types.PullResponse.pb().FromString,
        )
        request = types.PullRequest.pb()(subscription=SUBSCRIPTION, max_messages=BATCH)
        self.pull: Callable[[], Any] = lambda: pull(request, timeout=30)
        self.ack = _call(channel, "Subscriber/Acknowledge", types.AcknowledgeRequest)


def _call(channel: Any, method: str, request_type: Any) -> Any:
    return channel.unary_unary(
        f"/google.pubsub.v1.{method}", request_type.pb().SerializeToString, lambda raw: raw
    )


def publish_request(size: int) -> Any:
    message = types.PubsubMessage.pb()
    attributes = {"event_id": "0123456789abcdef", "event_time": "2024-01-01T00:00:00Z"}
    return types.PublishRequest.pb()(topic=TOPIC, messages=[message(data=BODY, attributes=attributes)] * size)


def publish_low_level(raw: Raw, messages: int) -> float:
    request = publish_request(BATCH)
    start = time.perf_counter()
    for _ in range(messages // BATCH):
        raw.publish(request)
    return messages / (time.perf_counter() - start)


def ack_request(response: Any) -> Any:
    ack_ids = [received.ack_id for received in response.received_messages]
    return types.AcknowledgeRequest.pb()(subscription=SUBSCRIPTION, ack_ids=ack_ids)


def pull_and_ack(raw: Raw, messages: int) -> float:
    start = time.perf_counter()
    pulled = 0
    while pulled < messages:
        request = ack_request(raw.pull())
        raw.ack(request)
        pulled += len(request.ack_ids)
    return messages / (time.perf_counter() - start)


def publish_through_client(publisher: Any, messages: int) -> float:
    start = time.perf_counter()
    futures = [publisher.publish(TOPIC, BODY, event_id="0123456789abcdef") for _ in range(messages)]
    for future in futures:
        future.result(60)
    return messages / (time.perf_counter() - start)


def stream_through_client(subscriber: Any, messages: int) -> float:
    done = threading.Event()
    seen = 0

    def receive(message: Any) -> None:
        nonlocal seen
        message.ack()
        seen += 1
        if seen >= messages:
            done.set()

    flow = pubsub_v1.types.FlowControl(max_messages=10_000)
    start = time.perf_counter()
    future = subscriber.subscribe(SUBSCRIPTION, receive, flow_control=flow)
    done.wait(300)
    took_s = time.perf_counter() - start
    future.cancel()
    future.result(30)
    return messages / took_s


def wake_up_ms(raw: Raw) -> list[float]:
    """Milliseconds from before a publish to after the blocked pull that it wakes, sorted."""
    request = publish_request(1)

    def pull_timed() -> tuple[Any, float]:
        return raw.pull(), time.perf_counter()

    waited: list[float] = []
    with ThreadPoolExecutor(1) as pool:
        for _ in range(WAKE_UPS):
            pulling = pool.submit(pull_timed)
            time.sleep(0.003)  # until the pull is blocked at the server
            start = time.perf_counter()
            raw.publish(request)
            response, end = pulling.result()
            waited.append((end - start) * 1e3)
            raw.ack(ack_request(response))
    return sorted(waited)


def report(raw: Raw, publisher: Any, subscriber: Any, messages: int) -> None:
    waits = wake_up_ms(raw)
    print(
        f"wake-up of a blocked pull: p50 {waits[len(waits) // 2]:.2f} ms, p99 {waits[len(waits) * 99 // 100]:.2f} ms"
    )
    print(f"published, low-level, batches of {BATCH}: {publish_low_level(raw, messages):,.0f}/s")
    print(f"pulled and acknowledged, low-level: {pull_and_ack(raw, messages):,.0f}/s")
    print(f"published through the client: {publish_through_client(publisher, messages // 4):,.0f}/s")
    print(
        f"streamed and acknowledged through the client: {stream_through_client(subscriber, messages // 4):,.0f}/s"
    )


def main(messages: int = 200_000) -> None:
    """Start a server, measure it, print a line a figure. `messages` is a multiple of the batch."""
    with server_process() as address:
        os.environ["PUBSUB_EMULATOR_HOST"] = address
        publisher = pubsub_v1.PublisherClient(
            pubsub_v1.types.BatchSettings(max_messages=BATCH, max_latency=0.01)
        )
        subscriber = pubsub_v1.SubscriberClient()
        publisher.create_topic(name=TOPIC)
        subscriber.create_subscription(name=SUBSCRIPTION, topic=TOPIC, ack_deadline_seconds=600)
        report(Raw(publisher, subscriber), publisher, subscriber, messages)
        subscriber.close()


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
