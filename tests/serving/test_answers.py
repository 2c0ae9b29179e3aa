"""Answers to callers: assessments, attempts, customers, and problems of a request."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from export.bundle import promote, save
from export.policy import Level, level_after
from features.kernel import Disposition
from features.usecase import UseCase
from pipeline.engine.engine import Engine
from pipeline.stores.store import MemoryStore
from serving.configuration import Configuration
from tests.pipeline.market import Sent, assess_in, history, market, payment, switching
from tests.pipeline.models import engine, trained
from tests.pipeline.servers import RedisServer
from tests.pipeline.vital import begun
from tests.serving.conftest import Served, Serving, body_of

NOW_US = 1_700_100_000_000_000
FAULTS = {
    "no JSON": (b"\xff", "undecodable", "not JSON"),
    "no object": (b"[]", "undecodable", "one JSON object is expected"),
    "a field is missing": (b"{}", "invalid", "id: missing"),
    "a field is wrong": (b'{"id": 1}', "invalid", "id: 1 is not"),
}


@pytest.mark.parametrize("use_case", [market(), switching()], ids=["as it is", "with changes counted"])
def test_the_service_says_what_the_engine_says(
    serving: Serving, settings: Configuration, use_case: UseCase
) -> None:
    """Event by event the same scores, levels and numbers as a batch on a store in memory, bit for bit."""
    begun(settings.redis_url, use_case)
    save(trained(use_case), settings.bundle)
    promote(settings.bundle, trained(use_case).manifest.id)
    with serving(use_case=use_case) as served:
        check_against_engine(served, use_case)


def check_against_engine(served: Served, use_case: UseCase) -> None:
    events = history(use_case, 150, seed=4)
    twin = engine(use_case, MemoryStore())
    results = assess_in(twin, events, [1] * len(events))
    for sent, (said,) in zip(events, ((each,) for each in results), strict=True):
        if said.disposition[0] == Disposition.TOO_LATE:
            assert served.send(sent).json()["reason"] == "too_late"
            continue
        told = served.told(sent, features=True)
        assert told["seq"] == said.seq[0]
        assert told["event_id"] == said.batch.event_id[0] and told["customer"] == said.batch.subject[0]
        assert told["disposition"] == Disposition(int(said.disposition[0])).name.lower()
        assert told["level"] == Level(int(level_after(said.outcome)[0])).name
        assert (
            np.float32(np.nan if told["score"] is None else told["score"]).tobytes()
            == said.score[0].tobytes()
        )
        if told["features"] is not None:
            vector = [np.nan if x is None else x for x in told["features"].values()]
            assert np.array(vector, np.float32).tobytes() == said.vectors[0].tobytes()
    keys = list(twin.store.records)
    assert served.service.store.read(keys) == twin.store.read(keys), "and the same records"


def test_an_event_sent_again_is_answered_again_and_counted_once(served: Served) -> None:
    sent = payment(market(), "p1", NOW_US, "ann", "m1", 20.0)
    first, second = served.told(sent), served.told(sent)
    assert (first["disposition"], second["disposition"]) == ("applied", "duplicate")
    assert {**first, "disposition": ""} == {**second, "disposition": ""}
    assert served.client.get("/v1/customers/ann").json()["events"] == 1


def test_an_attempt_says_what_would_be_said_and_leaves_no_trace(served: Served) -> None:
    before = served.told(payment(market(), "p1", NOW_US, "ann", "m1", 20.0))
    sent = payment(market(), "p2", NOW_US + 60_000_000, "ann", "m1", 2_000.0)
    attempts = [served.told(sent, "scores", reasons=True, features=True) for _ in range(3)]
    assert attempts[0] == attempts[1] == attempts[2]
    assert attempts[0]["seq"] == before["seq"] + 1
    assert served.client.get("/v1/customers/ann").json()["events"] == 1
    assert served.told(sent, reasons=True, features=True) == attempts[0], "and then it is said"


def test_events_that_are_only_remembered_cannot_be_tried(served: Served) -> None:
    assert served.client.post("/v1/scores/profile", content=b"{}").status_code == 404


def test_reasons_are_told_on_request_and_add_up_to_what_a_model_without_them_says(served: Served) -> None:
    for i in range(3):
        told = served.told(
            payment(market(), f"p{i}", NOW_US + i, "ann", "m1", 3_000.0), reasons=True, features=True
        )
    assert told["reasons"]
    own: Engine = engine(market(), MemoryStore())
    vector = np.array([[np.nan if x is None else x for x in told["features"].values()]], np.float32)
    for reason in told["reasons"]:
        assert reason["effect"] > 0 and reason["text"]
        without = vector.copy()
        without[0, market().features.index(reason["feature"])] = (
            np.nan if reason["usual"] is None else reason["usual"]
        )
        assert reason["effect"] == pytest.approx(told["score"] - own.scorer.score(without)[0], abs=1e-6)


def test_a_standing_is_what_the_events_made_it(served: Served) -> None:
    events = [payment(market(), f"p{i}", NOW_US + i * 1_000_000, "a/b c", "m1", 900.0 * i) for i in range(30)]
    told = [served.told(sent) for sent in events]
    found = served.client.get("/v1/customers/a%2Fb%20c").json()
    assert (found["customer"], found["events"], found["level"]) == ("a/b c", 30, told[-1]["level"])
    assert [each["seq"] for each in found["latest"]] == list(range(30, 10, -1))
    assert [each["score"] for each in found["latest"]] == [each["score"] for each in told[:9:-1]]
    changes = [each["event_time"] for each in told if each["level_before"] != each["level"]]
    assert found["since"] == (changes[-1] if changes else None)


def test_a_human_word_stands(served: Served) -> None:
    served.told(payment(market(), "p1", NOW_US, "ann", "m1", 20.0))
    word = {
        "customer": "ann",
        "level": "HIGH",
        "author": "eve",
        "reason": "call",
        "until": "2030-01-01T00:00:00Z",
    }
    told = served.client.post("/v1/events/override", json=word).json()
    assert (told["level"], told["transition"], told["score"]) == ("HIGH", "OVERRIDDEN", None)
    found = served.client.get("/v1/customers/ann").json()
    assert found["override"] == {"level": "HIGH", "until": "2030-01-01T00:00:00.000000Z"}


def test_the_model_in_use_is_told(served: Served) -> None:
    manifest, told = trained(market()).manifest, served.client.get("/v1/model").json()
    assert told["model"] == manifest.id and told["features"] == list(market().features)
    assert told["thresholds"] == {"medium": 0.4, "high": 0.6, "exit_ratio": 0.8}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_used_is_refused_with_its_reason_and_published_nowhere(
    served: Served, broker: object, fault: str
) -> None:
    body, reason, detail = FAULTS[fault]
    answer = served.client.post("/v1/events/payment", content=body)
    assert answer.status_code == 422 and answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["reason"] == reason and detail in answer.json()["detail"]
    good = payment(market(), "p1", NOW_US, "ann", None, 1.0)
    served.told(good)
    assert [m.data for m in broker.messages(broker.names.events, 1)] == [body_of(good)]  # type: ignore[attr-defined]


def test_an_event_from_the_future_is_refused(served: Served) -> None:
    body = {"id": "p1", "at": "2100-01-01T00:00:00Z", "customer": "ann", "amount": 1.0, "state": "DONE"}
    assert served.client.post("/v1/events/payment", json=body).json()["reason"] == "from_future"


def test_too_large_a_body_is_refused_before_it_is_read(served: Served) -> None:
    def endless():  # type: ignore[no-untyped-def]
        while True:
            yield b" " * 65_536

    assert served.client.post("/v1/events/payment", content=endless()).status_code == 413
    assert served.client.post("/v1/events/payment", content=b" " * (1 << 21)).status_code == 413
    assert served.client.get("/v1/model").status_code == 200


@pytest.mark.parametrize("path", ["/v1/events/refund", "/v1/customers/nobody", "/v2"])
def test_what_is_not_there_is_a_problem_of_its_own(served: Served, path: str) -> None:
    answer = served.client.post(path) if "events" in path else served.client.get(path)
    assert answer.status_code == 404 and answer.headers["content-type"] == "application/problem+json"
    if "events" in path:
        assert "payment, profile, override" in answer.json()["detail"]


def test_a_thousand_at_once_are_what_they_are_one_by_one(served: Served) -> None:
    """Events of many customers and one merchant are each counted once, and each caller gets its own answer."""
    events = [payment(market(), f"p{i}", NOW_US + i, f"c{i % 50}", "m1", float(i % 90)) for i in range(1_000)]
    asked_again: set[str] = set()

    def told_in_the_end(sent: Sent) -> dict[str, Any]:
        """The answer; on a busy machine some callers are told to come back."""
        answer = served.send(sent)
        if answer.status_code != 503:
            assert answer.status_code == 200, answer.text
            return dict(answer.json())
        again = served.told(sent)
        asked_again.add(again["event_id"])
        return again

    with ThreadPoolExecutor(64) as pool:
        told = list(pool.map(told_in_the_end, events))
    assert [each["event_id"] for each in told] == [f"p{i}" for i in range(1_000)]
    assert {each["disposition"] for each in told if each["event_id"] not in asked_again} == {"applied"}
    assert len(asked_again) < 100
    by_customer = {f"c{k}": sorted(each["seq"] for each in told[k::50]) for k in range(50)}
    assert set(map(tuple, by_customer.values())) == {tuple(range(1, 21))}


def test_more_than_can_be_answered_in_time_are_told_to_come_back(
    serving: Serving, redis_server: RedisServer
) -> None:
    events = [payment(market(), f"p{i}", NOW_US + i, "ann", None, 1.0) for i in range(12)]
    with serving(max_in_flight=4) as served, ThreadPoolExecutor(12) as pool:
        with redis_server.frozen():
            answers = list(pool.map(served.send, events))
        again = [served.told(sent) for sent in events]
    assert {answer.status_code for answer in answers} == {503}
    assert {answer.headers["retry-after"] for answer in answers} == {"1"}
    assert sum("wait already" in answer.text for answer in answers) == 8, "only four waited for Redis"
    assert sorted(each["seq"] for each in again) == list(range(1, 13)), "nothing was counted twice"


def test_a_path_behind_a_gateway_is_told_in_the_document(serving: Serving) -> None:
    with serving(root_path="/ai") as served:
        assert served.client.get("/openapi.json").json()["servers"] == [{"url": "/ai"}]
        assert served.client.get("/v1/model").status_code == 200, "the gateway has taken it off"
        assert json.loads(served.client.get("/health/live").text) == {"status": "well"}
