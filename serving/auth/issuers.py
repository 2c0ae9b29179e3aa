"""Issuers of tokens, judged by their URL alone."""

from ipaddress import ip_address
from urllib.parse import urlsplit

# Anybody who signs up there gets a token for an audience of their choice.
PUBLIC_HOSTS = frozenset({
    "access.line.me", "accounts.google.com", "agent.buildkite.com", "api.login.yahoo.com", "app.terraform.io",
    "appleid.apple.com", "discord.com", "gitlab.com", "id.twitch.tv", "limited.facebook.com",
    "login.salesforce.com", "oidc.vercel.com", "slack.com", "token.actions.githubusercontent.com",
    "www.facebook.com", "www.linkedin.com", "www.paypal.com", "www.paypalobjects.com",
})  # fmt: skip
MICROSOFT_HOSTS = frozenset({"login.microsoftonline.com", "login.windows.net", "sts.windows.net"})
# Everybody's tenants; any other tenant is one organization's. The last is the id of personal accounts.
PUBLIC_TENANTS = frozenset({"common", "organizations", "consumers", "9188040d-6c67-4c5b-b112-36a304b66dad"})


def is_public(issuer: str) -> bool:
    """Return whether anybody can get a token of this issuer."""
    url = urlsplit(issuer.lower())
    tenant = url.path.strip("/").partition("/")[0]
    return url.hostname in PUBLIC_HOSTS or (url.hostname in MICROSOFT_HOSTS and tenant in PUBLIC_TENANTS)


def is_safe(issuer: str) -> bool:
    """Return whether keys come from the issuer itself: over TLS, or from this machine."""
    url = urlsplit(issuer)
    return bool(url.hostname) and (
        url.scheme == "https" or (url.scheme == "http" and is_loopback(url.hostname or ""))
    )


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine's loopback interface, by name or address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
