"""Who asks: a bearer token of an OpenID Connect provider, checked by the keys that the provider publishes.

Keys are fetched when first needed and kept for some minutes. A token that names an unknown one has them fetched again,
but not more often than twice a minute: anybody can make such tokens.
"""

import json
from functools import cached_property
from urllib.request import urlopen

import jwt

from serving.settings import Access

DISCOVERY = ".well-known/openid-configuration"
TIMEOUT_S = 3.0
KEYS_LIVE_S = 300
ALGORITHMS = ("RS256", "ES256", "PS256")  # never "none", never a shared secret
SLACK_S = 30  # clocks differ
UNREACHABLE = (jwt.PyJWKClientConnectionError, OSError, KeyError, json.JSONDecodeError)


class Refused(Exception):
    """No token, or none that counts (401)."""


class Forbidden(Exception):
    """A good token of somebody who may not ask (403)."""


class ProviderUnavailable(OSError):
    """The provider's keys cannot be had now."""


class Gate:
    """Lets callers in. Blocks while keys are fetched."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def check(self) -> None:
        """Whether the provider can be asked for its keys. Raises ProviderUnavailable."""
        try:
            self._keys.get_signing_keys()
        except UNREACHABLE as error:
            raise self._unavailable(error) from error

    def caller(self, authorization: str | None) -> str:
        """The caller's e-mail address or subject. Raises Refused, Forbidden, ProviderUnavailable."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refused("found no bearer token, expected Authorization: Bearer TOKEN")
        claims = self._claims(token.strip())
        names = [str(claims["sub"])]
        if claims.get("email_verified") and "email" in claims:
            names.insert(0, str(claims["email"]))
        if self._access.callers.isdisjoint(names) and self._access.callers:
            raise Forbidden("the token is good, but its caller is not one of those that may ask")
        return names[0]

    def _claims(self, token: str) -> dict[str, object]:
        try:
            key = self._keys.get_signing_key_from_jwt(token)
            return jwt.decode(
                token, key, algorithms=list(ALGORITHMS), audience=self._access.audience, issuer=self._access.issuer,
                leeway=SLACK_S, options={"require": ["exp", "iat", "sub"]},
            )  # fmt: skip
        except UNREACHABLE as error:
            raise self._unavailable(error) from error
        except jwt.PyJWTError as error:
            raise Refused(f"the token does not count: {error}") from error

    def _unavailable(self, error: Exception) -> ProviderUnavailable:
        return ProviderUnavailable(f"the keys of {self._access.issuer}: {error}")

    @cached_property
    def _keys(self) -> jwt.PyJWKClient:
        url = f"{self._access.issuer.rstrip('/')}/{DISCOVERY}"
        with urlopen(url, timeout=TIMEOUT_S) as answer:  # the issuer is a setting, not the caller's
            found = json.load(answer)["jwks_uri"]
        return jwt.PyJWKClient(found, cache_keys=False, lifespan=KEYS_LIVE_S, timeout=TIMEOUT_S)
