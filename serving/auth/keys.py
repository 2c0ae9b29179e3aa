"""Public keys with which an issuer signs tokens, kept fresh by a separate thread.

No request with a known key waits for a fetch, however slow the issuer is: there is one fetch at a time, every five
minutes, and earlier when a token names an unknown key. Anybody can make such tokens, so that happens at most once in
half a minute, and only a few of their senders may wait for it.
"""

import asyncio
import json
import logging
import threading
import time
from http.client import HTTPException
from urllib.error import URLError
from urllib.request import urlopen

import jwt

from features.errors import Unavailable
from serving.auth.issuers import is_safe

DISCOVERY = ".well-known/openid-configuration"
TIMEOUT_S = 3.0  # of connecting, and of each read
LONGEST_FETCH_S = 10.0
MOST_BYTES = 1 << 20  # of an issuer's answer; Google's have some thousand
REFRESH_S = 300.0
INTERVAL_S = 30.0  # between fetches, whoever asks for them, and after one that failed
STALE_S = 3_600.0  # tokens live as long: later there are none that the issuer, being away, could have made
WAIT_S, LOOK_S = 1.0, 0.05  # a token with a new key waits this long for it, and looks this often
MOST_WAITING = 16  # such tokens at once; most of them are junk
UNREADABLE = (
    OSError, HTTPException, ValueError, KeyError, TypeError, AttributeError, RecursionError, jwt.PyJWTError,
)  # fmt: skip

logger = logging.getLogger(__name__)


class ProviderUnavailable(Unavailable):
    """The identity provider's keys cannot be fetched now."""


class Keys:
    """Keys of one issuer, by id. Call `start` once; any thread may call any method."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_s = -STALE_S
        self._tried_s = -INTERVAL_S
        self._begun = self._ended = self._waiting = 0  # fetches; tokens that wait for one
        self._wanted, self._closed = threading.Event(), False

    def fetch(self) -> None:
        """Fetch the keys now, in the caller's thread. Raises ProviderUnavailable."""
        self._tried_s = time.monotonic()
        self._begun += 1
        try:
            self._keys = fetched(self._issuer)
            self._fetched_s = time.monotonic()
        finally:
            self._ended += 1

    def start(self) -> None:
        """Keep the keys fresh from now on."""
        threading.Thread(target=self._keep_fresh, name="keys", daemon=True).start()

    def close(self) -> None:
        """End the thread; a fetch that is under way is not waited for."""
        self._closed = True
        self._wanted.set()

    async def key(self, name: str) -> jwt.PyJWK | None:
        """Return the key, or None if the issuer has no such key. Raises ProviderUnavailable."""
        if name not in self._fresh() and self._may_want() and self._waiting < MOST_WAITING:
            await self._next_try()
        return self._fresh().get(name)

    def _fresh(self) -> dict[str, jwt.PyJWK]:
        age_s = time.monotonic() - self._fetched_s
        if age_s < STALE_S:
            return self._keys
        raise ProviderUnavailable(f"the keys of {self._issuer} could not be fetched for {STALE_S:g} s")

    def _may_want(self) -> bool:
        """Return whether a fetch is under way or may begin."""
        if time.monotonic() - self._tried_s >= INTERVAL_S:
            self._wanted.set()
        return self._wanted.is_set() or self._begun > self._ended

    async def _next_try(self) -> None:
        """Wait until a fetch has ended, well or not, or for WAIT_S."""
        ended, until_s = self._ended, time.monotonic() + WAIT_S
        self._waiting += 1
        try:
            while self._ended == ended and time.monotonic() < until_s:
                await asyncio.sleep(LOOK_S)
        finally:
            self._waiting -= 1

    def _keep_fresh(self) -> None:
        pause_s = REFRESH_S if self._keys else 0.0
        while not self._closed:
            self._wanted.wait(pause_s)
            if self._closed:
                return
            try:
                self.fetch()
                pause_s = REFRESH_S
            except ProviderUnavailable as error:
                logger.warning("%s; tried again in %g s", error, INTERVAL_S)
                pause_s = INTERVAL_S
            self._wanted.clear()


def fetched(issuer: str) -> dict[str, jwt.PyJWK]:
    """Fetch the issuer's keys for signatures, by id. Raises ProviderUnavailable."""
    try:
        document = _json(f"{issuer.rstrip('/')}/{DISCOVERY}")
        if document.get("issuer") != issuer:
            raise ValueError(f"it calls itself {document.get('issuer')!r}")
        if not is_safe(str(document["jwks_uri"])):
            raise ValueError(f"found keys at {document['jwks_uri']!r}, expected an https:// URL")
        keys = jwt.PyJWKSet.from_dict(_json(str(document["jwks_uri"]))).keys
    except UNREADABLE as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise ProviderUnavailable(f"the keys of {issuer}: {reason!r}") from error
    return {key.key_id: key for key in keys if key.key_id and key.public_key_use in ("sig", None)}


def _json(url: str) -> dict[str, object]:
    """Fetch a JSON object. Raises OSError, ValueError."""
    until_s, body = time.monotonic() + LONGEST_FETCH_S, bytearray()
    with urlopen(url, timeout=TIMEOUT_S) as answer:  # the issuer is a setting, not the caller's
        while part := answer.read1(65_536):
            body += part
            if len(body) > MOST_BYTES or time.monotonic() > until_s:
                raise OSError(
                    f"{url} answers more than {MOST_BYTES} bytes, or for more than {LONGEST_FETCH_S:g} s"
                )
    document = json.loads(body)
    if not isinstance(document, dict):
        raise ValueError(f"{url} answers no JSON object")
    return document
