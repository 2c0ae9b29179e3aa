"""The keys of a use case file: what each is for, how it is written, and what holds without it.

`model` and `policy` are declared by the rooms that read them.
"""

from features.usecase.condition_keys import DESCRIPTION, FIELD_NAMES, PATH, SCALAR
from features.usecase.declaration import (
    DURATION,
    NAME,
    Form,
    Key,
    Section,
    any_of,
    choice,
    duration,
    list_of,
    mapping_of,
    name,
    part,
)
from features.usecase.event_keys import EVENT_TYPE
from features.usecase.feature_keys import FEATURES

ANYTHING = Form("section", {"type": ["object", "null"]})

LABEL = Section(
    "label",
    "What became of a customer, or of one event.",
    (
        Key("from", PATH, "The field that says it.", "verdict.fraud", required=True),
        Key(
            "positive", list_of(SCALAR, "values"), "The values that are bad outcomes.", '["1"]', required=True
        ),
        Key(
            "event",
            name("event type"),
            "The scored event type that it judges.",
            "payment",
            "the customer, or its event",
        ),
        Key(
            "event_id",
            FIELD_NAMES,
            "The fields that name the id of the judged event; with `event`.",
            "payment_id",
            "none",
        ),
        Key("delay", duration(), "How long after the event the label is known.", "90d", "at once"),
        DESCRIPTION,
    ),
)
PERSON = Section(
    "protected[], sensitive[]",
    "A field of people by which reports compare how they are treated. The path alone is short for it.",
    (
        Key("from", PATH, "The field.", "customer.years", required=True),
        Key("as", choice("age"), "The number is an age.", "age", required=True),
    ),
)
PEOPLE = list_of(any_of(PATH, part(PERSON)), "list of fields")

FORGET = any_of(duration(), mapping_of(duration(), "duration by entity"))
TIMING = (
    Key(
        "allowed_lateness",
        duration(),
        "How late an event may come and still count in its place.",
        "2h",
        "1h",
    ),
    Key("max_clock_skew", duration(), "How far the clock of a sender may run ahead.", "10m", "5m"),
    Key(
        "forget_after",
        FORGET,
        "The silence after which a record is forgotten.",
        "730d",
        "never, or after its windows",
    ),
    Key(
        "hops",
        mapping_of(duration(), "hop by window", DURATION),
        "The steps in which a window moves; a whole fraction of it, down to a thousandth.",
        "{180d: 3d}",
        "{1h: 5m, 24h: 1h, 1d: 1h, 7d: 6h, 30d: 1d, 90d: 1d}",
    ),
)


def root(model: Form = ANYTHING, policy: Form = ANYTHING) -> Section:
    """Return the declaration of a whole file, with the sections that other rooms read."""
    return Section(
        "",
        "The whole file.",
        (
            Key(
                "use_case",
                name(),
                "The name, which is part of keys, tables and messages.",
                "card_fraud",
                required=True,
            ),
            Key("subject", name("entity"), "The entity whose risk is decided.", "customer", required=True),
            DESCRIPTION,
            *TIMING,
            Key(
                "events",
                mapping_of(part(EVENT_TYPE), "event types by name", NAME),
                "The event types.",
                "see below",
                required=True,
            ),
            Key("features", part(FEATURES), "The features.", "see below", required=True),
            Key(
                "label",
                part(LABEL),
                "What training learns to predict.",
                "see below",
                "none: there is no training",
            ),
            Key("protected", PEOPLE, "Fields that no feature may use.", "[customer.gender]", "none"),
            Key(
                "sensitive",
                PEOPLE,
                "Fields that features may use.",
                "[customer.date_of_birth]",
                "dates used as ages",
            ),
            Key("model", model, "How the model is trained, judged and replaced.", "see below", "see below"),
            Key("policy", policy, "How scores become levels and recommendations.", "see below", "see below"),
        ),
    )


ROOT = root()
