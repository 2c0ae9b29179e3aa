"""The alerts of the demo, collected in the background from a separate subscription.

The time from event to alert is the difference of two publish times that the same server took, so it does not depend
on when an alert is pulled.
"""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import msgspec

from pipeline.outputs.publications import Alert
from pipeline.pubsub.client import Received, Subscription
from pipeline.pubsub.reading import pull_within
from pipeline.runtime.errors import PubSubUnavailable

POLL_S = 0.25


@dataclass(frozen=True)
class ReceivedAlert:
    """An alert at its first delivery."""

    alert: Alert
    kind: str
    after_ms: float  # since the event was published


@dataclass
class Alerts:
    """All alerts so far, each once, in order of arrival."""

    by_id: dict[str, ReceivedAlert] = field(default_factory=dict)

    def add(self, one: Received) -> None:
        """Keep an alert, unless it is here already."""
        message = one.message
        alert = msgspec.json.decode(message.data, type=Alert)
        after_ms = (message.publish_us - int(message.attributes["published_us"])) / 1_000
        kind = alert.transition or f"{alert.level_before} to {alert.level}"
        self.by_id.setdefault(message.attributes["id"], ReceivedAlert(alert, kind, after_ms))

    def latest(self, count: int) -> list[ReceivedAlert]:
        """Return the last alerts, the latest last."""
        return list(self.by_id.values())[-count:]

    @property
    def kinds(self) -> Mapping[str, int]:
        """Return the number of alerts by kind, the most frequent first."""
        return dict(Counter(seen.kind for seen in list(self.by_id.values())).most_common())


@contextmanager
def collecting(path: str) -> Iterator[Alerts]:
    """Collect alerts from a subscription for as long as the block lasts."""
    alerts, ended = Alerts(), threading.Event()
    thread = threading.Thread(target=_collect, args=(path, alerts, ended), name="alerts", daemon=True)
    thread.start()
    try:
        yield alerts
    finally:
        ended.set()
        thread.join()


def _collect(path: str, alerts: Alerts, ended: threading.Event) -> None:
    with closing(Subscription(path)) as source:
        while not ended.is_set():
            try:
                received = pull_within(source, POLL_S)
                for one in received:
                    alerts.add(one)
                source.acknowledge([one.ack_id for one in received])
            except PubSubUnavailable:
                ended.wait(POLL_S)  # the stack is going down
