"""The keys of the `model.gates` section of a use case."""

from features.usecase.declaration import Key, Section, choice, flag, number, whole_number

SHARE = number(least=0, most=1)
GATES = Section(
    "model.gates",
    "What a model must show before it may become the champion.",
    (
        Key("min_improvement", number(), "The least lead of the metric over the champion's.", "0.01", "0"),
        Key(
            "max_regression",
            number(least=0),
            "How far below 0 the interval of that lead may reach before a person looks.",
            "0.02",
            "0.02",
        ),
        Key("min_customers", whole_number(1), "The fewest customers to judge by.", "300", "100"),
        Key("min_positives", whole_number(1), "The fewest positive customers to judge by.", "30", "10"),
        Key("calibration", SHARE, "The largest distance of scores from the truth.", "0.1", "0.1"),
        Key("fairness", SHARE, "The least ratio of the rates of two groups.", "0.8", "0.8"),
        Key(
            "on_unfair",
            choice("wait", "reject"),
            "What follows below that ratio: wait for a person, or reject.",
            "reject",
            "wait",
        ),
        Key("drift", number(least=0), "The PSI from which a feature has drifted.", "0.25", "0.25"),
        Key("max_drifted_share", SHARE, "The largest share of features that have drifted.", "0.3", "0.3"),
        Key(
            "calendar",
            choice("all", "known"),
            "The dates that the model must beat: all, or those known when it scores.",
            "known",
            "all",
        ),
        Key(
            "baselines",
            number(),
            "The least lead over what one has without a model; below 0 is no gate.",
            "-1",
            "0",
        ),
        Key(
            "require_approval", flag(), "Whether a person approves even when all gates pass.", "true", "false"
        ),
    ),
)
