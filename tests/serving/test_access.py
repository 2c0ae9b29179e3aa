"""Bearer tokens: of the right provider, for us, in time, of a caller who may ask. A real provider on a port."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from serving.access import Gate, ProviderUnavailable
from serving.settings import Access
from tests.serving.conftest import Serving

AUDIENCE = "https://prod.deblock.com/ai/"
CALLER = "payments@bank-production.iam.gserviceaccount.com"


class Provider:
    """An OpenID Connect provider as far as verifiers see it; keys can be exchanged."""

    def __init__(self) -> None:
        self.rotate()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = {
                    "/.well-known/openid-configuration": {
                        "issuer": provider.issuer,
                        "jwks_uri": f"{provider.issuer}/keys",
                    },
                    "/keys": {"keys": [provider.public]},
                }[self.path]
                body = json.dumps(found).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def rotate(self) -> None:
        self.key = rsa.generate_private_key(65_537, 2_048)
        self.kid = str(time.time_ns())
        self.public = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True) | {
            "kid": self.kid,
            "use": "sig",
        }

    def token(self, key: Any = None, algorithm: str = "RS256", **claims: Any) -> str:
        now = int(time.time())
        said = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "117",
            "email": CALLER,
            "email_verified": True,
            "iat": now,
            "exp": now + 600,
        }
        return jwt.encode(
            {k: v for k, v in (said | claims).items() if v is not None},
            key or self.key,
            algorithm,
            {"kid": self.kid},
        )

    def close(self) -> None:
        """May be repeated."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def provider() -> Iterator[Provider]:
    found = Provider()
    yield found
    found.close()


def unsigned(provider: Provider) -> str:
    """The claims of a good token, under a header that says there is no signature."""
    _, claims, _ = provider.token().split(".")
    header = (
        base64.urlsafe_b64encode(b'{"alg":"none","kid":"%s"}' % provider.kid.encode()).decode().rstrip("=")
    )
    return f"{header}.{claims}."


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_nobody_asks_without_a_good_token(serving: Serving, provider: Provider) -> None:
    access = Access(provider.issuer, AUDIENCE, frozenset({CALLER}))
    expired, early = int(time.time()) - 3_600, int(time.time()) + 3_600
    with serving(access=access) as served:

        def status(**headers: str) -> int:
            return served.client.get("/v1/model", headers=headers).status_code

        assert status(**bearer(provider.token())) == 200
        assert status(**bearer(provider.token(email=None, sub=CALLER))) == 200
        refused = {
            "none": {},
            "another scheme": {"authorization": "Basic YTpi"},
            "no token": {"authorization": "Bearer nonsense"},
            "of another audience": bearer(provider.token(aud="https://other")),
            "of another issuer": bearer(provider.token(iss="https://other")),
            "expired": bearer(provider.token(exp=expired)),
            "not yet": bearer(provider.token(nbf=early)),
            "without an end": bearer(provider.token(exp=None)),
            "signed by another key": bearer(provider.token(rsa.generate_private_key(65_537, 2_048))),
            "signed by a shared secret": bearer(provider.token("secret" * 8, "HS256")),
            "signed by a key of another kind": bearer(
                provider.token(ec.generate_private_key(ec.SECP256R1()), "ES256")
            ),
            "not signed": bearer(unsigned(provider)),
        }
        assert {name: status(**headers) for name, headers in refused.items()} == dict.fromkeys(refused, 401)
        answer = served.client.post("/v1/events/payment", content=b"{}")
        assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        assert status(**bearer(provider.token(email="eve@bank.example"))) == 403
        assert status(**bearer(provider.token(email_verified=False))) == 403, "anybody can claim an address"
        assert served.client.get("/health/live").status_code == 200
        assert served.client.get("/health/ready").status_code == 200


def test_every_caller_of_the_provider_may_ask_if_none_is_named(provider: Provider) -> None:
    gate = Gate(Access(provider.issuer, AUDIENCE))
    assert gate.caller(f"Bearer {provider.token(email='any@bank.example')}") == "any@bank.example"


def test_a_provider_that_is_away_is_no_fault_of_the_caller(provider: Provider) -> None:
    gate, token = Gate(Access(provider.issuer, AUDIENCE)), provider.token()
    provider.close()
    with pytest.raises(ProviderUnavailable, match="the keys of http"):
        gate.caller(f"Bearer {token}")
    with pytest.raises(ProviderUnavailable):
        gate.check()
