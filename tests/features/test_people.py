"""Protected and sensitive fields: how they are declared, and what is refused."""

import pytest

from features.usecase import BadUseCase, Grouping, PersonField, look, parse

TEXT = """
use_case: people
subject: customer
events:
  customer:
    id: ["*"]
    time: published
    entities: {customer: user}
    fields:
      {user: string, sex: [F, M], born: {type: date, optional: true}, years: integer, income: number, bad: boolean}
  payment:
    scored: true
    id: [id]
    time: [at]
    entities: {customer: user}
    fields: {id: string, user: string, amount: number, at: time}
features:
  customer:
    attributes: {age: {from: customer.born, as: age}}
  event: [amount]
label: {from: customer.bad, positive: [true]}
"""
AGE = PersonField("customer", "born", Grouping.AGE, False)


def test_a_date_that_a_feature_makes_an_age_is_sensitive_unless_the_file_says_else() -> None:
    assert parse(TEXT).people == (AGE,) and parse(TEXT).protected == frozenset()
    assert parse(TEXT + "sensitive: []\n").people == ()
    assert parse(TEXT.replace("attributes: {age: {from: customer.born, as: age}}", "{}")).people == ()


def test_protected_fields_come_first_and_numbers_are_grouped_by_quartile_or_as_ages() -> None:
    use_case = parse(
        TEXT + "protected: [customer.sex]\nsensitive: [customer.income, {from: customer.years, as: age}]\n"
    )
    assert [(each.name, each.grouping, each.is_protected) for each in use_case.people] == [
        ("customer.sex", "value", True), ("customer.income", "quartile", False), ("customer.years", "years", False),
    ]  # fmt: skip
    assert use_case.protected == {("customer", "sex")}
    assert use_case.fingerprint == parse(TEXT).fingerprint, "they change no vector"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("sensitive: [customer.bad]", "sensitive[0]: customer.bad is the label; leave it out"),
        (
            "protected: [customer.sex]\nsensitive: [customer.sex]",
            "customer.sex is listed under protected, so it is",
        ),
        (
            "sensitive: [customer.sexx]",
            "'sexx' is not one of user, sex, born, years, income, bad (did you mean sex?)",
        ),
        ("sensitive: [{from: customer.sex, as: age}]", "only a date or a number is an age"),
        ("sensitive: [{from: customer.born, as: years}]", "sensitive[0].as: 'years' is not one of age"),
        ("sensitive_fields: [customer.sex]", "did you mean sensitive?"),
        ("protected: [customer.born]", "customer.born is listed under protected: no feature may use it"),
    ],
)
def test_errors_name_path_value_and_expectation(line: str, error: str) -> None:
    with pytest.raises(BadUseCase) as told:
        parse(f"{TEXT}{line}\n", "x.yaml")
    assert error in str(told.value)


def test_usecase_check_tells_every_fault_of_both_lists(tmp_path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(TEXT + "protected: [customer.sexx]\nsensitive: [customer.bornn]\n")
    assert [fault.path for fault in look(file).faults] == ["protected[0]", "sensitive[0]"]
