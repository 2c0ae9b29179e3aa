"""Telling somebody how a retraining ended: one POST of JSON to a webhook, tried a few times."""

import json
import time
from collections.abc import Mapping
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from features.errors import Unavailable

TIMEOUT_S = 10.0
PAUSES_S = (0.0, 1.0, 5.0)  # before each attempt
PASSING = {408, 425, 429, 500, 502, 503, 504}  # HTTP answers against which waiting helps


class NotNotified(Unavailable):
    """The webhook did not take the message. What the message is about is done all the same."""


def check(url: str) -> None:
    """Raises ValueError unless `url` can be a webhook."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not a URL such as https://example.com/hooks/riskstream")


def notify(url: str, message: Mapping[str, object]) -> None:
    """Posts `message` as JSON. Raises NotNotified after the last attempt, or when the answer will not change."""
    body = json.dumps(message).encode()
    request = Request(url, body, {"Content-Type": "application/json"}, method="POST")
    last: Exception | None = None
    for pause_s in PAUSES_S:
        time.sleep(pause_s)
        try:
            with urlopen(request, timeout=TIMEOUT_S):
                return
        except HTTPError as error:
            last = error
            if error.code not in PASSING:
                break
        except (URLError, TimeoutError, ConnectionError) as error:
            last = error
    raise NotNotified(f"{url} did not take the message: {last}")
