"""The keys of the `model` section of a use case; `split` and `gates` are declared by the rooms that read them."""

from features.usecase.declaration import (
    Form,
    Key,
    Section,
    any_of,
    choice,
    flag,
    list_of,
    number,
    part,
    whole_number,
)
from training.models.candidates import CANDIDATES

ANYTHING = Form("section", {"type": ["object", "null"]})
POSITIVE = number(above=0)
COSTS = Section(
    "model.metric.expected_cost",
    "What errors cost, in any one unit.",
    (
        Key("miss", POSITIVE, "The cost of a missed positive.", "100", required=True),
        Key("false_alarm", POSITIVE, "The cost of a false alarm.", "5", required=True),
    ),
)
METRIC = Section(
    "model.metric",
    "A metric with its number; one of these.",
    (
        Key(
            "recall_at_fpr",
            number(above=0, below=1),
            "Recall where this share of negatives is flagged.",
            "0.01",
        ),
        Key(
            "expected_cost",
            part(COSTS),
            "The cost of errors at the best threshold.",
            "{miss: 100, false_alarm: 5}",
        ),
        Key("f_beta", POSITIVE, "The F-score in which recall counts this much more than precision.", "2"),
    ),
    more={"minProperties": 1, "maxProperties": 1},
)
HYPER_PARAMETERS = (
    Key("trees", whole_number(1), "The number of trees.", "200", "the learner's"),
    Key("leaves", whole_number(2), "The most leaves of a tree.", "6", "the learner's"),
    Key("rows_per_leaf", whole_number(1), "The fewest rows of a leaf.", "5", "the learner's"),
    Key(
        "child_weight",
        number(least=0),
        "The least sum of p (1 - p) in a leaf of XGBoost.",
        "0.4",
        "the learner's",
    ),
    Key("learning_rate", POSITIVE, "How much each tree of a boosted model adds.", "0.05", "the learner's"),
    Key("l2", number(least=0), "The L2 penalty, in customers.", "5", "the learner's"),
    Key(
        "columns",
        number(above=0, most=1),
        "The share of features looked at for a tree or a split.",
        "0.3",
        "the learner's",
    ),
)


def model(split: Form = ANYTHING, gates: Form = ANYTHING) -> Section:
    """Return the declaration of the whole section."""
    return Section(
        "model",
        "How the model is trained, judged and replaced. Hyper-parameters hold for every candidate that has them.",
        (
            Key(
                "candidates",
                list_of(choice(*CANDIDATES), "learners"),
                "The learners that are compared.",
                "[xgboost]",
                "[logistic_regression, random_forest, xgboost]",
            ),
            Key(
                "metric",
                any_of(
                    choice("average_precision"),
                    part(METRIC),
                    words="`average_precision` or a metric with its number",
                ),
                "What tuning and the comparison of learners optimize.",
                "{recall_at_fpr: 0.01}",
                "average_precision",
            ),
            Key("trials", whole_number(0), "Trials of tuning for each candidate; 0 is no tuning.", "20", "0"),
            Key(
                "repeats", whole_number(1), "How often the comparison is repeated with other folds.", "2", "2"
            ),
            Key(
                "tuning_rows",
                whole_number(1_000),
                "Rows learned from while tuning and comparing.",
                "50000",
                "50000",
            ),
            Key("folds", whole_number(2), "Held-out parts that metrics and thresholds come from.", "3", "5"),
            Key(
                "rows_per_customer",
                whole_number(1),
                "The most rows of a customer that are learned from.",
                "50",
                "50",
            ),
            Key("balanced", flag(), "Whether both classes weigh alike while learning.", "true", "false"),
            *HYPER_PARAMETERS,
            Key("split", split, "Which rows judge.", "{by: time, test: 7d}", "see below"),
            Key("gates", gates, "What a challenger must show.", "{min_customers: 300}", "see below"),
        ),
    )


MODEL = model()
