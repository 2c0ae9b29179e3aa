"""Permissions, route by route and role by role; the caller's name beside an event; demands on an override."""

import json
import time
from collections.abc import Iterator

import pytest

from features.times import rfc3339
from serving.auth.access import Access
from serving.auth.roles import MAY, Operation, Role, strongest
from serving.auth.tokens import role_of
from tests.pipeline.broker import Broker
from tests.pipeline.market import START_US, market, payment, sent
from tests.serving.conftest import Served, Serving, body_of
from tests.serving.test_access import AUDIENCE, Provider, bearer, provider  # noqa: F401

DAY_US = 86_400_000_000
CALLERS = {f"{role}@bank.example": role for role in Role}
YES, NO = 200, 403
#                          none viewer scorer analyst admin
TABLE = {
    "GET /v1/model":             (NO, YES, YES, YES, YES),
    "GET /v1/customers/ann":     (NO, YES, NO, YES, YES),
    "POST /v1/scores/payment":   (NO, NO, YES, YES, YES),
    "POST /v1/events/payment":   (NO, NO, YES, YES, YES),
    "POST /v1/events/profile":   (NO, NO, YES, YES, YES),
    "POST /v1/events/override":  (NO, NO, NO, YES, YES),
    "POST /v1/events/unheard_of": (NO, NO, 404, 404, 404),
    "POST /v1/scores/unheard_of": (NO, NO, 404, 404, 404),
}  # fmt: skip


def decision(until_us: int, customer: str = "ann", **fields: str) -> bytes:
    said = {
        "customer": customer,
        "level": "HIGH",
        "author": "ann",
        "reason": "known",
        "until": rfc3339(until_us),
    }
    return json.dumps(said | fields).encode()


def now_us() -> int:
    return time.time_ns() // 1_000


BODIES = {
    "payment": body_of(payment(market(), "p1", START_US, "ann", None, 1.0)),
    "profile": body_of(sent(market(), "profile", START_US, customer="ann", vip=True, born="1980-01-02")),
    "unheard_of": b"{}",
}


@pytest.fixture
def guarded(serving: Serving, provider: Provider) -> Iterator[Served]:  # noqa: F811
    with serving(access=Access(provider.issuer, AUDIENCE, CALLERS)) as served:
        served.service.assess([served.service.request("payment", BODIES["payment"])])
        yield served


def test_every_route_and_every_role(guarded: Served, provider: Provider) -> None:  # noqa: F811
    names = ("nobody@bank.example", *CALLERS)
    tokens = [bearer(provider.token(email=name)) for name in names]
    for route, expected in TABLE.items():
        method, path = route.split()
        event_type = path.rpartition("/")[2]
        body = None if method == "GET" else BODIES.get(event_type, decision(now_us() + DAY_US))
        kind = {"content-type": "application/json"}
        answers = [guarded.client.request(method, path, content=body, headers=kind | each) for each in tokens]
        assert tuple(answer.status_code for answer in answers) == expected, route
        assert guarded.client.request(method, path, content=body, headers=kind).status_code == 401
    refused = guarded.client.get("/v1/customers/ann", headers=tokens[2]).json()
    assert (
        refused["detail"]
        == "the caller's role is scorer; to look at a customer it must be viewer or analyst or admin"
    )
    refused = guarded.client.get("/v1/model", headers=tokens[0]).json()
    assert "its caller has no role; to ask for the model it must be viewer or scorer" in refused["detail"]


def test_every_route_is_in_the_table(guarded: Served, provider: Provider) -> None:  # noqa: F811
    token = bearer(provider.token(email=next(iter(CALLERS))))
    paths = {
        f"{method.upper()} {path.replace('{customer}', 'ann')}"
        for path, methods in guarded.client.get("/openapi.json", headers=token).json()["paths"].items()
        for method in methods
    }
    assert paths == {route for route in TABLE if "unheard_of" not in route}
    assert set(MAY) == set(Operation)


def test_the_most_powerful_of_several_roles_counts() -> None:
    access = Access(
        "https://sso.bank.example", AUDIENCE, {"ann@bank.example": Role.SCORER}, {"117": Role.VIEWER},
        {"risk": Role.ANALYST}, others=Role.VIEWER,
    )  # fmt: skip
    assert role_of(access, "117", "ann@bank.example", ["risk", "all"]) is Role.ANALYST
    assert role_of(access, "117", "ann@bank.example", []) is Role.SCORER
    assert role_of(access, "117", None, []) is Role.VIEWER
    assert role_of(access, "ann@bank.example", None, []) is Role.VIEWER, "a subject is no address"
    assert strongest(set()) is None


def test_the_caller_of_an_event_goes_with_it(
    guarded: Served,
    provider: Provider,  # noqa: F811
    broker: Broker,
) -> None:
    """The author that an override states stays, and beside it is who sent it."""
    analyst, scorer = (bearer(provider.token(email=f"{each}@bank.example")) for each in ("analyst", "scorer"))
    kind = {"content-type": "application/json"}
    answer = guarded.client.post("/v1/events/payment", content=BODIES["payment"], headers=scorer | kind)
    assert answer.json()["disposition"] == "duplicate"
    guarded.client.post("/v1/scores/payment", content=BODIES["payment"], headers=scorer | kind)
    body = decision(now_us() + DAY_US, author="somebody@else.example")
    assert guarded.client.post("/v1/events/override", content=body, headers=analyst | kind).status_code == 200
    first, second = broker.messages(broker.names.events, 2)
    assert first.attributes["caller"] == "scorer@bank.example"
    assert second.attributes["caller"] == "analyst@bank.example"
    assert json.loads(second.data)["author"] == "somebody@else.example"


def test_without_tokens_everybody_may_do_everything_and_is_called_anonymous(
    served: Served, broker: Broker
) -> None:
    headers = {"content-type": "application/json"}
    body = decision(now_us() + DAY_US)
    assert (
        served.client.post("/v1/events/override?create=true", content=body, headers=headers).status_code
        == 200
    )
    (message,) = broker.messages(broker.names.events, 1)
    assert message.attributes["caller"] == "anonymous"


def test_an_override_of_a_customer_nobody_knows_is_made_on_purpose(served: Served, broker: Broker) -> None:
    def answered(customer: str, **query: str) -> int:
        body, kind = decision(now_us() + DAY_US, customer), {"content-type": "application/json"}
        return served.client.post("/v1/events/override", content=body, params=query, headers=kind).status_code

    assert answered("anne") == 404
    assert served.client.get("/v1/customers/anne").status_code == 404, "and nothing is kept"
    assert answered("anne", create="true") == 200
    assert answered("anne") == 200, "now somebody does"
    assert served.client.get("/v1/customers/anne").json()["level"] == "HIGH"
    assert len(broker.messages(broker.names.events, 2)) == 2, "what was refused is not published"


def test_an_override_that_is_over_withdraws_only_if_it_is_meant_to(served: Served) -> None:
    kind = {"content-type": "application/json"}

    def answered(until_us: int, **query: str) -> tuple[int, str]:
        answer = served.client.post(
            "/v1/events/override", content=decision(until_us), params={"create": "true"} | query, headers=kind
        )
        return answer.status_code, answer.json().get("detail", "")

    status, detail = answered(now_us() - DAY_US)
    assert status == 422 and detail.startswith("until: '") and "is over already" in detail
    assert "withdraw=true" in detail
    earlier_us = now_us() - 9 * DAY_US
    assert answered(earlier_us + DAY_US, event_time=rfc3339(earlier_us))[0] == 422, (
        "it was not over at its own time"
    )
    assert answered(now_us() + DAY_US)[0] == 200
    status, detail = answered(now_us() + DAY_US, withdraw="true")
    assert status == 422 and "expected a time not after the event's" in detail
    assert served.client.get("/v1/customers/ann").json()["override"]["level"] == "HIGH"
    assert answered(now_us() - DAY_US, withdraw="true")[0] == 200
    assert served.client.get("/v1/customers/ann").json()["override"] is None
