"""The keys of a `where`, and the forms of values that several sections share."""

from features.usecase.declaration import (
    Form,
    Key,
    Section,
    any_of,
    flag,
    list_of,
    mapping_of,
    number,
    part,
    text,
)

DESCRIPTION = Key("description", text(), "What people call it, in reports and reasons.", "incoming payments")
FIELD_NAME = text("field")
FIELD_NAMES = list_of(FIELD_NAME, "fields", least=1)
PATH = Form("event_type.field", {"type": "string", "pattern": r"^[A-Za-z][A-Za-z0-9_]*\..+$"})
SCALAR = Form("value", {"type": ["string", "number", "boolean"]})
BOUNDS = ("min", "above", "max", "below", "multiple_of")

CONDITION = Section(
    "where.FIELD",
    "The test of one field; all of its parts must hold. A value or a list of values stands for `in`. A missing value "
    "passes none but `present: false`.",
    (
        Key("in", list_of(SCALAR, "values"), "The field has one of these values.", "[CARD, WIRE]"),
        Key("not", list_of(SCALAR, "values"), "The field has none of these values.", "[REFUND]"),
        Key("min", number(), "At least.", "50"),
        Key("above", number(), "More than.", "0"),
        Key("max", number(), "At most.", "1000"),
        Key("below", number(), "Less than.", "0"),
        Key("multiple_of", number(above=0), "A whole multiple of this.", "50"),
        Key("present", flag(), "Whether there is a value at all.", "true"),
    ),
)
WHERE = mapping_of(
    any_of(part(CONDITION), list_of(SCALAR)),
    "tests by field; also of `hour` and `weekday` (UTC), and `changed: [FIELD, ...]`",
)
