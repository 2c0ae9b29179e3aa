"""What the service is told: one frozen value."""

from dataclasses import dataclass

from features.usecase import UseCase
from serving.issuers import is_public, is_safe


@dataclass(frozen=True)
class Access:
    """Which callers are let in: those with a token of this OpenID Connect provider, made for this audience.

    A caller is named by verified e-mail address or by subject. These are two lists, because providers let their users
    choose subjects or unverified addresses that look like somebody else's address. Both lists empty: every caller of
    the issuer. Raises ValueError for an issuer without TLS, and for a public issuer if no caller is named.
    """

    issuer: str  # URL, as in the tokens' `iss`
    audience: str
    emails: frozenset[str] = frozenset()
    subjects: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not is_safe(self.issuer):
            raise ValueError(f"found issuer {self.issuer!r}, expected an https:// URL")
        if is_public(self.issuer) and not self.emails and not self.subjects:
            raise ValueError(
                f"anybody can get a token of {self.issuer}: name the callers by e-mail address or by subject"
            )


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
