"""Publish to alert on one machine: Pub/Sub, the job as a process, Redis and BigQuery, all of them of the local stack.

Events are due at a fixed rate, in a burst every TICK_S, whatever the servers do. An event's clock runs from the
moment at which its burst was due until this process holds its alert, so a publisher that falls behind counts against
the figure. The `hop` rows say what one topic of the local Pub/Sub server takes between this publisher and this
follower without a job; an alert has crossed two topics.
"""

import gc
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from deploy.local import stack
from pipeline.pubsub.client import Publication, Publisher, Subscription
from pipeline.runtime.errors import PubSubUnavailable
from pipeline.runtime.process_tuning import tune_process
from tests.benchmarks.report import Row, medians
from tests.benchmarks.whole_way import (
    WARM_EVENTS,
    Place,
    check_rows,
    forget_servers,
    job,
    prepared,
    publications,
    publish,
    undelivered,
    use,
    worked_off,
)

RATES_PER_S = (1_000, 5_000)
RUNS = 5  # at each rate
SETTLE_S, STEADY_S = 2, 12  # the first seconds of a run are not counted
TICK_S = 0.005
PUBLISHING_THREADS = 8  # bursts under way: a call that takes longer than a tick delays no other
HOP_RATE_PER_S, HOP_S = 1_000, 5
ACKNOWLEDGE_S = 0.5  # between two acknowledgements of alerts: one after every pull would delay the next pull
LAST_ALERTS_S = 10.0  # the longest wait for them
FEWEST_ALERTS = 500  # of a run, or its 99th percentile says nothing

Seen = dict[str, int]  # when an alert arrived (ns since 1970), by event id


class Sent(NamedTuple):
    """Due times of the counted events (ns since 1970), by event id, and the lateness of each burst."""

    due_ns: dict[str, int]
    late_ms: NDArray[np.float64]


def latency(_events: int) -> list[Row]:
    """Measure all rates, each RUNS times, with one job."""
    n = sum(RATES_PER_S) * (SETTLE_S + STEADY_S) * RUNS
    forget_servers()
    with tempfile.TemporaryDirectory() as root, stack.running(Path(root) / "stack") as up:
        use(up)
        place, history = prepared(Path(root), WARM_EVENTS + n)
        messages = publications(history)
        publisher = Publisher()
        publish(publisher, place, messages[:WARM_EVENTS])
        with job(place), following(place) as seen:
            worked_off(place, WARM_EVENTS)
            tune_process()
            rows = hop(publisher, place, seen)
            at = WARM_EVENTS
            for rate_per_s in RATES_PER_S:
                size = rate_per_s * (SETTLE_S + STEADY_S)
                parts = [messages[at + i * size : at + (i + 1) * size] for i in range(RUNS)]
                rows += medians([run(publisher, place, part, rate_per_s, seen) for part in parts])
                at += RUNS * size
            worked_off(place, at)
        check_rows(len(messages))
        publisher.close()
    return rows


@contextmanager
def following(place: Place) -> Iterator[Seen]:
    """Follow the alerts in a thread, and yield when each one arrived."""
    seen: Seen = {}
    source = Subscription(place.names.reader(place.names.alerts))
    ended = threading.Event()
    thread = threading.Thread(target=follow, args=(source, seen, ended))
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        source.close()  # ends the pull
        thread.join()


def follow(source: Subscription, seen: Seen, ended: threading.Event) -> None:
    """Note the first arrival of each alert until the end; what was not acknowledged by then stays."""
    ack_ids: list[str] = []
    acknowledged_s = time.monotonic()
    pull = source.pulling()
    while not ended.is_set():
        try:
            received = source.received(pull)
        except PubSubUnavailable:
            if ended.is_set():
                return
            raise
        now_ns = time.time_ns()
        pull = source.pulling()
        for one in received:
            seen.setdefault(msgspec.json.decode(one.message.data)["event_id"], now_ns)
            ack_ids.append(one.ack_id)
        if time.monotonic() > acknowledged_s + ACKNOWLEDGE_S:
            source.acknowledge(ack_ids)
            ack_ids, acknowledged_s = [], time.monotonic()


def hop(publisher: Publisher, place: Place, seen: Seen) -> list[Row]:
    """Measure one topic: messages that look like alerts, published to the topic of alerts."""
    messages = [
        Publication(msgspec.json.encode({"event_id": f"hop-{i}"}), {"event_id": f"hop-{i}"})
        for i in range(HOP_RATE_PER_S * (SETTLE_S + HOP_S))
    ]
    sent = steadily(publisher, place.names.alerts, messages, HOP_RATE_PER_S)
    time.sleep(1.0)
    spent_ms = np.array([(seen[id] - due_ns) / 1e6 for id, due_ns in sent.due_ns.items()])
    setting = f"one topic, publisher to follower, {HOP_RATE_PER_S:,}/s for {HOP_S} s, no job in between"
    return _percentiles("latency_hop", spent_ms, setting)


def run(
    publisher: Publisher, place: Place, messages: Sequence[Publication], rate_per_s: int, seen: Seen
) -> list[Row]:
    """Measure one run at one rate."""
    gc.collect()
    gc.freeze()  # looking through the messages of this process would stop its clock for a second
    sent = steadily(publisher, place.names.events, messages, rate_per_s)
    until_s, alerts = time.monotonic() + LAST_ALERTS_S, -1
    while time.monotonic() < until_s and (undelivered() or alerts < len(seen)):
        alerts = len(seen)
        time.sleep(0.5)
    spent_ms = np.array([(seen[id] - due_ns) / 1e6 for id, due_ns in sent.due_ns.items() if id in seen])
    assert len(spent_ms) >= FEWEST_ALERTS, f"only {len(spent_ms)} alerts for {len(sent.due_ns):,} events"
    setting = (
        f"publish to alert, {rate_per_s:,} events/s for {STEADY_S} s in bursts every {TICK_S * 1e3:g} ms, "
        f"{len(spent_ms):,} alerts; the same machine publishes and receives; largest {spent_ms.max():.0f} ms, "
        f"publisher late by {np.percentile(sent.late_ms, 99):.1f} ms (p99)"
    )
    rows = _percentiles(f"latency_{rate_per_s}", spent_ms, setting)
    print(f"latency: {', '.join(f'{row.name} {row.value:.1f}' for row in rows)}; {setting}", flush=True)
    return rows


def steadily(publisher: Publisher, topic: str, messages: Sequence[Publication], rate_per_s: int) -> Sent:
    """Publish each burst when it is due; the events of the first seconds are not counted."""
    due_ns: dict[str, int] = {}
    late_ms: list[float] = []
    size = round(rate_per_s * TICK_S)
    with ThreadPoolExecutor(PUBLISHING_THREADS) as pool:
        began_ns, calls = time.time_ns(), []
        for i, first in enumerate(range(0, len(messages), size)):
            at_ns = began_ns + round(i * TICK_S * 1e9)
            time.sleep(max(0.0, (at_ns - time.time_ns()) / 1e9))
            burst = messages[first : first + size]
            if first >= SETTLE_S * rate_per_s:
                late_ms.append((time.time_ns() - at_ns) / 1e6)
                due_ns.update((message.attributes["event_id"], at_ns) for message in burst)
            calls.append(pool.submit(publisher.publish, topic, burst))
        for call in calls:
            call.result()
    return Sent(due_ns, np.array(late_ms))


def _percentiles(name: str, spent_ms: NDArray[np.float64], setting: str) -> list[Row]:
    return [Row(f"{name}_p{p}_ms", float(np.percentile(spent_ms, p)), "ms", setting) for p in (50, 99)]
