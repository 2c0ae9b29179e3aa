"""Messages published at a pace while something else goes on."""

import time
from collections.abc import Sequence

from pipeline.pubsub.client import Publication
from pipeline.pubsub.ordered_publisher import Lanes

SLICE_S = 0.05


def publish_over(lanes: Lanes, messages: Sequence[Publication], seconds: float) -> None:
    """Publish in order, at an even pace; the last messages may still be under way when it returns.

    Raises PubSubRefused.
    """
    began_s, done = time.monotonic(), 0
    while done < len(messages):
        share = min(1.0, (time.monotonic() - began_s) / seconds) if seconds else 1.0
        due = max(done, round(share * len(messages)))
        lanes.put(0, messages[done:due])
        done = due
        time.sleep(SLICE_S if done < len(messages) else 0)
