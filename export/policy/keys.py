"""The keys of the `policy` section of a use case."""

from features.usecase.declaration import (
    Form,
    Key,
    Section,
    any_of,
    duration,
    number,
    part,
    text,
    whole_number,
)

SHARE = number(above=0, most=1)
POSITIVE = number(above=0)
COSTS = Section(
    "policy.LEVEL.expected_cost",
    "What errors cost, in any one unit.",
    (
        Key(
            "miss",
            any_of(POSITIVE, text("a feature")),
            "The cost of a missed positive customer.",
            "400",
            required=True,
        ),
        Key("false_alarm", POSITIVE, "The cost of a false alarm.", "25", required=True),
    ),
)
TARGET = Section(
    "policy.LEVEL",
    "How training chooses the threshold of a level, with one of these; a number alone is a fixed score.",
    (
        Key("score", SHARE, "A fixed score.", "0.6"),
        Key("precision", SHARE, "At least this share of those on the level are positive.", "0.8"),
        Key("recall", SHARE, "At least this share of the positive reach the level.", "0.8"),
        Key("share", SHARE, "At most this share of all customers reach the level.", "0.01"),
        Key(
            "f_beta", POSITIVE, "The best F-score, in which recall counts this much more than precision.", "2"
        ),
        Key("per_week", POSITIVE, "At most so many customers a week reach the level, on average.", "20"),
        Key("expected_cost", part(COSTS), "The least cost of errors.", "{miss: 400, false_alarm: 25}"),
    ),
    more={"minProperties": 1, "maxProperties": 1},
)
LEVEL = any_of(SHARE, part(TARGET), words="score or target")
RECOMMEND = Section(
    "policy.recommend",
    "When off-boarding is recommended.",
    (
        Key("in_a_row", whole_number(1), "So many scored events in a row keep the level HIGH.", "3", "3"),
        Key(
            "min_events", whole_number(0), "The customer has at least so many events, of any type.", "5", "5"
        ),
    ),
)
POLICY = Section(
    "policy",
    "How scores become levels and recommendations.",
    (
        Key("medium", LEVEL, "The threshold of MEDIUM.", "{recall: 0.8}", "{recall: 0.8}"),
        Key("high", LEVEL, "The threshold of HIGH.", "{precision: 0.8}", "{precision: 0.8}"),
        Key("exit_ratio", SHARE, "A level is left below this part of its threshold.", "0.8", "0.8"),
        Key(
            "cooldown",
            duration(),
            "A level is kept for so long after the last score that reached it.",
            "24h",
            "24h",
        ),
        Key(
            "max_per_hour",
            whole_number(0),
            "A worker that recommends more within an hour holds further recommendations back; 0 is no limit.",
            "20",
            "0",
        ),
        Key(
            "recommend",
            part(RECOMMEND),
            "When off-boarding is recommended.",
            "{in_a_row: 3, min_events: 5}",
            "see below",
        ),
    ),
)
FORM: Form = part(POLICY)
