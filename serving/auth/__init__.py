"""Authentication by bearer tokens of an OpenID Connect provider, and the roles of callers."""

__all__ = ["access", "issuers", "keys", "roles", "tokens"]
