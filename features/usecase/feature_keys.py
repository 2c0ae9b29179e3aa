"""The keys of the `features` section."""

from features.kernel.plan import Statistic
from features.usecase.condition_keys import DESCRIPTION, FIELD_NAME, PATH, WHERE
from features.usecase.declaration import (
    DURATION,
    NAME,
    Form,
    Key,
    Section,
    any_of,
    choice,
    list_of,
    mapping_of,
    name,
    part,
    text,
)

WINDOW = Form("duration or `ever`", {"type": "string", "pattern": f"^ever$|{DURATION}"})
STATISTIC = choice(*(statistic.name.lower() for statistic in Statistic))
SIDE = Form(
    "aggregate.statistic.window or event.field",
    {"type": "string", "pattern": r"^(event\.[^.]+|[^.]+\.[^.]+\.[^.]+)$"},
)

AGGREGATE = Section(
    "features.ENTITY.aggregates.NAME",
    "Events of one type, filtered, with statistics over windows. Each statistic over each window is a feature, called "
    "NAME_statistic_window.",
    (
        Key("event", name("event type"), "The type of the events.", "payment", required=True),
        Key(
            "where",
            WHERE,
            "Tests that an event must pass to count.",
            "{state: COMPLETED}",
            "every event counts",
        ),
        Key(
            "value",
            FIELD_NAME,
            "The number field that sum, mean, std, min, max and last look at.",
            "amount",
            "none",
        ),
        Key("distinct", FIELD_NAME, "The field whose different values `distinct` counts.", "shop_id", "none"),
        Key(
            "statistics", list_of(STATISTIC, "statistics"), "What is computed.", "[count, sum]", required=True
        ),
        Key(
            "windows",
            list_of(WINDOW, "windows"),
            "Over which time before the event.",
            "[24h, 30d]",
            required=True,
        ),
        DESCRIPTION,
    ),
)
RATIO = Section(
    "features.ENTITY.ratios.NAME",
    "One number over another; unknown (NaN) where the denominator is 0.",
    (
        Key("numerator", SIDE, "The number above.", "declined.count.7d", required=True),
        Key("denominator", SIDE, "The number below.", "attempt.count.7d", required=True),
        DESCRIPTION,
    ),
)
DIFFERENCE = Section(
    "features.ENTITY.differences.NAME",
    "One number minus another.",
    (
        Key("value", SIDE, "The number from which the other is taken.", "money_in.sum.24h", required=True),
        Key("minus", SIDE, "The number that is taken from it.", "money_out.sum.24h", required=True),
        DESCRIPTION,
    ),
)
AS = Key(
    "as",
    choice("code", "columns", "age"),
    "A category as its code or as columns; a date as an age.",
    "age",
    "columns",
)
VALUES = Key(
    "values",
    list_of(text(), "list of texts"),
    "The values of a category that become features.",
    "[OUT]",
    "all",
)
ATTRIBUTE = Section(
    "features.ENTITY.attributes.NAME",
    "The latest value of a field, kept in the entity's record.",
    (Key("from", PATH, "The field.", "customer.date_of_birth", required=True), AS, VALUES, DESCRIPTION),
)
EVENT_FEATURE = Section(
    "features.event[].FIELD", "How a field of the scored event becomes a feature.", (AS, VALUES)
)
ENTITY = Section(
    "features.ENTITY",
    "The features that are kept for one entity.",
    (
        Key(
            "aggregates",
            mapping_of(part(AGGREGATE), "aggregates by name", NAME),
            "Counted events.",
            "see below",
            "none",
        ),
        Key("ratios", mapping_of(part(RATIO), "ratios by name", NAME), "Quotients.", "see below", "none"),
        Key(
            "differences",
            mapping_of(part(DIFFERENCE), "differences by name", NAME),
            "Differences.",
            "see below",
            "none",
        ),
        Key(
            "attributes",
            mapping_of(part(ATTRIBUTE), "attributes by name", NAME),
            "Latest values.",
            "see below",
            "none",
        ),
    ),
)
EVENT_FEATURES = list_of(
    any_of(
        text(),
        mapping_of(any_of(part(EVENT_FEATURE), Form("nothing", {"type": "null"})), "field with a form"),
    ),
    "fields of the scored event, also `hour` and `weekday`",
)
FEATURES = Section(
    "features",
    "The columns of the vector. Its order is the order of the file: by entity, then those of the event.",
    (Key("event", EVENT_FEATURES, "Values of the event that is scored.", "[amount, hour]", "none"),),
    others=part(ENTITY),
)
