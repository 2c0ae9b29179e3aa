"""Callers that the service lets in, read from its settings."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.runtime.errors import BadSettings
from pipeline.runtime.settings import declared, flag
from serving.auth.issuers import is_public, is_safe
from serving.auth.roles import Role
from serving.settings import ROLES, AccessSettings

ANONYMOUS = "anonymous"  # the caller of a service without tokens
Roles = Mapping[str, Role]  # by name
LISTS = {each.name: each for each in declared(AccessSettings) if each.name.startswith("caller_")}


@dataclass(frozen=True)
class Access:
    """The callers that are let in, and their roles: those with a token of this OpenID Connect provider.

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

    @classmethod
    def from_settings(cls, settings: AccessSettings) -> "Access | None":
        """Return the callers that settings name; None if no tokens are asked for. Raises BadSettings."""
        emails, subjects, groups = (_callers(getattr(settings, name), name) for name in LISTS)
        for email in emails:
            if not email.strip("@").count("@"):
                raise BadSettings(
                    f"--caller-emails: found {email!r}, expected e-mail addresses; subjects go to --caller-subjects"
                )
        others = _role(settings.other_callers, "--other-callers") if settings.other_callers else None
        is_open = not (settings.issuer or settings.audience or emails or subjects or groups or others)
        if is_open:
            return None
        if not settings.issuer or not settings.audience:
            raise BadSettings("--issuer, --audience: give both, or neither and no callers either")
        try:
            return cls(
                settings.issuer, settings.audience, emails, subjects, groups, settings.groups_claim, others
            )
        except ValueError as error:
            raise BadSettings(
                f"--issuer, --caller-emails, --caller-subjects, --caller-groups: {error}"
            ) from error


def _callers(text: str | None, name: str) -> dict[str, Role]:
    """Return the roles in a list of NAME=ROLE with commas. Raises BadSettings, also for an empty list."""
    variable, option = LISTS[name].setting.variable, flag(name)
    text = os.environ.get(variable) if text is None else text  # the parser takes an empty variable for none
    entries = [entry.strip() for entry in (text or "").split(",") if entry.strip()]
    if text is not None and not entries:
        raise BadSettings(f"{option}: found an empty list: name callers, or leave it out")
    roles: dict[str, Role] = {}
    for entry in entries:
        caller, _, role = entry.rpartition("=")
        if not caller.strip():
            raise BadSettings(f"{option}: found {entry!r}, expected NAME=ROLE, the role being {ROLES}")
        if caller.strip() in roles:
            raise BadSettings(f"{option}: found {caller.strip()} twice, expected one role each")
        roles[caller.strip()] = _role(role.strip(), option)
    return roles


def _role(text: str, option: str) -> Role:
    """Return the role of this name. Raises BadSettings."""
    if text not in list(Role):
        raise BadSettings(f"{option}: found the role {text!r}, expected {ROLES}")
    return Role(text)
