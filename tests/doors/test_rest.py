"""The table of values.md through the door of the REST service: what it answers, and the event that it publishes."""

from pathlib import Path

from export.bundle import promote, save
from tests.doors.judging import Outcomes, wrong
from tests.doors.table import DOORS, cases, outcome
from tests.pipeline.models import trained
from tests.pipeline.servers import RedisServer
from tests.pipeline.vital import begun
from tests.serving.conftest import Served, Serving, broker, redis_server, serving, settings  # noqa: F401


def test_a_value_gets_its_answer_over_http(
    serving: Serving,  # noqa: F811
    redis_server: RedisServer,  # noqa: F811
    tmp_path: Path,
) -> None:
    begun(redis_server.url, DOORS)
    root = str(tmp_path / "doors")
    save(trained(DOORS), root)
    promote(root, trained(DOORS).manifest.id)
    with serving(use_case=DOORS, bundle=root) as served:
        assert wrong(over_http(served)) == []
        counted = b'{"id": "1", "who": " Bob  ", "at": "2024-03-01T10:00:00Z"}'
        assert served.client.post("/v1/events/pay", content=counted).json()["customer"] == "Bob"
        assert served.client.get("/v1/customers/Bob%20%20").json()["customer"] == "Bob"


def over_http(served: Served) -> Outcomes:
    for case in cases():
        if case.json is not None:
            answer = served.client.post(f"/v1/scores/{case.event_type}", content=case.body)
            told = answer.json()
            if answer.status_code == 200:
                request = served.service.request(case.event_type, case.body)
                assert told["customer"] == request.event.who  # type: ignore[attr-defined]
                became = outcome(case, request.event)
                if case.field == "at":
                    assert told["event_time"] == became
            else:
                assert answer.status_code == (409 if told["reason"] == "from_future" else 422)
                became = f"{told['reason']}: {told['detail']}"
            yield case, case.body.decode(), became
