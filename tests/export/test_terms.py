"""The policy section of a use case, and the answer to each mistake in it."""

import pytest

from export.policy import Policy, Target, Terms, terms
from export.policy.settings import HOUR_US
from features.usecase import LEVELS, BadUseCase

SECTION = {
    "medium": {"recall": 0.9},
    "high": 0.6,
    "exit_ratio": 0.7,
    "cooldown": "12h",
    "recommend": {"in_a_row": 2, "min_events": 0},
    "max_per_hour": 20,
}


def test_every_term_is_read():
    assert terms(SECTION) == Terms(Target("recall", 0.9), Target("score", 0.6), 0.7, 12 * HOUR_US, 2, 0, 20)
    assert terms({}) == Terms()


@pytest.mark.parametrize(
    ("written", "target"),
    [
        ({"f_beta": 0.5}, Target("f_beta", 0.5)),
        ({"per_week": 20}, Target("per_week", 20.0)),
        ({"expected_cost": {"miss": 100, "false_alarm": 5}}, Target("expected_cost", miss=100.0, false_alarm=5.0)),
        ({"expected_cost": {"miss": "spent", "false_alarm": 5}}, Target("expected_cost", miss="spent", false_alarm=5)),
    ],
    ids=str,
)  # fmt: skip
def test_what_a_threshold_may_be_chosen_by(written, target):
    found = terms({"high": written}, "x.yaml", ("paid", "spent"))
    assert found.high == target and found.high.asked == written


def test_the_policy_takes_its_thresholds_from_training():
    policy = Policy.of(SECTION, {"medium": 0.2, "high": 0.5})
    assert policy == Policy(0.2, 0.5, 0.7, 12 * HOUR_US, 2, 0, 20)
    assert policy.bounds == pytest.approx((0.14, 0.2, 0.35, 0.5))


def test_levels_have_the_order_of_the_use_case_s_words():
    from export.policy import Level

    assert tuple(level.name for level in Level) == LEVELS


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"hihg": 0.6}, "x.yaml: policy.*: 'hihg' is not one of .*did you mean high"),
        ({"high": "much"}, "x.yaml: policy.high: 'much' is not a number"),
        ({"high": 1.2}, "policy.high: 1.2 is not above 0 and at most 1"),
        ({"high": {"precision": 0}}, "policy.high.precision: 0 is not above 0"),
        (
            {"high": {"precision": 0.5, "recall": 0.5}},
            "policy.high: .* is not a number, or one of score, prec",
        ),
        (
            {"medium": {"f1": 0.5}},
            "policy.medium.*: 'f1' is not one of score, precision, recall, share, f_beta",
        ),
        ({"high": {"f_beta": 0}}, "policy.high.f_beta: 0 is not a number above 0"),
        ({"high": {"per_week": "many"}}, "policy.high.per_week: 'many' is not a number"),
        ({"high": {"expected_cost": {"miss": 10}}}, "policy.high.expected_cost: false_alarm is missing"),
        ({"high": {"expected_cost": 10}}, "policy.high.expected_cost: 10 is not a mapping"),
        (
            {"high": {"expected_cost": {"miss": "spend", "false_alarm": 1}}},
            "policy.high.expected_cost.miss: 'spend' is not one of paid, spent.*did you mean spent",
        ),
        (
            {"high": {"expected_cost": {"miss": -1, "false_alarm": 0}}},
            "policy.high.expected_cost.miss: -1 is not a number above 0",
        ),
        ({"exit_ratio": 0}, "policy.exit_ratio: 0 is not above 0"),
        ({"cooldown": "soon"}, "policy.cooldown: 'soon' is not a duration"),
        ({"recommend": {"in_a_row": 0}}, "policy.recommend.in_a_row: 0 is not a whole number of at least 1"),
        ({"recommend": {"min_events": 2.5}}, "policy.recommend.min_events: 2.5 is not a whole number"),
        ({"recommend": 3}, "policy.recommend: 3 is not a mapping"),
        ({"max_per_hour": -1}, "policy.max_per_hour: -1 is not a whole number of at least 0"),
    ],
)
def test_mistakes_are_named_with_their_path(section, message):
    with pytest.raises(BadUseCase, match=message):
        terms(section, "x.yaml", ("paid", "spent"))


INVERTED = [
    {"high": 0.3, "medium": 0.9},
    {"high": {"score": 0.3}, "medium": 0.9},
    {"high": {"precision": 0.5}, "medium": {"precision": 0.6}},
    {"high": {"recall": 0.9}, "medium": {"recall": 0.5}},
    {"high": {"share": 0.2}, "medium": {"share": 0.01}},
    {"high": {"per_week": 50}, "medium": {"per_week": 20}},
    {"high": {"f_beta": 2}, "medium": {"f_beta": 0.5}},
    {"high": {"recall": 0.9}},  # medium is to reach a recall of 0.8 where nothing else is said
    {"medium": {"precision": 0.9}},
]


@pytest.mark.parametrize("section", INVERTED, ids=str)
def test_a_high_below_medium_is_refused(section):
    with pytest.raises(
        BadUseCase, match=r"x.yaml: policy: high at .* lies below medium at .*nobody could be MEDIUM"
    ):
        terms(section, "x.yaml")


@pytest.mark.parametrize(
    "section",
    [
        {"high": 0.5, "medium": 0.5},  # on purpose without a MEDIUM
        {"high": {"share": 0.01}, "medium": {"share": 0.2}},
        {"high": {"recall": 0.5}, "medium": {"recall": 0.9}},
        {"high": 0.3, "medium": {"recall": 0.9}},  # which of them lies higher is known after training
        {"high": {"precision": 0.5}, "medium": 0.9},
        {"high": {"per_week": 20}, "medium": {"per_week": 50}},
        {
            "high": {"expected_cost": {"miss": 10, "false_alarm": 9}},
            "medium": {"expected_cost": {"miss": 10, "false_alarm": 1}},
        },
    ],
    ids=str,
)
def test_other_orders_are_taken(section):
    assert terms(section)


def test_all_mistakes_of_a_policy_are_named_at_once():
    with pytest.raises(BadUseCase) as told:
        terms(
            {"hihg": 0.6, "exit_ratio": 2, "cooldown": "1 week", "recommend": {"in_a_row": 0, "min": 3}},
            "x.yaml",
        )
    assert [fault.path for fault in told.value.faults] == [
        "policy.hihg", "policy.exit_ratio", "policy.cooldown", "policy.recommend.min", "policy.recommend.in_a_row",
    ]  # fmt: skip
    assert told.value.faults[2].hint == "7d"
