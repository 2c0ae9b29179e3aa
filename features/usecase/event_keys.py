"""The keys of the `events` section."""

from features.usecase.condition_keys import DESCRIPTION, FIELD_NAME, FIELD_NAMES, WHERE
from features.usecase.declaration import (
    NAME,
    Form,
    Key,
    Section,
    any_of,
    at_least_one,
    choice,
    duration,
    flag,
    list_of,
    mapping_of,
    number,
    part,
    text,
    vocabulary,
)
from features.usecase.schema import Kind

KINDS = choice(*(kind.value for kind in Kind if kind is not Kind.CATEGORY))


VOCABULARY = vocabulary("list of texts")
NO_DERIVED = "^(?!(hour|weekday)$)"  # these are made of the time
TIME_FORMAT = Form("format", {"type": "string", "pattern": "%|^epoch_(s|ms|us|ns)$"})
FIELD = Section(
    "events.TYPE.fields.NAME",
    "One field of an event. A type alone or a list of values alone is short for it.",
    (
        Key("type", KINDS, "What the field holds. Either this or `values`.", "number"),
        Key(
            "values",
            list_of(text(), "list of texts"),
            "The vocabulary of a category, up to 1,000 texts.",
            "[IN, OUT]",
        ),
        Key("optional", flag(), "Whether the field may be missing.", "true", "false"),
        Key("min", number(), "The least number; a smaller one is refused.", "0", "no bound"),
        Key("max", number(), "The largest number; a larger one is refused.", "100", "no bound"),
        DESCRIPTION,
    ),
    more={"oneOf": [{"required": ["type"]}, {"required": ["values"]}]},
)
CHARACTER = Form("one character", {"type": "string", "minLength": 1, "maxLength": 1})
FILE = Section(
    "events.TYPE.file",
    "How files write the events of this type.",
    (
        Key("separator", CHARACTER, "What stands between the columns of CSV.", '";"', '","'),
        Key("encoding", text(), "The encoding of CSV, by Python's name.", "cp1252", "utf-8"),
        Key("decimal", CHARACTER, "What stands before the decimals of a number.", '","', '"."'),
        Key(
            "missing_values",
            list_of(Form("text", {"type": "string"}), "list of texts"),
            "What a cell holds where a value is missing.",
            '["", N/A]',
            '[""]',
        ),
        Key(
            "true_values",
            list_of(text(), "list of texts"),
            "What a cell holds for true.",
            "[yes]",
            "[true, True, TRUE]",
        ),
        Key(
            "false_values",
            list_of(text(), "list of texts"),
            "What a cell holds for false.",
            '["no"]',
            "[false, False, FALSE]",
        ),
        Key(
            "date_format",
            list_of(text(), "formats of strptime"),
            "How fields of the type `date` are written.",
            '["%d.%m.%Y"]',
            '["%Y-%m-%d"]',
        ),
        Key(
            "columns",
            mapping_of(list_of(text()), "columns by field"),
            "The columns that hold a field, where they are called otherwise; several are joined by a blank.",
            "{amount: TX_AMOUNT, at: [day, time]}",
            "the field's name",
        ),
    ),
)
OVERRIDE = Section(
    "events.TYPE.override",
    "The fields of an event that carry a person's decision about the subject's level.",
    (
        Key("level", FIELD_NAME, "The level: a category of LOW, MEDIUM, HIGH.", "level", required=True),
        Key("until", FIELD_NAME, "When the decision ends.", "expires_at", required=True),
        Key("author", FIELD_NAME, "Who decided.", "author", required=True),
        Key("reason", FIELD_NAME, "Why.", "reason", required=True),
        Key("max_duration", duration(), "A decision that would last longer is refused.", "365d", "no limit"),
    ),
)
REASON = Key("reason", text(), "Why, for the report.", "test users of the exporter", required=True)
DROP = Section(
    "events.TYPE.clean[] (drop)",
    "A rule that leaves out the rows of a history that pass all tests.",
    (Key("drop", at_least_one(WHERE), "The tests.", "{state: TEST}", required=True), REASON),
)
KEEP = Section(
    "events.TYPE.clean[] (keep)",
    "A rule that keeps one of the rows of a history with the same values.",
    (
        Key(
            "keep",
            choice("first", "latest"),
            "Which row of each stays, in event time.",
            "latest",
            required=True,
        ),
        Key(
            "per",
            FIELD_NAMES,
            'The fields that have the same values; "*" for all.',
            "[user_id]",
            required=True,
        ),
        REASON,
    ),
)
EVENT_TYPE = Section(
    "events.TYPE",
    "One kind of event: its schema, what makes it unique, when it happened, whose it is.",
    (
        Key(
            "scored",
            flag(),
            "Whether the model scores these events, or only remembers them.",
            "true",
            "false",
        ),
        Key(
            "id",
            FIELD_NAMES,
            'The fields that make an event unique; "*" for all of its content.',
            "[id]",
            required=True,
        ),
        Key(
            "time",
            FIELD_NAMES,
            "The fields that date an event, of which the first that is there counts; `published` for events that hold "
            "no time.",
            "[completed_at, created_at]",
            required=True,
        ),
        Key(
            "time_offset",
            duration(),
            "The event happens this long after the time that it holds.",
            "7d",
            "none",
        ),
        Key(
            "time_format",
            list_of(TIME_FORMAT, "formats of strptime, or `epoch_s`, `epoch_ms`, `epoch_us`, `epoch_ns`"),
            "How times are written, beside RFC 3339, which always fits.",
            '["%Y-%m-%d %H:%M:%S"]',
            "RFC 3339 alone",
        ),
        Key("timezone", text(), "The time zone of times without an offset.", "Europe/Paris", "UTC"),
        Key(
            "entities",
            mapping_of(FIELD_NAME, "fields by entity", NAME),
            "The field with the id of the subject and of each other entity that features are kept for.",
            "{customer: user_id, shop: shop_id}",
            required=True,
        ),
        Key(
            "fields",
            mapping_of(
                any_of(KINDS, VOCABULARY, part(FIELD), words="type, values or section"),
                "fields by name",
                NO_DERIVED,
            ),
            "The schema; a field that is not declared is ignored.",
            "{id: string, amount: {type: number, min: 0}}",
            required=True,
        ),
        Key(
            "file",
            part(FILE),
            "How files write these events.",
            '{separator: ";"}',
            "CSV in UTF-8 with commas",
        ),
        Key("override", part(OVERRIDE), "Makes these events decisions of people.", "see below", "none"),
        Key(
            "clean",
            list_of(any_of(part(DROP), part(KEEP), words="rule"), "list of rules"),
            "Which rows of a history are left out before training; the stream drops no event.",
            "see below",
            "none",
        ),
        DESCRIPTION,
    ),
)
