"""The keys of the `model.split` section of a use case."""

from features.usecase.declaration import Key, Section, any_of, choice, duration, flag, number

WAYS = ("group", "time", "both")
SPLIT = Section(
    "model.split",
    "Which rows a model learns from, and which judge it.",
    (
        Key(
            "by",
            choice(*WAYS),
            "`group` parts customers, `time` parts the period, `both` does both.",
            "time",
            "group, or both where the label is an event's",
        ),
        Key(
            "test",
            any_of(number(above=0, below=1), duration()),
            "The last part of the period, which judges.",
            "7d",
            "0.25",
        ),
        Key(
            "train",
            duration(),
            "Only labels known within this time before the cut are learned from.",
            "7d",
            "all",
        ),
        Key(
            "exclude_known_positives",
            flag(),
            "Whether customers stop judging the day after they are known to be positive.",
            "true",
            "false",
        ),
    ),
)
