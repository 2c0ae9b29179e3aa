"""A customer whose record cannot be read gets a clear 500; everybody else is answered, and no event is lost."""

import pytest

from pipeline.stores.store import record_keys
from tests.pipeline.market import START_US, market, payment
from tests.pipeline.servers import RedisServer
from tests.serving.conftest import Serving

MARKET = market()


def key_of(entity: str, id: str) -> bytes:
    return record_keys("riskstream", MARKET.name, MARKET.fingerprint, entity, [id])[0]


@pytest.mark.parametrize("entity", ["customer", "merchant"])
@pytest.mark.parametrize("is_list", [False, True], ids=["garbage", "list"])
def test_only_the_events_of_an_unreadable_record_are_refused(
    serving: Serving, redis_server: RedisServer, caplog: pytest.LogCaptureFixture, entity: str, is_list: bool
) -> None:
    bad, good = (payment(MARKET, f"p-{id}", START_US, f"c-{id}", f"m-{id}", 5.0) for id in ("bad", "good"))
    key = key_of(entity, f"{entity[0]}-bad")
    with serving() as served:
        redis_server.client.rpush(key, "x") if is_list else redis_server.client.set(key, b"garbage")
        for path in ("events", "scores"):
            answer = served.send(bad, path)
            assert answer.status_code == 500
            assert (
                f"the record of {entity} {entity[0]}-bad cannot be read: not a record"
                in answer.json()["detail"]
            )
            assert served.told(good, path)["customer"] == "c-good"
        assert key.decode() in caplog.text and "riskstream repair" in caplog.text
        if entity == "customer":
            assert served.client.get("/v1/customers/c-bad").status_code == 500
        assert served.client.get("/v1/customers/c-good").json()["events"] == 1
        redis_server.client.delete(key)
        assert served.told(bad)["disposition"] == "applied"
