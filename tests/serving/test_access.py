"""Bearer tokens: of the right provider, for us, in time, of a caller who may ask. A real provider on a port."""

import asyncio
import base64
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from serving.auth import keys
from serving.auth.access import Access
from serving.auth.keys import ProviderUnavailable
from serving.auth.roles import Role
from serving.auth.tokens import Authenticator, Caller, Unauthenticated, caller_of
from tests.serving.conftest import Serving, within

AUDIENCE = "https://prod.deblock.com/ai/"
CALLER = "payments@bank-production.iam.gserviceaccount.com"


class Provider:
    """An OpenID Connect provider as far as verifiers see it; keys can be exchanged, and it can hang."""

    def __init__(self) -> None:
        self.rotate()
        self.asked = 0
        self.answers = threading.Event()
        self.answers.set()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked += 1
                provider.answers.wait(20)
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
        """Idempotent."""
        self.answers.set()
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


@pytest.fixture
def gate(provider: Provider) -> Iterator[Authenticator]:
    """Callers of the provider are viewers; with its keys."""
    found = Authenticator(Access(provider.issuer, AUDIENCE, others=Role.VIEWER))
    found.check()
    found.start()
    yield found
    found.close()


def asked(gate: Authenticator, token: str) -> Caller:
    return asyncio.run(gate.caller(f"Bearer {token}"))


def with_header(token: str, header: bytes) -> str:
    """The claims and the signature of a token under another header."""
    _, claims, signature = token.split(".")
    return f"{base64.urlsafe_b64encode(header).decode().rstrip('=')}.{claims}.{signature}"


def test_nobody_asks_without_a_good_token(serving: Serving, provider: Provider) -> None:
    access = Access(provider.issuer, AUDIENCE, {CALLER: Role.ADMIN}, {"smoke": Role.ADMIN})
    expired, early = int(time.time()) - 3_600, int(time.time()) + 3_600
    with serving(access=access) as served:

        def status(**headers: str) -> int:
            return served.client.get("/v1/model", headers=headers).status_code

        assert status(**bearer(provider.token())) == 200
        assert status(**bearer(provider.token(email=None, sub="smoke"))) == 200
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
            "without the name of a key": bearer(with_header(provider.token(), b'{"alg":"RS256"}')),
            "with a header too deep": bearer(with_header(provider.token(), b"[" * 6_000)),
        }
        assert {name: status(**headers) for name, headers in refused.items()} == dict.fromkeys(refused, 401)
        answer = served.client.post("/v1/events/payment", content=b"{}")
        assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        assert status(**bearer(provider.token(email="eve@bank.example"))) == 403
        assert status(**bearer(provider.token(email_verified=False))) == 403, "anybody can claim an address"
        assert status(**bearer(provider.token(email_verified="false"))) == 403
        assert status(**bearer(provider.token(email=None, sub=CALLER))) == 403, "a subject is no address"
        assert status(**bearer(provider.token(email="smoke"))) == 403, "an address is no subject"
        assert served.client.get("/health/live").status_code == 200
        assert served.client.get("/health/ready").status_code == 200


@pytest.mark.parametrize(
    ("claims", "caller"),
    [
        ({"email_verified": True}, Caller("117", CALLER, None)),
        *(
            ({"email_verified": x}, Caller("117", None, None))
            for x in (False, None, "true", "false", 1, [True])
        ),
        ({"email_verified": True, "email": ""}, Caller("117", None, None)),
        ({"email_verified": True, "email": [CALLER]}, Caller("117", None, None)),
        *(
            ({"email_verified": True, "email": x}, Caller("117", None, None))
            for x in (
                "anonymous",
                "subject:ann@bank.example",
                "a b@bank.example",
                "@",
                "ann@",
                "@bank.example",
            )
        ),
    ],
)
def test_only_the_boolean_true_verifies_an_address(claims: dict[str, Any], caller: Caller) -> None:
    access = Access("https://sso.bank.example", AUDIENCE, {"ann@bank.example": Role.ADMIN})
    assert caller_of(access, {"sub": "117", "email": CALLER} | claims) == caller


def test_a_subject_is_never_called_like_an_address() -> None:
    assert Caller("117", CALLER, None).name == CALLER
    assert Caller(CALLER, None, None).name == f"subject:{CALLER}"


def test_a_caller_in_no_list_has_the_role_of_all_others(provider: Provider, gate: Authenticator) -> None:
    caller = asked(gate, provider.token(email="any@bank.example"))
    assert (caller.name, caller.role) == ("any@bank.example", Role.VIEWER)


@pytest.mark.parametrize(
    "issuer",
    [
        "https://accounts.google.com",
        "https://ACCOUNTS.google.com/",
        "https://login.microsoftonline.com/common/v2.0",
        "https://sts.windows.net/9188040d-6c67-4c5b-b112-36a304b66dad/",
        "https://token.actions.githubusercontent.com",
    ],
)
def test_a_public_issuer_needs_names(issuer: str) -> None:
    with pytest.raises(ValueError, match="name the callers"):
        Access(issuer, AUDIENCE)
    for everybody in ({"others": Role.VIEWER}, {"groups": {"risk": Role.VIEWER}}):
        with pytest.raises(ValueError, match="anybody can get a token"):
            Access(issuer, AUDIENCE, {CALLER: Role.ADMIN}, **everybody)  # type: ignore[arg-type]
    Access(issuer, AUDIENCE, emails={CALLER: Role.ADMIN})
    Access(issuer, AUDIENCE, subjects={"117": Role.ADMIN})


def test_an_issuer_of_one_organization_needs_none() -> None:
    Access(
        "https://login.microsoftonline.com/72f988bf-0000-4000-8000-2d7cd011db47/v2.0",
        AUDIENCE,
        others=Role.VIEWER,
    )
    Access("https://sso.bank.example/realms/payments", AUDIENCE, groups={"risk": Role.VIEWER})


@pytest.mark.parametrize("issuer", ["accounts.google.com", "http://sso.bank.example", "file:///keys", ""])
def test_keys_come_over_tls_or_from_this_machine(issuer: str) -> None:
    with pytest.raises(ValueError, match="expected an https:// URL"):
        Access(issuer, AUDIENCE, {CALLER: Role.ADMIN})


def test_a_provider_that_is_away_at_the_start_is_no_fault_of_the_caller(provider: Provider) -> None:
    gate, token = Authenticator(Access(provider.issuer, AUDIENCE, others=Role.VIEWER)), provider.token()
    provider.close()
    with pytest.raises(ProviderUnavailable, match="the keys of http"):
        asked(gate, token)
    with pytest.raises(ProviderUnavailable, match="the keys of http"):
        gate.check()


def test_a_new_key_is_fetched_when_a_token_names_it(
    provider: Provider, gate: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the request, if the last fetch was long enough ago; else the caller is refused for that long."""
    provider.rotate()
    with pytest.raises(Unauthenticated, match="ask again"):
        asked(gate, provider.token())
    monkeypatch.setattr(keys, "INTERVAL_S", 0.0)
    assert asked(gate, provider.token()).subject == "117"


def test_junk_has_nobody_wait_while_the_issuer_hangs(
    serving: Serving, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty tokens with unknown keys: one fetch, no thread and few places taken, good callers answered at once."""
    monkeypatch.setattr(keys, "INTERVAL_S", 0.5)
    good = provider.token()
    with (
        serving(access=Access(provider.issuer, AUDIENCE, others=Role.VIEWER)) as served,
        ThreadPoolExecutor(50) as pool,
    ):
        assert served.client.get("/v1/model", headers=bearer(good)).status_code == 200
        time.sleep(0.5)
        provider.answers.clear()
        before = provider.asked
        junk = [bearer(with_header(good, b'{"alg":"RS256","kid":"k%d"}' % i)) for i in range(50)]
        asking = [pool.submit(served.client.get, "/v1/model", headers=each) for each in junk]
        within(5, lambda: provider.asked > before)
        began_s = time.monotonic()
        for _ in range(20):
            assert served.client.get("/v1/model", headers=bearer(good)).status_code == 200
        assert time.monotonic() - began_s < 2
        assert {each.result().status_code for each in asking} == {401}
        assert time.monotonic() - began_s < 2.5, "they wait a second at most"
        assert provider.asked == before + 1
        provider.answers.set()


def test_keys_outlive_their_issuer_for_an_hour(
    provider: Provider, gate: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = provider.token()
    provider.close()
    assert asked(gate, token).subject == "117"
    monkeypatch.setattr(keys, "STALE_S", 0.0)
    with pytest.raises(ProviderUnavailable, match="could not be fetched"):
        asked(gate, token)


@pytest.mark.parametrize(
    "answer",
    [
        b"[]",
        b"{}",
        b"[" * 9_000,
        b"\xff",
        b'{"keys": ["k"]}',
        b'{"keys": []}',
        b'{"issuer": "https://other"}',
    ],
)
def test_an_issuer_that_answers_nonsense_is_told(answer: bytes) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            issuer = f"http://127.0.0.1:{self.server.server_port}"  # type: ignore[attr-defined]
            is_keys = self.path == "/keys" or b"keys" not in answer
            self.wfile.write(
                answer if is_keys else json.dumps({"issuer": issuer, "jwks_uri": f"{issuer}/keys"}).encode()
            )

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        with pytest.raises(ProviderUnavailable, match="the keys of http"):
            Authenticator(
                Access(f"http://127.0.0.1:{server.server_port}", AUDIENCE, others=Role.VIEWER)
            ).check()
        server.shutdown()


@pytest.mark.parametrize("name", ["a" * 256, "ann\nERROR forged", "\x1b[2J", "\u202eann"])
def test_a_name_that_no_log_can_hold_is_refused(name: str) -> None:
    access = Access("https://sso.bank.example", AUDIENCE, others=Role.VIEWER)
    with pytest.raises(Unauthenticated, match="printable characters at most"):
        caller_of(access, {"sub": name})
