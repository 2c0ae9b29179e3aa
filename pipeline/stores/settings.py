"""Settings of Redis: how to reach it, and what whoever writes records there demands of it."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pipeline.runtime.settings import Rules, Setting

REDIS_URL = Setting(
    help="The address of Redis: redis://HOST:PORT, or rediss://HOST:PORT for TLS.", variable="REDIS_URL"
)
CA_FILE = Setting(help="Trust this certificate authority of Redis (PEM, local or gs://).")
CERT_FILE = Setting(help="Present this client certificate to Redis (PEM, local or gs://).")
KEY_FILE = Setting(help="The key of the client certificate (PEM, local or gs://).")
SECRET = Setting(
    help="The secret with the password of Redis, projects/PROJECT/secrets/NAME; it is read at the start.",
    variable="RISKSTREAM_REDIS_SECRET",
    expected="projects/PROJECT/secrets/NAME, a version may follow",
    pattern=r"projects/[^/]+/secrets/[^/]+(/versions/[^/]+)?",
)
PREFIX = Setting(help="The prefix of all keys in Redis.", expected="text without blanks", pattern=r"\S+")


@dataclass(frozen=True, kw_only=True)
class RedisSettings:
    """The address of the records. A password is in the URL, or in a secret that is named."""

    RULES: ClassVar[Rules] = (
        (
            lambda redis: not redis.redis_ca_file or redis.redis_url.startswith("rediss:"),
            "--redis-ca-file: a certificate authority is given, expected --redis-url rediss://HOST:PORT",
        ),
        (
            lambda redis: bool(redis.redis_cert_file) == bool(redis.redis_key_file),
            "--redis-cert-file, --redis-key-file: expected both, or neither",
        ),
        (
            lambda redis: not redis.redis_cert_file or redis.redis_url.startswith("rediss:"),
            "--redis-cert-file: a certificate is given, expected --redis-url rediss://HOST:PORT",
        ),
        (
            lambda redis: not redis.redis_secret or redis.redis_url.startswith("rediss:"),
            "--redis-secret: a password would travel in clear text, expected --redis-url rediss://HOST:PORT",
        ),
    )

    redis_url: Annotated[str, REDIS_URL]
    redis_secret: Annotated[str, SECRET] = ""
    redis_ca_file: Annotated[str, CA_FILE] = ""
    redis_cert_file: Annotated[str, CERT_FILE] = ""
    redis_key_file: Annotated[str, KEY_FILE] = ""
    redis_cluster: Annotated[bool, Setting(help="Redis is a cluster.")] = False
    prefix: Annotated[str, PREFIX] = "riskstream"


@dataclass(frozen=True, kw_only=True)
class RedisWriterSettings(RedisSettings):
    """The address of the records, for programs that assess events."""

    redis_replicas: Annotated[
        int, Setting(help="How many replicas must have a commit before it counts (WAIT).", least=0, most=5)
    ] = 0
    allow_eviction: Annotated[
        bool, Setting(help="Start although Redis may drop records when it is full.")
    ] = False
