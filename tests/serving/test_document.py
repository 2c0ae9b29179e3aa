"""The OpenAPI document is true: whatever is asked is answered as it says, and never with a failure of ours."""

import json

import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from schemathesis.specs.openapi import checks

from features.events import decode, event_id, event_time_us
from features.times import rfc3339
from features.usecase import load
from serving.answers import Assessment
from serving.document import event_schema
from tests.pipeline.market import market, payment
from tests.serving.conftest import ROOT, Served, body_of

SETTINGS = hypothesis_settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
# A text that is no time, or from the future, fits the document, whose types cannot say so; a field that is not
# declared is taken, so what was renamed to be wrong need not be.
NOT_CHECKED = [checks.positive_data_acceptance, checks.negative_data_rejection, checks.unsupported_method]


def test_every_route_answers_as_the_document_says(served: Served) -> None:
    document = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    operations = [found.ok() for found in document.get_all_operations()]
    assert len(operations) == 6
    for operation in operations:
        statuses: set[int] = set()

        @given(case=operation.as_strategy())
        @SETTINGS
        def answers(case: schemathesis.Case) -> None:
            answer = case.call_and_validate(excluded_checks=NOT_CHECKED)
            statuses.add(answer.status_code)  # noqa: B023

        answers()
        assert 200 in statuses, f"{operation.label}: found only {statuses}"


@pytest.mark.parametrize("file", sorted(path.name for path in (ROOT / "usecases").glob("*.yaml")))
def test_every_use_case_has_a_document_of_its_events(file: str) -> None:
    use_case = load(ROOT / "usecases" / file)
    for name, event_type in use_case.event_types.items():
        schema = event_schema(use_case, name)
        assert schema["properties"].keys() == event_type.fields.keys()
        json.dumps(schema)


def test_a_good_event_fits_its_schema() -> None:
    import jsonschema

    schema = event_schema(market(), "payment")
    event = json.loads(body_of(payment(market(), "p1", 1_700_000_000_000_000, "ann", "m1", 1.0)))
    jsonschema.validate(event, schema)
    for wrong in ({"amount": "1"}, {"state": "GONE"}, {"id": ""}, {"amount": 1e16}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(event | wrong, schema)


def test_the_page_shows_an_event_and_an_answer_as_they_are() -> None:
    page, use_case = (ROOT / "docs" / "rest.md").read_text(), load(ROOT / "usecases" / "offboarding.yaml")
    event = decode(use_case, "transaction", page.partition("<<'EOF'\n")[2].partition("EOF")[0].encode())
    answer = Assessment.model_validate_json(page.partition("```json\n")[2].partition("```")[0])
    assert event_id(use_case, "transaction", event) == answer.event_id
    assert rfc3339(event_time_us(event)) == answer.event_time
