"""Use case files: what is read, what is refused and how that is said, what the fingerprint covers."""

import pickle
from pathlib import Path

import pytest

from features.kernel.plan import EVER, Statistic
from features.usecase import BadUseCase, UseCase, feature_rows, load, parse

ROOT = Path(__file__).parents[2]
OFFBOARDING = ROOT / "usecases" / "offboarding.yaml"
SIXTEEN = ROOT / "tests" / "benchmarks" / "sixteen.yaml"

SMALL = """
use_case: small
subject: customer
allowed_lateness: 2h
events:
  payment:
    scored: true
    id: [id]
    time: [at]
    entities: {customer: payer, shop: shop}
    fields:
      id: string
      at: time
      payer: string
      shop: {type: string, optional: true}
      amount: {type: number, min: 0}
      fee: {type: number, optional: true}
      kind: [CARD, WIRE]
      fraud: {values: ["yes", "no"], optional: true}
  profile:
    id: ["*"]
    time: published
    entities: {customer: user}
    fields:
      user: string
      born: {type: date, optional: true}
      gender: {values: [M, F], optional: true}
      color: [RED, BLUE]
features:
  customer:
    aggregates:
      paid: {event: payment, where: {kind: CARD, amount: {min: 5}}, value: amount,
             statistics: [count, sum], windows: [1h, 24h]}
      all: {event: payment, statistics: [count, since_last], windows: [7d, ever]}
    ratios: {card_share: {numerator: paid.count.24h, denominator: all.count.24h}}
    differences: {change: {value: paid.sum.24h, minus: paid.sum.1h}}
    attributes: {age: {from: profile.born, as: age}, color: {from: profile.color}}
  shop:
    aggregates: {taken: {event: payment, value: amount, statistics: [mean], windows: [24h]}}
  event: [amount, kind, hour]
label: {from: payment.fraud, positive: ["yes"]}
protected: [profile.gender]
policy: {high: 0.6}
"""


def changed(old: str, new: str) -> UseCase:
    assert SMALL.count(old) == 1, old
    return parse(SMALL.replace(old, new), "x.yaml")


def test_offboarding_has_40_to_80_features_and_no_protected_field() -> None:
    use_case = load(OFFBOARDING)
    assert 40 <= len(use_case.features) <= 80
    used = {name for feature in use_case.table for name in feature.fields}
    forbidden = ("gender", "country", "locale", "occupation", "user_current_state")
    assert not [name for name in used if any(word in name for word in forbidden)]
    assert use_case.label is not None and use_case.label.positive == ("SUSPENDED",)


def test_the_benchmark_has_its_sixteen_features() -> None:
    statistics = ("count", "sum", "mean", "max")
    windows = ("1h", "24h", "7d", "30d")
    assert load(SIXTEEN).features == tuple(f"amount_{s}_{w}" for s in statistics for w in windows)


def test_vector_order_is_file_order() -> None:
    assert parse(SMALL).features == (
        "paid_count_1h", "paid_count_24h", "paid_sum_1h", "paid_sum_24h", "all_count_7d", "all_count_ever",
        "all_since_last_ever", "card_share", "change", "age", "color_RED", "color_BLUE", "taken_mean_24h",
        "amount", "kind_CARD", "kind_WIRE", "hour",
    )  # fmt: skip


def test_plans_are_what_the_kernel_needs() -> None:
    use_case = parse(SMALL)
    assert use_case.entities == ("shop", "customer")
    customer, shop = use_case.plans["customer"], use_case.plans["shop"]
    assert (customer.is_subject, shop.is_subject) == (True, False)
    assert (customer.values, customer.distincts, customer.attributes, customer.sources) == (1, 0, 2, 1)
    assert customer.lateness_us == 7_200_000_000
    assert f"{customer.fingerprint:016x}" == use_case.fingerprint
    ever = [(o.lane, o.statistic) for o in customer.outputs if o.window_us == EVER]
    assert ever == [(1, Statistic.COUNT), (1, Statistic.SINCE_LAST)]
    hidden = [o for o in customer.outputs if (o.lane, o.statistic) == (1, Statistic.COUNT)]
    assert len(hidden) == 3, "7d, ever, and 24h for the ratio alone"


def test_the_feature_table_names_fields_and_windows() -> None:
    rows = {row.feature: row for row in feature_rows(parse(SMALL))}
    assert rows["paid_sum_24h"] == (
        "paid_sum_24h",
        "customer",
        "total amount of payment events (kind is CARD, amount is at least 5) in 24 hours",
        "payment.kind, payment.amount",
        "24h",
    )
    assert rows["hour"].entity == "event"


def meanings(use_case: UseCase) -> dict[str, str]:
    return {row.feature: row.meaning for row in feature_rows(use_case)}


def test_what_a_feature_means_is_a_phrase() -> None:
    card = "payment events (kind is CARD, amount is at least 5)"
    assert meanings(parse(SMALL)) == {
        "paid_count_1h": f"number of {card} in 1 hour",
        "paid_count_24h": f"number of {card} in 24 hours",
        "paid_sum_1h": f"total amount of {card} in 1 hour",
        "paid_sum_24h": f"total amount of {card} in 24 hours",
        "all_count_7d": "number of payment events in 7 days",
        "all_count_ever": "number of payment events so far",
        "all_since_last_ever": "time since the latest of the payment events, in seconds",
        "card_share": f"number of {card} over number of payment events in 24 hours",
        "change": f"total amount of {card} in 24 hours minus total amount of {card} in 1 hour",
        "age": "age by born, in years",
        "color_RED": "color is RED",
        "color_BLUE": "color is BLUE",
        "taken_mean_24h": "mean amount of payment events of the shop in 24 hours",
        "amount": "the event's amount",
        "kind_CARD": "the event's kind is CARD",
        "kind_WIRE": "the event's kind is WIRE",
        "hour": "the event's hour (UTC)",
    }


def test_descriptions_take_the_place_of_names_and_change_no_fingerprint() -> None:
    text = SMALL
    for old, new in (
        ("amount: {type: number, min: 0}", "amount: {type: number, min: 0, description: amount in euros}"),
        ("statistics: [count, sum], windows: [1h, 24h]}", "statistics: [count, sum], windows: [1h, 24h],\n"
         "             description: card payments}"),
        ("denominator: all.count.24h}", "denominator: all.count.24h, description: share of cards}"),
        ("minus: paid.sum.1h}", "minus: paid.sum.1h, description: euros of the day before the last hour}"),
        ("{from: profile.born, as: age}", "{from: profile.born, as: age, description: age}"),
        ("{from: profile.color}", "{from: profile.color, description: favourite color}"),
    ):  # fmt: skip
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    told = meanings(parse(text))
    assert {
        name: told[name] for name in ("paid_sum_24h", "card_share", "change", "age", "color_RED", "amount")
    } == {
        "paid_sum_24h": "total amount in euros of card payments in 24 hours",
        "card_share": "share of cards in 24 hours",
        "change": "euros of the day before the last hour",
        "age": "age, in years",
        "color_RED": "favourite color is RED",
        "amount": "the event's amount in euros",
    }
    assert told["taken_mean_24h"] == "mean amount in euros of payment events of the shop in 24 hours"
    assert parse(text).fingerprint == parse(SMALL).fingerprint


def test_a_use_case_pickles_as_its_text_and_is_one_object_a_process() -> None:
    use_case = parse(SMALL, "small.yaml")
    assert pickle.loads(pickle.dumps(use_case)) is use_case
    assert pickle.loads(pickle.dumps(use_case.policy)) == {"high": 0.6}


def test_nothing_of_it_can_be_changed() -> None:
    use_case = parse(SMALL)
    with pytest.raises(TypeError):
        use_case.policy["high"] = 0.1  # type: ignore[index]
    with pytest.raises(TypeError):
        use_case.event_types["payment"].fields["id"] = None  # type: ignore[index]
    with pytest.raises(AttributeError):
        use_case.name = "other"  # type: ignore[misc]


ID = "    id: [id]\n"
CLEAN = "    id: [id]\n    clean: [{}]\n".format

REFUSED = [
    ("kind: CARD,", "kind: CRAD,", "features.customer.aggregates.paid.where.kind: 'CRAD' is not one of CARD"),
    ("statistics: [mean]", "statistics: [meen]", "statistics[0]: 'meen' is not one of"),
    ("allowed_lateness: 2h", "allowed_lateness: 2 hours", "lateness: '2 hours' is not a duration such as"),
    ("allowed_lateness: 2h", "latenes: 2h", "'latenes' is not one of"),
    ("allowed_lateness: 2h", "allowed_lateness: 2h\nallowed_lateness: 2h", "is there twice"),
    ("allowed_lateness: 2h", "{[a, b]: 2h}: 2h", "a list or mapping stands where a key is expected"),
    ("allowed_lateness: 2h", "? {a: b}\n: 2h", "a list or mapping stands where a key is expected"),
    ("customer: payer,", "[customer, shop]: payer,", "a list or mapping stands where a key is expected"),
    ("allowed_lateness: 2h", "lateness: [2h", "not a YAML file"),
    ("use_case: small", "", "use_case is missing"),
    ("id: [id]", "id: [ident]", "events.payment.id[0]: 'ident' is not one of"),
    ("time: [at]", "time: [payer]", "payer is a text; expected time"),
    ("customer: payer, ", "", "customer is missing: every event must have its subject"),
    ("customer: payer,", "customer: shop,", "shop is optional"),
    ("payer: string", "payer: text", "events.payment.fields.payer: 'text' is not one of string"),
    ("payer: string", "hour: number\n      payer: string", "hour is derived from the event time"),
    ("time: [at]", "time: [at]\n    time_format: [epoch_s, epoch_ms]", "epoch_s and epoch_ms cannot be told from each"),
    ("time: [at]", "time: [at]\n    time_format: [epoch]", "'epoch' is not a format of datetime.strptime such as"),
    ("time: [at]", "time: [at]\n    time_format: ['%Y %d']", "is not a format with year (%Y or %y), month (%m) and"),
    ("time: [at]", "time: [at]\n    time_format: ['%Y-%m-%d %Z']", "%Z reads other words on each machine; write UTC"),
    ("time: [at]", "time: [at]\n    file: {date_format: [epoch_s]}", "'epoch_s' is not a format with year"),
    ("amount: {type: number, min: 0}", "amount: {type: number, min: 2, max: 1}", "no number is at least 2 and at most"),
    ("amount: {type: number, min: 0}", "amount: {type: integer, min: 0.2, max: 0.8}", "no integer is at least 0.2 and"),
    ("amount: {min: 5}", "payer: 'ann '", "where.payer: 'ann ' is not a text without blanks around it"),
    ("time: [at]", "time: [at]\n    file: {true_values: ['1', J], false_values: [N, '1']}",
     "file: 1 cannot be both true and false"),
    ("kind: [CARD, WIRE]", "kind: [CARD, 'WIRE ']", "is not a list of values without blanks around them"),
    ("kind: [CARD, WIRE]", "kind: [CARD, 1]", "fields.kind[1]: 1 is not a text (put numbers"),
    ("kind: [CARD, WIRE]", "kind: [CARD, CARD]", "is not a list without repetitions"),
    ("windows: [24h]", "windows: [25h]", "no hop is known for 25h"),
    ("windows: [24h]", "windows: [ever]", "mean has no meaning over windows ['ever']: it needs"),
    ("denominator: all.count.24h", "denominator: al.count.24h", "'al' is not one of paid, all (did you mean all?)"),
    ("denominator: all.count.24h", "denominator: all.sum.24h", "needs the aggregate all to have a value field"),
    ("denominator: all.count.24h", "denominator: all.count", "is not aggregate.statistic.window or event.field"),
    ("denominator: all.count.24h", "denominator: event.kind", "kind is one of CARD, WIRE; expected a number field"),
    ("denominator: all.count.24h", "denominator: all.since_last.24h", "has no meaning over 24h: add ever"),
    ("amount: {min: 5}", "amount: {least: 5}", "'least' is not one of"),
    ("amount: {min: 5}", "amount: {multiple_of: 0}", "0 is not a number above 0"),
    ("amount: {min: 5}", "hour: [24]", "24 is not an hour"),
    ("amount: {min: 5}", "weekday: [MONDAY]", "'MONDAY' is not one of MON, TUE"),
    ("amount: {min: 5}", "amount: .inf", "where.amount: '.inf' is not a number"),
    ("color: {from: profile.color}", "color: {from: profile.user}", "user is a text, which has no number"),
    ("color: {from: profile.color}", "color: {from: profile.gender}", "profile.gender is listed under"),
    ("color: {from: profile.color}", "color: {from: payment.fraud}", "is the label: a feature made"),
    ("amount: {min: 5}", "fraud: 'yes'", "payment.fraud is the label"),
    ("event: [amount, kind, hour]", "event: [amount, fraud]", "payment.fraud is the label"),
    ("event: [amount, kind, hour]", "event: [amount, amont]", "'amont' is not one of"),
    ("event: [amount, kind, hour]", "event: [amount, amount]", "two features are called amount"),
    ("shop:\n    aggregates", "shopp:\n    aggregates", "'shopp' is not one of"),
    ("{taken: {event: payment,", "{taken: {event: profile,", "does not say which field is the shop"),
    ("    scored: true", "", "no event type is scored"),
    ('positive: ["yes"]', "positive: [maybe]", "label.positive[0]: 'maybe' is not one of yes, no"),
    ("label: {from: payment.fraud", "label: {from: payment.payer", "a label needs declared values"),
    ("allowed_lateness: 2h", "hops: {1h: 7m}", "hops.1h: '7m' is not a whole fraction of 1h"),
    ("policy: {high: 0.6}", "policy: 5", "policy: 5 is not a mapping"),
    ("allowed_lateness: 2h", "allowed_lateness: 2h\nforget_after: 7d",
     "forget_after: '7d' is not at least 7d 2h: the longest"),
    ("allowed_lateness: 2h", "allowed_lateness: 2h\nforget_after: 400", "forget_after: 400 is not a duration such as"),
    ("allowed_lateness: 2h", "allowed_lateness: 2h\nforget_after: {shop: 1d}",
     "forget_after.shop: '1d' is not at least 1d 2h"),
    ("allowed_lateness: 2h", "allowed_lateness: 2h\nforget_after: {shopp: 9d}", "'shopp' is not one of"),
    (ID, CLEAN("{drop: {amout: {below: 0}}, reason: x}"), "clean[0].drop.amout: 'amout' is not one of id, at"),
    (ID, CLEAN("{drop: {amount: {less: 0}}, reason: x}"), "clean[0].drop.amount.less: 'less' is not one of"),
    (ID, CLEAN("{drop: {kind: CASH}, reason: x}"), "clean[0].drop.kind: 'CASH' is not one of CARD, WIRE"),
    (ID, CLEAN("{drop: {}, reason: x}"), "clean[0].drop: {} is not at least one test"),
    (ID, CLEAN("{drop: {kind: CARD}}"), "clean[0]: reason is missing"),
    (ID, CLEAN("{keep: last, per: id, reason: x}"), "clean[0].keep: 'last' is not one of first, latest"),
    (ID, CLEAN("{keep: first, per: [id, idd], reason: x}"), "clean[0].per[1]: 'idd' is not one of id, at"),
    (ID, CLEAN("{keep: first, per: [], reason: x}"), "clean[0].per: [] is not a list of different fields"),
    (ID, CLEAN("{keep: first, reason: x}"), "clean[0]: per is missing"),
    (ID, CLEAN("{keep: first, drop: {kind: CARD}, reason: x}"), "clean[0]: {'keep': 'first', 'drop'"),
    (ID, CLEAN("5"), "clean[0]: 5 is not a mapping"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), REFUSED, ids=[m[:40] for _, _, m in REFUSED])
def test_a_wrong_file_is_refused_by_path_value_and_expectation(old: str, new: str, message: str) -> None:
    with pytest.raises(BadUseCase) as caught:
        changed(old, new)
    (fault,) = caught.value.faults
    assert str(caught.value) == str(fault)
    assert str(fault).startswith("x.yaml:")
    assert message in str(fault)


def test_more_aggregates_than_lanes_are_refused() -> None:
    many = "".join(f"      a{i}: {{event: payment, statistics: [count], windows: [1h]}}\n" for i in range(63))
    with pytest.raises(BadUseCase, match="at most 64 aggregates"):
        changed("      all: {event", many + "      all: {event")


def test_a_file_that_cannot_be_read_is_a_bad_use_case(tmp_path: Path) -> None:
    with pytest.raises(BadUseCase, match="cannot be read"):
        load(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"use_case: \xff")
    with pytest.raises(BadUseCase, match="cannot be read"):
        load(tmp_path / "latin.yaml")


SAME_VECTOR = [
    ("use_case: small", "use_case: renamed"),
    ("use_case: small", "# a comment\nuse_case: small"),
    ("use_case: small", "description: words\nuse_case: small"),
    ('positive: ["yes"]', 'positive: ["yes", "no"]'),
    ("policy: {high: 0.6}", "policy: {high: 0.7}\nmodel: {trees: 3}"),
    ("protected: [profile.gender]", ""),
    ("event: payment, where: {kind: CARD,", "description: d, event: payment, where: {kind: [CARD],"),
    ("{kind: CARD, amount: {min: 5}}", "{amount: {min: 5.0}, kind: CARD}"),
    ("    id: [id]\n", "    file: {separator: ';', decimal: ','}\n    id: [id]\n"),
    ("  profile:\n", "  profile:\n    scored: false\n"),
    (ID, CLEAN("{drop: {fraud: 'yes', hour: 3}, reason: x}, {keep: latest, per: '*', reason: y}")),
    ("statistics: [mean], windows: [24h]", "statistics: [mean], windows: [1d]"),
    ("allowed_lateness: 2h", "allowed_lateness: 120m"),
    ('values: ["yes", "no"]', 'values: ["no", "yes"]'),
    ("ratios: {card_share:", "ratios: {share_of_cards:"),
]
OTHER_VECTOR = [
    ("windows: [24h]", "windows: [7d]"),
    ("windows: [24h]", "windows: [24h, 7d]"),
    ("allowed_lateness: 2h", "allowed_lateness: 1h"),
    ("allowed_lateness: 2h", "allowed_lateness: 2h\nmax_clock_skew: 10m"),
    ("allowed_lateness: 2h", "allowed_lateness: 2h\nhops: {24h: 2h}"),
    ("amount: {min: 5}", "amount: {min: 6}"),
    ("amount: {min: 5}", "amount: {above: 5}"),
    ("where: {kind: CARD,", "where: {kind: WIRE,"),
    ("color: [RED, BLUE]", "color: [BLUE, RED]"),
    ("kind: [CARD, WIRE]", "kind: [CARD, WIRE, CASH]"),
    ("statistics: [count, sum]", "statistics: [sum, count]"),
    ("event: [amount, kind, hour]", "event: [kind, amount, hour]"),
    ("id: [id]", "id: [id, kind]"),
    ("time: [at]", "time: [at]\n    timezone: Europe/Paris"),
    ("time: [at]", "time: [at]\n    time_format: [epoch_ms]"),
    ("time: [at]", "time: [at]\n    time_format: ['%Y-%m-%d', epoch_ms]"),
    ("minus: paid.sum.1h", "minus: paid.count.1h"),
    ("allowed_lateness: 2h", "allowed_lateness: 2h\nforget_after: 400d"),
    ("allowed_lateness: 2h", "allowed_lateness: 2h\nforget_after: {shop: 400d}"),
    ("customer: payer, shop: shop", "customer: payer, shop: payer"),
    ("amount: {type: number, min: 0}", "amount: {type: number, min: 1}"),
    ("fee: {type: number, optional: true}", "fee: {type: integer, optional: true}"),
]


@pytest.mark.parametrize(("old", "new"), SAME_VECTOR)
def test_the_fingerprint_ignores_what_cannot_change_a_vector(old: str, new: str) -> None:
    assert changed(old, new).fingerprint == parse(SMALL).fingerprint


@pytest.mark.parametrize(("old", "new"), OTHER_VECTOR)
def test_the_fingerprint_changes_with_what_can_change_a_vector(old: str, new: str) -> None:
    assert changed(old, new).fingerprint != parse(SMALL).fingerprint


def forgotten(text: str) -> dict[str, int]:
    """Return by entity the hours of silence after which it is forgotten; 0: never."""
    return {entity: plan.forget_us // 3_600_000_000 for entity, plan in parse(text).plans.items()}


def test_the_subject_is_kept_for_ever_and_what_holds_only_windows_as_long_as_they_reach() -> None:
    ever = SMALL.replace(
        "statistics: [mean], windows: [24h]", "statistics: [mean, last], windows: [24h, ever]"
    )
    profile = SMALL.replace("  event:", "    attributes: {fee: {from: payment.fee}}\n  event:")
    assert forgotten(SMALL) == {"shop": 24 + 2, "customer": 0}
    assert forgotten(ever) == forgotten(profile) == {"shop": 0, "customer": 0}


def test_forget_after_is_of_the_subject_or_by_entity() -> None:
    def declared(value: str) -> dict[str, int]:
        return forgotten(
            SMALL.replace("allowed_lateness: 2h", f"allowed_lateness: 2h\nforget_after: {value}")
        )

    assert declared("400d") == {"shop": 26, "customer": 400 * 24}
    assert declared("{shop: 60d}") == {"shop": 60 * 24, "customer": 0}
    assert declared("{customer: 170h, shop: 26h}") == {"shop": 26, "customer": 170}


def test_cleaning_rules_are_read_with_their_reasons() -> None:
    rules = "{drop: {shop: {present: false}, amount: {below: 1}}, reason: fees}, {keep: latest, per: '*', reason: x}"
    first, second = changed(ID, CLEAN(rules)).event_types["payment"].clean
    assert (first.words, first.reason) == ("drop where shop is missing and amount is below 1", "fees")
    assert second.words == "keep the latest of the same content"
    assert parse(SMALL).event_types["payment"].clean == ()


def test_yaml_words_are_not_guessed() -> None:
    use_case = changed("kind: [CARD, WIRE]", "kind: [CARD, WIRE, NO, on, 2024-01-01, 1:30, 0x1f]")
    values = use_case.event_types["payment"].fields["kind"].values
    assert values[2:] == ("NO", "on", "2024-01-01", "1:30", "0x1f")
