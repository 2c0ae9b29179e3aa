"""A page of somebody else's neither writes nor reads by way of a browser on the service's machine."""

import re

import httpx
import pytest

from serving.auth.access import Access
from serving.auth.roles import Role
from serving.http.browsers import LOOPBACK, fault
from tests.pipeline.market import START_US, market, payment
from tests.serving.conftest import JSON, Served, Serving, body_of
from tests.serving.test_access import AUDIENCE, CALLER, Provider, bearer, provider  # noqa: F401

BODY = body_of(payment(market(), "p1", START_US, "ann", None, 1.0))
LOCAL = {"host": "localhost:8080"}


def status(method: str = "POST", hosts: frozenset[str] = LOOPBACK, **headers: str) -> int:
    """Return the status of a request with these headers; 200 if nothing is wrong with it."""
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in (LOCAL | headers).items()]
    return (fault(method, raw, hosts) or (200,))[0]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]:8080", "[::1]", "localhost:"]
)
def test_a_service_on_loopback_answers_to_its_names(host: str) -> None:
    assert status("GET", host=host) == status("POST", host=host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "",
        "localhost@evil.example",
        "127.0.0.1.nip.io",
        "127.0.0.2",
        "a:b:c",
        "[::2]",
    ],
)
def test_it_answers_to_no_other(host: str) -> None:
    assert status("GET", host=host) == status("POST", host=host) == 421


def test_a_second_host_does_not_help() -> None:
    both = [(b"host", b"localhost"), (b"host", b"evil.example")]
    assert fault("GET", both, LOOPBACK) and fault("GET", both[::-1], LOOPBACK) and fault("GET", [], LOOPBACK)
    assert fault("GET", both, frozenset()) is None, (
        "what other machines can reach has names that nobody told it"
    )


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 200),  # a program
        ({"sec_fetch_site": "same-origin", "origin": "http://localhost:8080"}, 200),
        ({"sec_fetch_site": "none"}, 200),
        ({"origin": "http://localhost:8080"}, 200),
        ({"sec_fetch_site": "cross-site", "origin": "https://evil.example"}, 403),
        ({"sec_fetch_site": "same-site", "origin": "http://localhost:3000"}, 403),
        ({"origin": "http://localhost:3000"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
@pytest.mark.parametrize("hosts", [LOOPBACK, frozenset()])
def test_other_sites_read_at_most(headers: dict[str, str], expected: int, hosts: frozenset[str]) -> None:
    assert status("POST", hosts, **headers) == status("DELETE", hosts, **headers) == expected
    assert status("GET", hosts, **headers) == 200, "a browser keeps the answer from them"


def test_a_form_of_another_site_writes_nothing(served: Served) -> None:
    """A browser sends these without asking first: a form, a text, a blob without a type; and under a foreign name."""
    types = [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "",
        "text/json",
        "application/json-seq",
    ]
    with httpx.Client(base_url=served.url) as client:
        for path in ("/v1/events/payment", "/v1/scores/payment"):
            for media_type in types:
                answer = client.post(path, content=BODY, headers={"content-type": media_type})
                assert answer.status_code == 415 and "application/json" in answer.json()["detail"]
            assert client.post(path, content=BODY).status_code == 415
        assert (
            client.post(
                "/v1/events/payment", content=BODY, headers=JSON | {"origin": "https://evil.example"}
            ).status_code
            == 403
        )
        assert (
            client.post(
                "/v1/events/payment", content=BODY, headers=JSON | {"host": "evil.example"}
            ).status_code
            == 421
        )
        assert client.get("/v1/customers/ann").status_code == 404, "nothing was counted"
        answer = client.post(
            "/v1/events/payment", content=BODY, headers={"content-type": "Application/JSON; charset=utf-8"}
        )
        assert answer.status_code == 200


def test_with_tokens_no_browser_can_ask_and_any_name_will_do(serving: Serving, provider: Provider) -> None:  # noqa: F811
    access = Access(provider.issuer, AUDIENCE, {CALLER: Role.ADMIN})
    with serving(access=access) as served:
        headers = bearer(provider.token()) | {
            "host": "prod.deblock.com",
            "origin": "https://prod.deblock.com",
        }
        assert served.client.get("/v1/model", headers=headers).status_code == 200
        assert served.client.post("/v1/events/payment", content=BODY, headers=headers).status_code == 200
        text = served.client.post(
            "/v1/events/payment", content=BODY, headers=headers | {"content-type": "text/plain"}
        )
        assert text.status_code == 415


@pytest.mark.parametrize(
    "path", ["/v1/model/", "/docs/", "/v1/customers", "/health/live/", "/openapi.json/", "//evil.example"]
)
def test_nobody_is_sent_to_the_host_that_was_asked_for(served: Served, path: str) -> None:
    for method in ("GET", "POST"):
        answer = served.client.request(method, path)
        assert answer.status_code in (404, 405) and "location" not in answer.headers


def test_the_page_needs_no_internet(served: Served) -> None:
    page = served.client.get("/docs")
    assert page.status_code == 200 and "riskstream: market" in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "http" not in policy
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    for each in (a for a in addresses if a != "data:,"):
        answer = served.client.get(f"/{each}")
        assert answer.status_code == 200 and len(answer.content) > 50
        assert answer.headers["content-type"].partition(";")[0] in ("text/javascript", "text/css")
    assert len(addresses) == 4 and not any("://" in each for each in addresses)


def test_the_page_and_the_document_need_a_token(serving: Serving, provider: Provider) -> None:  # noqa: F811
    access = Access(provider.issuer, AUDIENCE, {CALLER: Role.VIEWER})
    with serving(access=access, root_path="/ai") as served:
        for path in (
            "/docs",
            "/docs/start.js",
            "/docs/swagger-ui.css",
            "/docs/swagger-ui-bundle.js",
            "/openapi.json",
        ):
            assert served.client.get(path).status_code == 401
            assert served.client.get(path, headers=bearer(provider.token())).status_code == 200
        document = served.client.get("/openapi.json", headers=bearer(provider.token())).json()
    (name,) = document["components"]["securitySchemes"]
    assert document["components"]["securitySchemes"][name]["scheme"] == "bearer"
    assert all(
        operation["security"] == [{name: []}]
        for path in document["paths"].values()
        for operation in path.values()
    )
    assert document["servers"] == [{"url": "/ai"}]
