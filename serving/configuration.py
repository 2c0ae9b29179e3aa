"""A configured service: its settings with its use case and the callers it lets in."""

from dataclasses import dataclass

from features.usecase import UseCase
from pipeline.runtime.errors import BadSettings
from serving.auth.access import Access
from serving.auth.issuers import is_loopback
from serving.settings import ServiceSettings


@dataclass(frozen=True, kw_only=True)
class Configuration(ServiceSettings):
    """The settings of a service with its use case; without access everybody who can reach the port may ask."""

    use_case: UseCase
    access: Access | None = None

    @property
    def events_topic(self) -> str:
        """The topic of events: the one that is given, or the use case's."""
        return self.topic or f"{self.use_case.name}-events"

    def demand_protection(self) -> None:
        """Raise BadSettings if other machines can ask, and neither tokens nor an audit trail guard against that."""
        is_reachable = not is_loopback(self.host)
        if is_reachable and not self.access and not self.allow_unauthenticated:
            raise BadSettings(
                f"--host: found {self.host}, where other machines can ask: give --issuer and --audience, or "
                "--allow-unauthenticated"
            )
        if self.no_audit and (self.access or is_reachable):
            raise BadSettings("--no-audit: other machines can ask, so a trail has to be kept")
