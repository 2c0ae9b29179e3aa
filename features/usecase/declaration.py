"""Declared keys of a use case file: the parser takes their names, the reference page and the JSON Schema the rest.

A `Form` says what a value looks like, in words and as JSON Schema. It is what an editor can check: whether a name is
declared elsewhere in the file is known to the parser alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Json: TypeAlias = "str | float | bool | list[Json] | dict[str, Json] | None"
NAME = "^[A-Za-z][A-Za-z0-9_]*$"
DURATION = "^[1-9][0-9]{0,4}[smhd]$"


@dataclass(frozen=True)
class Form:
    """A kind of value. `parts` are the sections in it, which have keys of their own."""

    words: str
    schema: dict[str, Json]
    parts: "tuple[Section, ...]" = ()


@dataclass(frozen=True)
class Key:
    """One key of a section. `default` says in words or as YAML what holds without it; `example` is YAML."""

    name: str
    form: Form
    meaning: str
    example: str
    default: str = ""
    required: bool = False


@dataclass(frozen=True)
class Section:
    """A mapping with known keys. `place` is its path in the file, with NAME where the author chooses a key."""

    place: str
    meaning: str
    keys: tuple[Key, ...]
    others: Form | None = None  # of keys that the author names
    more: dict[str, Json] = field(default_factory=dict, compare=False)  # what else an editor can check

    def __hash__(self) -> int:
        return hash(self.place)

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(key.name for key in self.keys if key.required)

    @property
    def optional(self) -> tuple[str, ...]:
        return tuple(key.name for key in self.keys if not key.required)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(key.name for key in self.keys)

    @property
    def schema(self) -> dict[str, Json]:
        """The section as JSON Schema."""
        properties: dict[str, Json] = {
            key.name: {**key.form.schema, "description": key.meaning} for key in self.keys
        }
        others: Json = self.others.schema if self.others else False
        made: dict[str, Json] = {"type": "object", "properties": properties, "additionalProperties": others}
        return made | ({"required": list(self.required)} if self.required else {}) | self.more

    def walk(self) -> "Iterator[Section]":
        """This section and those below it, each once for each place where it stands."""
        yield self
        forms = [key.form for key in self.keys] + ([self.others] if self.others else [])
        for form in forms:
            for part in form.parts:
                yield from part.walk()


def text(words: str = "text") -> Form:
    return Form(words, {"type": "string", "minLength": 1})


def name(words: str = "name") -> Form:
    return Form(words, {"type": "string", "pattern": NAME})


def flag() -> Form:
    return Form("true or false", {"type": "boolean"})


def duration() -> Form:
    return Form("duration (s, m, h, d)", {"type": "string", "pattern": DURATION})


def choice(*options: str) -> Form:
    return Form(" or ".join(f"`{option}`" for option in options), {"enum": list(options)})


def number(
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> Form:
    """A number from `least` to `most`, or strictly `above` and `below`."""
    bounds = {"minimum": least, "maximum": most, "exclusiveMinimum": above, "exclusiveMaximum": below}
    schema: dict[str, Json] = {key: bound for key, bound in bounds.items() if bound is not None}
    worded = [(least, "at least"), (above, "above"), (most, "at most"), (below, "below")]
    words = " and ".join(f"{word} {bound:g}" for bound, word in worded if bound is not None)
    return Form(f"number {words}".strip(), {"type": "number", **schema})


def whole_number(least: int) -> Form:
    return Form(f"whole number of at least {least}", {"type": "integer", "minimum": least})


def mapping_of(form: Form, words: str, keys: str = "") -> Form:
    """A mapping whose keys the author chooses, matching `keys` if that is given."""
    named: dict[str, Json] = {"propertyNames": {"pattern": keys}} if keys else {}
    return Form(words, {"type": "object", "additionalProperties": form.schema, **named}, form.parts)


def at_least_one(form: Form) -> Form:
    """A mapping that is not empty."""
    return Form(form.words, {**form.schema, "minProperties": 1}, form.parts)


def list_of(form: Form, words: str = "", least: int = 0) -> Form:
    """A list of at least so many, or a single value in place of a list of one."""
    items: Json = form.schema
    several: Json = {"type": "array", "items": items, "minItems": least}
    return Form(words or f"list of {form.words}", {"anyOf": [items, several]}, form.parts)


def vocabulary(words: str) -> Form:
    """A list of different texts without blanks around them."""
    item: dict[str, Json] = {"type": "string", "pattern": r"^\S(.*\S)?$"}
    return Form(
        words, {"type": "array", "items": item, "minItems": 1, "maxItems": 1_000, "uniqueItems": True}
    )


def any_of(*forms: Form, words: str = "") -> Form:
    parts = tuple(part for form in forms for part in form.parts)
    both = words or " or ".join(form.words for form in forms)
    return Form(both, {"anyOf": [form.schema for form in forms]}, parts)


def part(section: Section, words: str = "section") -> Form:
    return Form(words, section.schema, (section,))


def document(root: Section, title: str) -> Mapping[str, Json]:
    """Return the JSON Schema of a whole file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **root.schema}
