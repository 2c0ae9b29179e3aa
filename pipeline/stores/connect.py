"""Redis as it is told, opened with a password out of Secret Manager where there is one.

The password is never part of a job, which is stored with the pipeline: only the secret's name is.
"""

import logging
import os
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from typing import Protocol
from urllib.parse import quote, urlsplit

from google.api_core.exceptions import GoogleAPIError
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.cloud.secretmanager_v1 import SecretManagerServiceClient

from features.usecase import UseCase
from pipeline.runtime.errors import StoreUnavailable
from pipeline.stores.guard import Guard
from pipeline.stores.guarded_store import GuardedStore
from pipeline.stores.readiness import COLD, Warmth
from pipeline.stores.redis_store import RedisStore

EMULATOR = "SECRET_MANAGER_EMULATOR_HOST"  # URL of a local server; the name is ours, Google has none
TIMEOUT_S = 5.0

logger = logging.getLogger(__name__)


class Place(Protocol):
    """What says where Redis is: a job's settings, or the service's."""

    @property
    def redis_url(self) -> str: ...
    @property
    def redis_secret(self) -> str: ...
    @property
    def redis_ca_file(self) -> str | None: ...
    @property
    def redis_cluster(self) -> bool: ...
    @property
    def redis_cert_file(self) -> str | None: ...
    @property
    def redis_key_file(self) -> str | None: ...
    @property
    def redis_replicas(self) -> int: ...
    @property
    def prefix(self) -> str: ...


def store_of(place: Place) -> RedisStore:
    """Raises StoreUnavailable when the password cannot be had."""
    url = place.redis_url
    if place.redis_secret:
        url = with_password(url, password(place.redis_secret))
    return RedisStore(
        url,
        place.redis_ca_file,
        place.redis_cluster,
        place.redis_cert_file,
        place.redis_key_file,
        place.redis_replicas,
    )


def guarded_store_of(
    place: Place, use_case: UseCase, kind: str, undelivered: Callable[[], int] = lambda: 0
) -> GuardedStore:
    """The store for a process that assesses; `kind` and `undelivered` as in Guard. Raises StoreUnavailable."""
    store = store_of(place)
    return GuardedStore(store, Guard(store, use_case, place.prefix, kind, undelivered=undelivered))


def cold_since_us(place: Place, use_case: UseCase) -> int | None:
    """When a job began on this store with nothing in it; None if it was filled, or if that cannot be told now."""
    try:
        with closing(store_of(place)) as store:
            marker = Warmth(store, place.prefix, use_case.name).markers().get(use_case.fingerprint)
    except StoreUnavailable as error:
        logger.info("whether the store began empty: %s", error)
        return None
    is_cold = marker is not None and marker.how == COLD
    return round(datetime.fromisoformat(marker.at).timestamp() * 1e6) if marker and is_cold else None


def with_password(url: str, password: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f":{quote(password, safe='')}@{parts.netloc.rpartition('@')[2]}").geturl()


def password(secret: str) -> str:
    """The secret's latest version, or the one it names. Raises StoreUnavailable."""
    name = secret if "/versions/" in secret else f"{secret}/versions/latest"
    try:
        with _client() as client:
            found = client.access_secret_version(name=name, retry=None, timeout=TIMEOUT_S)
    except (GoogleAPIError, GoogleAuthError) as error:
        raise StoreUnavailable(f"the password of Redis, {name}: {error}") from error
    return found.payload.data.decode().strip()


def _client() -> SecretManagerServiceClient:
    url = os.environ.get(EMULATOR)
    if not url:
        return SecretManagerServiceClient()
    return SecretManagerServiceClient(
        credentials=AnonymousCredentials(), transport="rest", client_options={"api_endpoint": url}
    )
