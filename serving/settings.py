"""What the service is told: one frozen value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from features.usecase import UseCase
from serving.issuers import is_public, is_safe
from serving.roles import Role

ANONYMOUS = "anonymous"  # the caller of a service without tokens
AUDIT_FOLDER = Path(".riskstream/audit")
AUDIT_BYTES = 128 << 20  # some 500,000 records: over an hour at 100 requests a second; a pod has 512 MiB
Roles = Mapping[str, Role]  # by name


@dataclass(frozen=True)
class Access:
    """Which callers are let in, and as what: those with a token of this OpenID Connect provider for this audience.

    A caller is named by verified e-mail address or by subject. These are two lists, because providers let their users
    choose subjects or unverified addresses that look like somebody else's address. Groups are those in the token's
    `groups_claim`. A caller who is named several times has the most powerful of the roles; one who is not named has
    the role `others`, or none. Raises ValueError for an issuer without TLS, for groups or others of a public issuer,
    and if nobody has a role.
    """

    issuer: str  # URL, as in the tokens' `iss`
    audience: str
    emails: Roles = field(default_factory=dict)
    subjects: Roles = field(default_factory=dict)
    groups: Roles = field(default_factory=dict)
    groups_claim: str = "groups"
    others: Role | None = None

    def __post_init__(self) -> None:
        if not is_safe(self.issuer):
            raise ValueError(f"found issuer {self.issuer!r}, expected an https:// URL")
        if is_public(self.issuer) and (self.groups or self.others):
            raise ValueError(
                f"anybody can get a token of {self.issuer}: name the callers by e-mail address or by subject alone"
            )
        if not (self.emails or self.subjects or self.groups or self.others):
            raise ValueError("nobody has a role: name the callers by e-mail address, by subject or by group")


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
    redis_cert_file: str | None = None
    redis_key_file: str | None = None
    redis_replicas: int = 0
    allow_eviction: bool = False
    prefix: str = "riskstream"
    host: str = "127.0.0.1"
    port: int = 8080
    root_path: str = ""  # what a gateway takes off the path before the request comes here
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None
    access: Access | None = None  # None: everybody who can reach the port
    max_in_flight: int = 256
    allow_empty_store: bool = False
    dataset: str = ""  # of the audit trail; empty: none is kept
    audit_folder: Path = AUDIT_FOLDER
    audit_bytes: int = AUDIT_BYTES  # of records that may wait for BigQuery
