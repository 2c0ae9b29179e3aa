"""Stores opened by their settings, with a password out of Secret Manager where one is named.

The password is never part of a job, which is stored with the pipeline: only the secret's name is.
"""

import logging
import os
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from features.usecase import UseCase
from pipeline.runtime.errors import StoreUnavailable
from pipeline.stores.guard import Guard
from pipeline.stores.guarded_store import GuardedStore
from pipeline.stores.readiness import COLD, Readiness
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.settings import RedisSettings, RedisWriterSettings

if TYPE_CHECKING:
    from google.cloud.secretmanager_v1 import SecretManagerServiceClient

EMULATOR = "SECRET_MANAGER_EMULATOR_HOST"  # URL of a local server; the name is ours, Google has none
TIMEOUT_S = 5.0

logger = logging.getLogger(__name__)


def store_of(settings: RedisSettings) -> RedisStore:
    """Return the store, not yet connected. Raises StoreUnavailable when the password cannot be had."""
    url = settings.redis_url
    if settings.redis_secret:
        url = with_password(url, password(settings.redis_secret))
    return RedisStore(
        url,
        settings.redis_ca_file or None,
        settings.redis_cluster,
        settings.redis_cert_file or None,
        settings.redis_key_file or None,
        settings.redis_replicas if isinstance(settings, RedisWriterSettings) else 0,
    )


def guarded_store_of(
    settings: RedisSettings, use_case: UseCase, kind: str, undelivered: Callable[[], int] = lambda: 0
) -> GuardedStore:
    """Return the store of a process that assesses; `kind` and `undelivered` are Guard's. Raises StoreUnavailable."""
    store = store_of(settings)
    return GuardedStore(store, Guard(store, use_case, settings.prefix, kind, undelivered=undelivered))


def cold_since_us(settings: RedisSettings, use_case: UseCase) -> int | None:
    """Return when a job began with this store empty; None if it was filled, or if Redis cannot be asked now."""
    try:
        with closing(store_of(settings)) as store:
            marker = Readiness(store, settings.prefix, use_case.name).markers().get(use_case.fingerprint)
    except StoreUnavailable as error:
        logger.info("whether the store began empty: %s", error)
        return None
    is_cold = marker is not None and marker.how == COLD
    return round(datetime.fromisoformat(marker.at).timestamp() * 1e6) if marker and is_cold else None


def with_password(url: str, password: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f":{quote(password, safe='')}@{parts.netloc.rpartition('@')[2]}").geturl()


def password(secret: str) -> str:
    """Return the latest version of a secret, or the version that it names. Raises StoreUnavailable."""
    from google.api_core.exceptions import GoogleAPIError  # these take most of a second to import
    from google.auth.exceptions import GoogleAuthError

    name = secret if "/versions/" in secret else f"{secret}/versions/latest"
    try:
        with _client() as client:
            answer = client.access_secret_version(name=name, retry=None, timeout=TIMEOUT_S)
    except (GoogleAPIError, GoogleAuthError) as error:
        raise StoreUnavailable(f"the password of Redis, {name}: {error}") from error
    return answer.payload.data.decode().strip()


def _client() -> "SecretManagerServiceClient":
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.secretmanager_v1 import SecretManagerServiceClient

    url = os.environ.get(EMULATOR)
    if not url:
        return SecretManagerServiceClient()
    return SecretManagerServiceClient(
        credentials=AnonymousCredentials(), transport="rest", client_options={"api_endpoint": url}
    )
