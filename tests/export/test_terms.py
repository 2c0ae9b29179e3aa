"""What a use case's policy section says, and how each mistake in it is answered."""

import pytest

from export.policy import Policy
from export.terms import HOUR_US, Target, Terms, terms
from features.document import BadUseCase
from features.schema import LEVELS

SECTION = {
    "medium": {"recall": 0.9},
    "high": 0.6,
    "fall": 0.7,
    "cooldown": "12h",
    "recommend": {"in_a_row": 2, "min_events": 0},
    "max_per_hour": 20,
}


def test_every_term_is_read():
    assert terms(SECTION) == Terms(Target("recall", 0.9), Target("score", 0.6), 0.7, 12 * HOUR_US, 2, 0, 20)
    assert terms({}) == Terms()


def test_the_policy_takes_its_thresholds_from_training():
    policy = Policy.of(SECTION, {"medium": 0.2, "high": 0.5})
    assert policy == Policy(0.2, 0.5, 0.7, 12 * HOUR_US, 2, 0, 20)
    assert policy.bounds == pytest.approx((0.14, 0.2, 0.35, 0.5))


def test_levels_have_the_order_of_the_use_case_s_words():
    from export.levels import Level

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
        ({"medium": {"f1": 0.5}}, "policy.medium.*: 'f1' is not one of score, precision, recall, share"),
        ({"fall": 0}, "policy.fall: 0 is not above 0"),
        ({"cooldown": "soon"}, "policy.cooldown: 'soon' is not a duration"),
        ({"recommend": {"in_a_row": 0}}, "policy.recommend.in_a_row: 0 is not a whole number of at least 1"),
        ({"recommend": {"min_events": 2.5}}, "policy.recommend.min_events: 2.5 is not a whole number"),
        ({"recommend": 3}, "policy.recommend: 3 is not a mapping"),
        ({"max_per_hour": -1}, "policy.max_per_hour: -1 is not a whole number of at least 0"),
    ],
)
def test_mistakes_are_named_with_their_path(section, message):
    with pytest.raises(BadUseCase, match=message):
        terms(section, "x.yaml")
