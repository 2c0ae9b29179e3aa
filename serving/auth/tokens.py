"""Bearer tokens of an OpenID Connect provider, checked with the keys that the provider publishes."""

import re
from dataclasses import dataclass

import jwt

from features.errors import Refused
from serving.auth.access import Access
from serving.auth.keys import Keys
from serving.auth.roles import Role, strongest

ALGORITHMS = ("RS256", "ES256", "PS256")  # never "none", never a shared secret
SLACK_S = 30  # clocks differ
ADDRESS = re.compile(r"[^\s:@]+@[^\s:@]+")
LONGEST_NAME = 255  # characters, as OpenID Connect has it of subjects


class Unauthenticated(Refused):
    """The request has no token, or none that is valid (401)."""


class Forbidden(Refused):
    """The token is valid, but its holder may not do this (403)."""


@dataclass(frozen=True)
class Caller:
    """Caller of a request, as named by the token."""

    subject: str
    email: str | None  # None: the token has no verified address
    role: Role | None  # None: may do nothing

    @property
    def name(self) -> str:
        """Return the e-mail address, or the subject with a prefix: a subject may look like somebody's address."""
        return self.email or f"subject:{self.subject}"


class Authenticator:
    """Authenticates callers by their tokens. Call `start` before the first request."""

    def __init__(self, access: Access) -> None:
        self._access, self._keys = access, Keys(access.issuer)

    def check(self) -> None:
        """Fetch the provider's keys. Raises ProviderUnavailable."""
        self._keys.fetch()

    def start(self) -> None:
        """Keep the provider's keys fresh from now on."""
        self._keys.start()

    def close(self) -> None:
        """End the thread that fetches keys."""
        self._keys.close()

    async def caller(self, authorization: str | None) -> Caller:
        """The caller named by an Authorization header. Raises Unauthenticated, ProviderUnavailable."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("found no bearer token, expected Authorization: Bearer TOKEN")
        return caller_of(self._access, await self._claims(token.strip()))

    async def _claims(self, token: str) -> dict[str, object]:
        try:
            name = jwt.get_unverified_header(token).get("kid")
            if name is None:
                raise Unauthenticated("the token does not name its key (kid)")
            key = await self._keys.key(name)
            if key is None:
                raise Unauthenticated(
                    "the issuer has no key of the token's name; if it is new, ask again in half a minute"
                )
            return jwt.decode(
                token, key, algorithms=list(ALGORITHMS), audience=self._access.audience, issuer=self._access.issuer,
                leeway=SLACK_S, options={"require": ["exp", "iat", "sub"]},
            )  # fmt: skip
        except jwt.PyJWTError as error:
            raise Unauthenticated(f"the token does not count: {error}") from error


def caller_of(access: Access, claims: dict[str, object]) -> Caller:
    """Return the caller that the claims of a token name.

    Only the boolean true verifies an e-mail address: the text "false" would pass for true. A text that does not look
    like an address is ignored, or an issuer's user could be called `anonymous` or `subject:117`.
    Raises Unauthenticated for a name that no log can hold.
    """
    email = claims.get("email")
    is_verified = claims.get("email_verified") is True and isinstance(email, str) and ADDRESS.fullmatch(email)
    subject, address = str(claims["sub"]), str(email) if is_verified else None
    for name in (subject, address or ""):
        if len(name) > LONGEST_NAME or not name.isprintable():
            raise Unauthenticated(
                f"the token's sub or email is not {LONGEST_NAME} printable characters at most"
            )
    return Caller(subject, address, role_of(access, subject, address, groups_of(access, claims)))


def groups_of(access: Access, claims: dict[str, object]) -> list[str]:
    """Return the groups that a token lists."""
    groups = claims.get(access.groups_claim)
    return [group for group in groups if isinstance(group, str)] if isinstance(groups, list) else []


def role_of(access: Access, subject: str, email: str | None, groups: list[str]) -> Role | None:
    """Return the most powerful role that a caller has by name or group; without any, that of all others."""
    named = {access.subjects.get(subject), access.emails.get(email or "")}
    named |= {access.groups.get(group) for group in groups}
    return strongest({role for role in named if role}) or access.others
