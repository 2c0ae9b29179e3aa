"""The OpenAPI document is true: whatever is asked is answered as it says, and never with a failure of ours."""

import json
import re
from typing import Any

import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from schemathesis.generation.modes import GenerationMode

from features.events import days, decode, event_id, event_time_us, to_json
from features.times import clock, rfc3339
from features.usecase import load
from serving.http import formats
from serving.http.openapi import event_schema
from serving.responses import Assessment
from tests.pipeline.market import market, payment
from tests.serving.conftest import ROOT, Served, body_of

SETTINGS = hypothesis_settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
PAST, FUTURE = "2000-01-01T00:00:00Z", "2259-01-01T00:00:00Z"


def cases(operation: Any, mode: GenerationMode) -> Any:
    """Draw what the document allows, or does not. Whether an override is over, it cannot say."""

    def in_time(case: schemathesis.Case) -> schemathesis.Case:
        if mode is GenerationMode.POSITIVE and operation.path.endswith("/override"):
            query = case.query or {}
            query.pop("event_time", None)  # now
            case.body["until"] = PAST if query.get("withdraw") in (True, "true") else FUTURE
        return case

    return operation.as_strategy(generation_mode=mode).map(in_time)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_route_answers_as_the_document_says(served: Served, mode: GenerationMode) -> None:
    """All checks of schemathesis: what the document allows is taken, what it does not allow is refused."""
    document = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    operations = [found.ok() for found in document.get_all_operations()]
    assert len(operations) == 6
    for operation in operations:
        if mode is GenerationMode.NEGATIVE and operation.method == "get":
            continue  # everything is allowed there
        statuses: set[int] = set()

        @given(case=cases(operation, mode))
        @SETTINGS
        def answers(case: schemathesis.Case) -> None:
            statuses.add(case.call_and_validate().status_code)  # noqa: B023

        answers()
        expected = {422} if mode is GenerationMode.NEGATIVE else {200, 409, 404}
        assert expected & statuses, f"{operation.label}: found only {statuses}"


def test_what_is_wrong_only_now_is_a_conflict(served: Served) -> None:
    """The same event is right at another time, so the document allows it."""
    future = {"id": "p1", "at": "2100-01-01T00:00:00Z", "customer": "ann", "amount": 1.0, "state": "DONE"}
    answer = served.client.post("/v1/events/payment", json=future)
    assert (answer.status_code, answer.json()["reason"]) == (409, "from_future")
    wrong = served.client.post("/v1/events/payment", json=future | {"at": "2100-02-30T00:00:00Z"})
    assert (wrong.status_code, wrong.json()["reason"]) == (422, "invalid")


def test_a_time_that_is_not_used_is_looked_at_all_the_same(served: Served) -> None:
    sent = payment(market(), "p1", 1_700_000_000_000_000, "ann", "m1", 1.0)
    answer = served.client.post(
        "/v1/events/payment", content=body_of(sent), params={"event_time": "yesterday"}
    )
    assert answer.status_code == 422 and "event_time: 'yesterday'" in answer.json()["detail"]


DAYS = [
    "1901-01-01",
    "2000-02-29",
    "2024-02-29",
    "2024-12-31",
    "2259-12-31",
    "1999-04-30",
    "1904-02-29",
    "2256-02-29",
]
NO_DAYS = [
    "2023-02-29",
    "2100-02-29",
    "1900-02-29",
    "2024-04-31",
    "2024-13-01",
    "2024-00-10",
    "2024-01-00",
    "2024-1-1",
    "",
]


def test_patterns_of_days_are_those_of_the_calendar() -> None:
    for pattern in (formats.DAY, formats.DATE):
        assert all(re.fullmatch(pattern, day) for day in DAYS)
        assert not any(re.fullmatch(pattern, day) for day in NO_DAYS)
    assert re.fullmatch(formats.DATE, "9999-12-31") and not re.fullmatch(formats.DATE, "0000-01-01")


@given(st.from_regex(formats.whole(formats.RFC3339).replace("$", r"\Z")))
def test_what_the_pattern_of_a_time_allows_is_read(text: str) -> None:
    clock((), "UTC").read(text)


@given(st.from_regex(formats.whole(formats.DATE).replace("$", r"\Z")))
def test_what_the_pattern_of_a_day_allows_is_read(text: str) -> None:
    days(text)


@pytest.mark.parametrize(
    "form",
    ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S.%f UTC", "%y%m%d", "%Y-%m-%dT%H:%M:%S", "(%Y-%m-%d) + %H:%M:%S"],
)
def test_what_the_pattern_of_a_declared_format_allows_is_read(form: str) -> None:
    pattern = formats.written(form)
    assert pattern

    @given(st.from_regex(formats.whole(pattern).replace("$", r"\Z")))
    def read(text: str) -> None:
        clock((form,), "Europe/Paris").read(text)

    read()


def test_no_pattern_is_told_of_a_format_with_names() -> None:
    assert formats.written("%d %B %Y") is None


@pytest.mark.parametrize("file", sorted(path.name for path in (ROOT / "usecases").glob("*.yaml")))
def test_every_use_case_has_a_document_of_its_events(file: str) -> None:
    use_case = load(ROOT / "usecases" / file)
    for name, event_type in use_case.event_types.items():
        schema = event_schema(use_case, name)
        assert schema["properties"].keys() == event_type.fields.keys()
        json.dumps(schema)


def test_a_good_event_fits_its_schema() -> None:
    schema = event_schema(market(), "payment")
    event = json.loads(body_of(payment(market(), "p1", 1_700_000_000_000_000, "ann", "m1", 1.0)))
    jsonschema.validate(event, schema)
    for wrong in (
        {"amount": "1"},
        {"state": "GONE"},
        {"id": ""},
        {"id": " "},
        {"at": "2024-02-30T10:00:00Z"},
        {"amount": 1e16},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(event | wrong, schema)


def test_the_page_shows_an_event_and_an_answer_as_they_are() -> None:
    page, use_case = (ROOT / "docs" / "rest.md").read_text(), load(ROOT / "usecases" / "offboarding.yaml")
    event = decode(use_case, "transaction", page.partition("<<'EOF'\n")[2].partition("EOF")[0].encode())
    jsonschema.validate(json.loads(to_json(event)), event_schema(use_case, "transaction"))
    answer = Assessment.model_validate_json(page.partition("```json\n")[2].partition("```")[0])
    assert event_id(use_case, "transaction", event) == answer.event_id
    assert rfc3339(event_time_us(event)) == answer.event_time
