"""The parser, the reference page and the JSON Schema say the same of every key, which is declared once."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from commands.usecase import faults_of
from docs.site.use_case import ROOT as FILE
from docs.site.use_case import schema
from export.policy.settings import terms
from features.usecase.declaration import Key, Section
from features.usecase.yaml_values import values
from tests.features.test_faults import WRONG
from tests.features.test_renamed_keys import TEXT
from tests.features.test_usecase import OTHER_VECTOR, REFUSED, SAME_VECTOR, SMALL
from training.champion.gates import GateSettings
from training.models.parameters import Parameters

REPOSITORY = Path(__file__).parents[2]
SHIPPED = [*REPOSITORY.glob("usecases/*.yaml"), *REPOSITORY.glob("tests/realdata/*.yaml")]
EDITOR = jsonschema.Draft202012Validator(json.loads(schema()))
PAID = ("features", "customer", "aggregates", "paid")
PLACES: dict[str, tuple[str | int, ...]] = {  # where `complete` has each section
    "": (),
    "events.TYPE": ("events", "payment"),
    "events.TYPE.fields.NAME": ("events", "payment", "fields", "amount"),
    "events.TYPE.file": ("events", "payment", "file"),
    "events.TYPE.override": ("events", "override", "override"),
    "events.TYPE.clean[] (drop)": ("events", "payment", "clean", 0),
    "events.TYPE.clean[] (keep)": ("events", "payment", "clean", 1),
    "where.FIELD": (*PAID, "where", "amount"),
    "features": ("features",),
    "features.ENTITY": ("features", "customer"),
    "features.ENTITY.aggregates.NAME": PAID,
    "features.ENTITY.ratios.NAME": ("features", "customer", "ratios", "share"),
    "features.ENTITY.differences.NAME": ("features", "customer", "differences", "rest"),
    "features.ENTITY.attributes.NAME": ("features", "customer", "attributes", "fast"),
    "features.event[].FIELD": ("features", "event", 0, "kind"),
    "label": ("label",),
    "protected[], sensitive[]": ("sensitive", 0),
    "model": ("model",),
    "model.metric": ("model", "metric"),
    "model.metric.expected_cost": ("model", "metric", "expected_cost"),
    "model.split": ("model", "split"),
    "model.gates": ("model", "gates"),
    "policy": ("policy",),
    "policy.LEVEL": ("policy", "medium"),
    "policy.LEVEL.expected_cost": ("policy", "medium", "expected_cost"),
    "policy.recommend": ("policy", "recommend"),
}
SECTIONS = list(dict.fromkeys(FILE.walk()))
KEYS = [(section, key) for section in SECTIONS for key in section.keys]


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def read(text: str) -> Any:
    return plain(values(text, "x.yaml")[0])


def complete() -> Any:
    """A use case that has every section."""
    file = read(TEXT)
    payment = file["events"]["payment"]
    payment["fields"] |= {"amount": {"type": "number"}, "kind": ["A", "B"]}
    file["events"]["override"]["fields"]["level"] = ["LOW", "HIGH"]
    file["features"]["customer"]["aggregates"]["paid"]["where"] = {"amount": {"min": 0}}
    file["features"]["customer"]["attributes"] = {"fast": {"from": "payment.fast"}}
    file["features"]["event"] = [{"kind": {"as": "code"}}]
    file["sensitive"] = [{"from": "payment.amount", "as": "age"}]
    costs = {"miss": 9, "false_alarm": 1}
    file["model"] |= {"metric": {"expected_cost": costs}}
    file["policy"] |= {"medium": {"expected_cost": costs}, "recommend": {"in_a_row": 2}}
    return file


def with_key(section: Section, name: str, value: object) -> Any:
    """The complete use case with one key set; where a section has only one key, in place of that."""
    file = copy.deepcopy(complete())
    held = file
    for step in PLACES[section.place]:
        held = held[step]
    if section.more.get("maxProperties") == 1:
        held.clear()
    held[name] = value
    return file


def is_faulty(tmp_path: Path, file: Any) -> bool:
    (tmp_path / "x.yaml").write_text(json.dumps(file))  # JSON is YAML
    return any(faults_of(tmp_path / "x.yaml"))


def wrong(form: dict[str, Any]) -> Iterator[object]:
    """Values just outside a form."""
    if "anyOf" in form:
        every = [value for each in form["anyOf"] for value in wrong(each)]
        yield from (value for value in every if not any(map(jsonschema_accepts(value), form["anyOf"])))
    if "enum" in form:
        yield "nonsense"
    bounds = {"minimum": -1, "maximum": 1, "exclusiveMinimum": 0, "exclusiveMaximum": 0}
    yield from (form[key] + step for key, step in bounds.items() if key in form)
    if form.get("type") == "integer":
        yield form["minimum"] + 0.5
    yield from {"boolean": ["yes"], "number": ["x"], "object": [5]}.get(str(form.get("type")), [])
    if "pattern" in form:
        yield "1 %"
    if form.get("maxLength") == 1:
        yield "ab"


def jsonschema_accepts(value: object) -> Any:
    return lambda form: jsonschema.Draft202012Validator(form).is_valid(value)


def test_every_section_stands_in_the_complete_file(tmp_path: Path) -> None:
    assert {section.place for section in SECTIONS} == set(PLACES)
    assert not is_faulty(tmp_path, complete())
    assert EDITOR.is_valid(complete())


@pytest.mark.parametrize(("section", "key"), KEYS, ids=[f"{s.place}.{k.name}" for s, k in KEYS])
def test_a_value_outside_its_form_is_refused_by_parser_and_schema(
    tmp_path: Path, section: Section, key: Key
) -> None:
    for value in wrong(key.form.schema):
        file = with_key(section, key.name, value)
        assert is_faulty(tmp_path, file), value
        assert not EDITOR.is_valid(file), value


@pytest.mark.parametrize("section", SECTIONS, ids=[section.place for section in SECTIONS])
def test_missing_and_unknown_keys_are_refused_by_parser_and_schema(tmp_path: Path, section: Section) -> None:
    if section.others is None:
        file = with_key(section, "unknown_key", 1)
        assert is_faulty(tmp_path, file) and not EDITOR.is_valid(file)
    for name in section.required:
        file = with_key(section, name, None)
        assert is_faulty(tmp_path, file) and not EDITOR.is_valid(file)


@pytest.mark.parametrize(("section", "key"), KEYS, ids=[f"{s.place}.{k.name}" for s, k in KEYS])
def test_an_example_has_the_declared_form(section: Section, key: Key) -> None:
    if key.example != "see below":
        jsonschema.validate(read(f"x: {key.example}")["x"], key.form.schema)


def declared(place: str) -> dict[str, object]:
    """The declared defaults of a section that are values."""
    (section,) = [each for each in SECTIONS if each.place == place]
    words = ("see below", "the learner's")
    return {key.name: read(f"x: {key.default}")["x"] for key in section.keys if key.default not in words}


def test_declared_defaults_are_those_of_the_parser() -> None:
    assert terms(declared("policy") | {"recommend": declared("policy.recommend")}) == terms({})
    assert GateSettings.of(declared("model.gates")) == GateSettings()
    assert Parameters.of(declared("model")) == Parameters()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_the_schema_takes_every_use_case(path: Path) -> None:
    assert [error.message for error in EDITOR.iter_errors(read(path.read_text()))] == []


def test_shipped_use_cases_name_the_schema_that_lies_beside_them() -> None:
    for path in REPOSITORY.glob("usecases/*.yaml"):
        assert path.read_text().startswith("# yaml-language-server: $schema=schema.json\n")
    assert (REPOSITORY / "usecases/schema.json").read_text() == schema(), "make reference"


def test_the_schema_takes_what_the_parser_takes_and_refuses_faults_of_form() -> None:
    for old, new in (*SAME_VECTOR, *OTHER_VECTOR):
        assert EDITOR.is_valid(read(SMALL.replace(old, new))), new
    readable = [read(SMALL.replace(old, new)) for old, new, _ in REFUSED]
    refused = sum(not EDITOR.is_valid(file) for file in readable if file is not None)
    assert refused >= 22, "the others are names that are declared nowhere, and what depends on other keys"
    assert not EDITOR.is_valid(read(WRONG))
    assert EDITOR.is_valid(complete() | {"sensitive": []}), "an empty list says that there is none"
