"""What the service is told: one frozen value."""

from dataclasses import dataclass

from features.usecase import UseCase


@dataclass(frozen=True)
class Access:
    """Who may ask: bearer tokens of an OpenID Connect provider, for this audience, of these callers (empty: all)."""

    issuer: str  # URL
    audience: str
    callers: frozenset[str] = frozenset()  # e-mail address or subject


@dataclass(frozen=True)
class Settings:
    """The topic may be a short name or a whole path. `redis_secret` names the password in Secret Manager."""

    use_case: UseCase
    bundle: str
    redis_url: str
    project: str
    topic: str
    redis_secret: str = ""
    redis_ca_file: str | None = None
    redis_cluster: bool = False
    prefix: str = "riskstream"
    host: str = "127.0.0.1"
    port: int = 8080
    root_path: str = ""  # what a gateway takes off the path before the request comes here
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None
    access: Access | None = None  # None: everybody who can reach the port
    most_in_flight: int = 256
    cold: bool = False
