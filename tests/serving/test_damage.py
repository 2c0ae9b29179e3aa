"""A service whose Redis was emptied under it answers nobody until the store is whole again."""

from tests.pipeline.market import history, market
from tests.pipeline.servers import RedisServer
from tests.pipeline.vital import begun
from tests.serving.conftest import Served, within

FIRST, SECOND, *_ = [each for each in history(market(), 20, seed=2) if each.event_type == "payment"]


def test_nobody_is_answered_on_a_store_that_was_emptied(served: Served, redis_server: RedisServer) -> None:
    customer = served.told(FIRST)["customer"]
    assert served.client.get(f"/v1/customers/{customer}").status_code == 200
    redis_server.client.flushall()
    answers = [
        served.send(SECOND),
        served.send(SECOND, "scores"),
        served.client.get(f"/v1/customers/{customer}"),
    ]
    assert [answer.status_code for answer in answers] == [503] * 3, (
        "not even 404: nothing is known to be known"
    )
    assert "Redis" in answers[0].json()["title"] and answers[0].headers["retry-after"]
    assert not redis_server.client.keys("*:customer:*")
    within(5, lambda: "riskstream repair" in served.send(SECOND).json()["detail"])
    begun(redis_server.url, market())
    within(5, lambda: served.send(SECOND).status_code == 200)
