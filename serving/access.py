"""Who asks: a bearer token of an OpenID Connect provider, checked by the keys that the provider publishes."""

from dataclasses import dataclass

import jwt

from serving.keys import Keys
from serving.settings import Access

ALGORITHMS = ("RS256", "ES256", "PS256")  # never "none", never a shared secret
SLACK_S = 30  # clocks differ


class Refused(Exception):
    """No token, or none that counts (401)."""


class Forbidden(Exception):
    """A good token of somebody who may not ask (403)."""


@dataclass(frozen=True)
class Caller:
    """Who made a request, as the token has it."""

    subject: str
    email: str | None  # None: the token has no verified one

    @property
    def name(self) -> str:
        """The e-mail address, or the subject with a prefix: a subject may look like somebody's address."""
        return self.email or f"subject:{self.subject}"


class Gate:
    """Lets callers in by their tokens. `start` it before the first one comes."""

    def __init__(self, access: Access) -> None:
        self._access, self._keys = access, Keys(access.issuer)

    def check(self) -> None:
        """Fetch the provider's keys. Raises ProviderUnavailable."""
        self._keys.fetch()

    def start(self) -> None:
        self._keys.start()

    def close(self) -> None:
        self._keys.close()

    async def caller(self, authorization: str | None) -> Caller:
        """The caller named by an Authorization header. Raises Refused, Forbidden, ProviderUnavailable."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refused("found no bearer token, expected Authorization: Bearer TOKEN")
        found = caller_of(await self._claims(token.strip()))
        if not may_ask(self._access, found):
            raise Forbidden("the token is good, but its caller is not one of those that may ask")
        return found

    async def _claims(self, token: str) -> dict[str, object]:
        try:
            name = jwt.get_unverified_header(token).get("kid")
            if name is None:
                raise Refused("the token does not name its key (kid)")
            key = await self._keys.key(name)
            if key is None:
                raise Refused(
                    "the issuer has no key of the token's name; if it is new, ask again in half a minute"
                )
            return jwt.decode(
                token, key, algorithms=list(ALGORITHMS), audience=self._access.audience, issuer=self._access.issuer,
                leeway=SLACK_S, options={"require": ["exp", "iat", "sub"]},
            )  # fmt: skip
        except jwt.PyJWTError as error:
            raise Refused(f"the token does not count: {error}") from error


def caller_of(claims: dict[str, object]) -> Caller:
    """Only the boolean true verifies an e-mail address: "false" is a text that would pass for true."""
    email = claims.get("email")
    is_verified = claims.get("email_verified") is True and isinstance(email, str) and email
    return Caller(str(claims["sub"]), str(email) if is_verified else None)


def may_ask(access: Access, caller: Caller) -> bool:
    """Whether the caller is on a list, or there are none."""
    is_named = caller.email in access.emails or caller.subject in access.subjects
    return is_named or not (access.emails or access.subjects)
