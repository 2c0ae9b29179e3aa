"""All faults of a use case file at once: each with its line, what was probably meant, and none that only follows."""

import pytest

from features.usecase import BadUseCase, Node, hints, look, parse
from features.usecase.yaml_tree import read

# each wrong line ends in a comment: the path of its fault, and the hint
WRONG = """
use_case: small
subject: customer
latenes: 2h                                              # latenes -> allowed_lateness
events:
  payment:
    scored: true
    id: [id]
    time: [at]
    entities: {customer: payer, shop: shop}
    fields:
      id: string
      at: timestamp                                      # events.payment.fields.at -> time
      payer: str                                         # events.payment.fields.payer -> string
      shop: {type: string, optional: yes}                # events.payment.fields.shop.optional -> true
      amount: float                                      # events.payment.fields.amount -> number
      fee: {type: double, mim: 0}                        # events.payment.fields.fee.type -> number
      count: int                                         # events.payment.fields.count -> integer
      paid: bool                                         # events.payment.fields.paid -> boolean
      channel: enum                                      # events.payment.fields.channel -> a list of its values
      kind: [CARD, WIRE]
  profile:
    id: none                                             # events.profile.id -> "*"
    time: none                                           # events.profile.time -> published
    entities: {customer: user}
    fields:
      user: string
      born: {type: date, optional: true}
  note:                                                  # events.note -> time: published
    id: "*"
    entities: {customer: user}
    fields: {user: string}
features:
  customer:
    aggregates:
      paid:
        event: payment
        where: {kind: card}                              # features.customer.aggregates.paid.where.kind -> CARD
        value: amount
        statistics: [count, avg]                         # features.customer.aggregates.paid.statistics[1] -> mean
        windows: [1h, 1w]                                # features.customer.aggregates.paid.windows[1] -> 7d
      all:
        event: payment
        statistics:
          - nunique                                      # features.customer.aggregates.all.statistics[0] -> distinct
          - stddev                                       # features.customer.aggregates.all.statistics[1] -> std
          - cnt                                          # features.customer.aggregates.all.statistics[2] -> count
        windows:
          - 1day                                         # features.customer.aggregates.all.windows[0] -> 1d
          - lifetime                                     # features.customer.aggregates.all.windows[1] -> ever
    ratios:
      share: {numerator: paid.count.1h, denominator: al.count.1h}  # features.customer.ratios.share.denominator -> all
    attributes:
      age: {from: profile.bron, as: age}                 # features.customer.attributes.age.from -> born
  event: [amont, kind, hour]                             # features.event[0] -> amount
label: {from: profile.user, positive: ["yes"]}           # label.from
protected: [profile.gender]                              # protected[0]
"""


def marked(text: str) -> list[tuple[int, str, str]]:
    """Line, path and hint as the comments have them."""
    marks = [
        (number, line.partition("# ")[2]) for number, line in enumerate(text.splitlines(), 1) if "# " in line
    ]
    return [
        (number, *(part.strip() for part in (mark.partition("->")[0], mark.partition("->")[2])))
        for number, mark in marks
    ]


def told(text: str) -> BadUseCase:
    with pytest.raises(BadUseCase) as caught:
        parse(text, "x.yaml")
    return caught.value


def test_every_fault_is_told_by_line_with_what_was_meant() -> None:
    faults = [fault for fault in told(WRONG).faults if fault.path != "events.payment.fields.fee.mim"]
    expected = marked(WRONG)
    assert [(fault.line, fault.path) for fault in faults] == [mark[:2] for mark in expected]
    for fault, (_, path, hint) in zip(faults, expected, strict=True):
        assert fault.hint.startswith(hint) and bool(fault.hint) == bool(hint), path
        assert not hint or f"(did you mean {fault.hint}?)" in str(fault) or fault.path == "events.note"


def test_the_error_has_a_line_for_each_fault_with_file_line_and_path() -> None:
    error = told(WRONG)
    lines = str(error).splitlines()
    assert lines == [str(fault) for fault in error.faults]
    assert lines[0].startswith("x.yaml:4: latenes: 'latenes' is not one of use_case, subject")
    (amount,) = [fault for fault in error.faults if fault.path == "events.payment.fields.amount"]
    assert (amount.line, amount.found, amount.hint) == (16, "'float'", "number")
    assert amount.expected == "one of string, number, integer, boolean, date, time"


SMALL = """
use_case: small
subject: customer
events:
  payment: {scored: true, id: [id], time: [at], entities: {customer: payer},
            fields: {id: string, at: time, payer: string, amount: number, kind: [A, B]}}
features:
  customer:
    aggregates:
      paid: {event: payment, where: {kind: A}, value: amount, statistics: [sum], windows: [1h]}
    ratios: {r: {numerator: event.amount, denominator: paid.sum.1h}}
  event: [amount, kind]
"""


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("amount: number", "amount: flot", "events.payment.fields.amount"),
        ("kind: [A, B]", "kind: [A, 1]", "events.payment.fields.kind[1]"),
        ("kind: [A, B]", "kind: [A, B, A]", "events.payment.fields.kind"),
        ("payer: string", "payer: uid", "events.payment.fields.payer"),
        ("at: time", "at: 5", "events.payment.fields.at"),
        ("statistics: [sum]", "statistics: [sume]", "features.customer.aggregates.paid.statistics[0]"),
        ("value: amount", "valeu: amount", "features.customer.aggregates.paid.valeu"),
        ("event: payment", "event: paymnt", "features.customer.aggregates.paid.event"),
        ("scored: true", "scored: 1", "events.payment.scored"),
        ("scored: true, ", "", "events"),
        ("entities: {", "entites: {", "events.payment.entites"),
        ("subject: customer", "subject: client", "subject"),
        ("subject: customer", "", ""),
        ("fields: {", "fields: 5, other: {", "events.payment.fields"),
    ],
)
def test_what_depends_on_a_fault_is_no_fault_of_its_own(old: str, new: str, path: str) -> None:
    assert SMALL.count(old) == 1
    parse(SMALL)
    paths = [fault.path for fault in told(SMALL.replace(old, new)).faults]
    assert [each for each in paths if not each.endswith(".other")] == [path]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("use_case: x\nevents: [a, b\nfeatures: 1\n", 3, "not a YAML file: while parsing a flow sequence (from line 2"),
        ("use_case: x\n\tevents: 1\n", 2, "not a YAML file: while scanning for the next token"),
        ("use_case: x\nevents: *none\n", 2, "found undefined alias 'none'"),
        ("use_case: x\nevents: !!python/name:os.system\n", 2, "could not determine a constructor"),
        ("use_case: x\nevents: !!int abc\n", 2, "invalid literal for int()"),
        ("use_case: x\nevents: &a [*a]\n", 2, "found unconstructable recursive node"),
        ("use_case: x\nevents: \x00\n", 2, "special characters are not allowed: '\\x00'"),
        ("use_case: x\n---\nuse_case: y\n", 2, "but found another document"),
        ("use_case: x\nevents: {<<: 5}\n", 2, "expected a mapping or list of mappings for merging"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_yaml_is_told_by_its_own_name_and_line(text: str, line: int, message: str) -> None:
    (fault,) = told(text).faults
    assert (fault.file, fault.line) == ("x.yaml", line)
    assert message in str(fault)
    assert "unicode string" not in str(fault) and "\n" not in str(fault)


def test_wrong_keys_are_told_together_with_everything_else() -> None:
    text = "use_case: 5\nsubject: c\nsubject: d\nevents: {}\nfeatures:\n  [a, b]: {}\n  {a: b}: 1\n"
    text += "allowed_lateness: 1hour\n"
    faults = told(text).faults
    assert [(fault.line, fault.path) for fault in faults] == [
        (1, "use_case"), (3, ""), (4, "events"), (6, ""), (7, ""), (8, "allowed_lateness"),
    ]  # fmt: skip
    assert "'subject' is there twice, first on line 2" in str(faults[1])


def test_a_mapping_may_override_what_it_merges_but_not_itself() -> None:
    anchored = "a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\nc: {<<: [{z: 1}, *a], y: 4}\nd: *a\n"
    root = read(anchored, "x.yaml")
    assert root.value == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 3, "y": 2},
        "c": {"x": 1, "y": 4, "z": 1},
        "d": {"x": 1, "y": 2},
    }
    assert root.faults == []
    assert root.entries()["b"].entries()["y"].line == 1, "where the text is"
    twice = read("a: {1: x, '1': y}\nb: {~: 1, true: 2, 1.50: 3}\n", "x.yaml")
    assert [fault.line for fault in twice.faults] == [1], "keys are text"
    assert list(twice.value["b"]) == ["~", "true", "1.50"]


def test_values_can_not_be_changed_and_know_their_lines() -> None:
    root = read("a:\n  - 1\n  - {b: 2}\n", "x.yaml")
    first, second = root.entries()["a"].items()
    assert (first.line, second.line, second.entries()["b"].line) == (2, 3, 3)
    with pytest.raises(TypeError):
        second.value["b"] = 3
    with pytest.raises(TypeError):
        root.value["a"][0] = 3


LOAN = SMALL.replace("kind: [A, B]}", "kind: [A, B], bad: {values: [yes, no], optional: true}}")
OWN = LOAN + "label: {from: payment.bad, positive: [yes]}\n"


@pytest.mark.parametrize(
    ("old", "new", "path", "message"),
    [
        ("values: [yes, no], optional: true", "values: [yes, no]", "events.payment.fields.bad", "make it optional"),
        ("id: [id]", "id: [id, bad]", "events.payment.id", "bad is the label, which is not known when"),
        ("{customer: payer}", "{customer: payer, shop: bad}", "events.payment.entities", "bad is the label"),
    ],
)  # fmt: skip
def test_a_label_that_an_event_needs_before_it_is_known_is_a_fault(
    tmp_path, old: str, new: str, path: str, message: str
) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(OWN)
    assert look(file).faults == ()
    assert OWN.count(old) == 1
    file.write_text(OWN.replace(old, new))
    (fault,) = look(file).faults
    assert (fault.path, fault.line) == (path, 5 if "fields" not in path else 6)
    assert message in str(fault)


def test_a_label_that_comes_with_another_event_may_be_required(tmp_path) -> None:
    fields = "{id: string, at: time, c: string, bad: [y, n]}"
    verdict = f"  verdict: {{id: [id], time: [at], entities: {{customer: c}}, fields: {fields}}}\n"
    file = tmp_path / "x.yaml"
    base = SMALL.replace("features:\n", verdict + "features:\n", 1)
    for label in (
        "from: verdict.bad, positive: [y]",
        "from: verdict.bad, positive: [y], event: payment, event_id: id",
    ):
        file.write_text(base + f"label: {{{label}}}\n")
        assert look(file).faults == ()


@pytest.mark.parametrize(
    ("word", "options", "meant"),
    [
        ("Float64", ("number", "string"), "number"),
        ("float64", ("count", "sum"), ""),
        ("COUNT_DISTINCT", ("count", "distinct"), "distinct"),
        ("count distinct", ("count", "distinct"), "distinct"),
        ("high", ("LOW", "HIGH"), "HIGH"),
        ("statistic", ("event", "statistics"), "statistics"),
        ("gte", ("in", "min", "max"), "min"),
        ("timestamp", ("id", "at", "published"), ""),
        ("xyzzy", ("count",), ""),
        ("none", ("id", "*"), '"*"'),
    ],
)
def test_words_of_other_systems_and_misspellings_are_understood(
    word: str, options: tuple[str, ...], meant: str
) -> None:
    assert hints.nearest(word, options) == meant


@pytest.mark.parametrize(
    ("word", "meant"),
    [("1w", "7d"), ("2 weeks", "14d"), ("24 hours", "24h"), ("24H", "24h"), ("1day", "1d"), ("P7D", "7d"),
     ("PT1H", "1h"), ("3 months", "90d"), ("1year", "365d"), ("5min", "5m"), ("0d", ""), ("soon", ""), ("1.5h", "")],
)  # fmt: skip
def test_other_forms_of_a_duration_are_understood(word: str, meant: str) -> None:
    assert hints.duration(word) == meant
    with pytest.raises(BadUseCase) as caught:
        Node("x.yaml", "lateness", word).duration_us()
    assert caught.value.faults[0].hint == meant
