"""Events without a time of their own: what a use case may not make of them, and that the shipped ones do not."""

from pathlib import Path

import pytest

from features.usecase import BadUseCase, load, parse

USE_CASE = """
use_case: small
subject: customer
hops: {365d: 5d}
events:
  payment: {scored: true, id: [id], time: [at], entities: {customer: payer, shop: shop},
            fields: {id: string, at: time, payer: string, shop: string, amount: number}}
  visit: {scored: false, id: [id], time: [at], entities: {customer: who, shop: where},
          fields: {id: string, at: time, who: string, where: string, seconds: number}}
  profile: {id: ["*"], time: published, entities: {customer: user, shop: shop},
            fields: {user: string, shop: string, limit: number, color: [RED, BLUE], born: date, state: [GOOD, BAD]}}
features:
  shop:
    aggregates: {taken: {event: payment, value: amount, statistics: [sum], windows: [24h]}}
  customer:
    aggregates:
      paid: {event: payment, value: amount, statistics: [count, sum], windows: [24h, ever]}
      visits: {event: visit, where: {hour: [23, 0]}, statistics: [count, since_last], windows: [24h, ever]}
    attributes: {limit: {from: profile.limit}, age: {from: profile.born, as: age}, color: {from: profile.color}}
  event: [amount, hour, weekday]
label: {from: profile.state, positive: [BAD]}
"""
ALL = """      {name}: {{event: {of}, value: {value}, distinct: {distinct}, where: {where},
              statistics: [{statistics}], windows: [{windows}]}}
"""


def faults_of(text: str) -> tuple[tuple[int, str, str], ...]:
    """Line, path and message of each fault."""
    with pytest.raises(BadUseCase) as caught:
        parse(text, "x.yaml")
    return tuple((fault.line, fault.path, fault.message) for fault in caught.value.faults)


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


def test_latest_values_ages_and_labels_of_undated_events_are_fine() -> None:
    assert {"limit", "age", "color_RED"} <= set(parse(USE_CASE).features)


@pytest.mark.parametrize("statistics", ["count", "sum", "mean", "std", "min", "max", "distinct"])
@pytest.mark.parametrize("where", ["{}", "{hour: [0]}", "{weekday: [MON]}", "{color: RED}"])
def test_no_window_counts_undated_events(statistics: str, where: str) -> None:
    added = ALL.format(
        name="profiles", of="profile", value="limit", distinct="color", where=where, statistics=statistics,
        windows="24h, 365d",
    )  # fmt: skip
    text = USE_CASE.replace("    attributes:", added + "    attributes:")
    ((line, path, message),) = faults_of(text)
    assert (line, path) == (line_of(text, "profiles:"), "features.customer.aggregates.profiles.event")
    assert "profile has no time of its own (time: published), so in files" in message
    assert (
        "take its latest values under attributes, or name the field that dates it in events.profile.time"
        in message
    )


@pytest.mark.parametrize("statistics", ["count", "last", "since_last", "since_first"])
def test_neither_does_ever(statistics: str) -> None:
    added = ALL.format(
        name="profiles",
        of="profile",
        value="limit",
        distinct="color",
        where="{}",
        statistics=statistics,
        windows="ever",
    )
    faults = faults_of(USE_CASE.replace("    attributes:", added + "    attributes:"))
    assert [path for _, path, _ in faults] == ["features.customer.aggregates.profiles.event"]


def test_all_aggregates_of_all_entities_are_told_at_once_and_what_is_made_of_them_is_not() -> None:
    text = USE_CASE.replace("event: visit", "event: profile").replace(
        "taken: {event: payment, value: amount", "taken: {event: profile, value: limit"
    )
    text = text.replace(
        "    attributes:",
        "    ratios: {r: {numerator: visits.count.24h, denominator: paid.count.24h}}\n    attributes:",
    )
    assert [path for _, path, _ in faults_of(text)] == [
        "features.shop.aggregates.taken.event", "features.customer.aggregates.visits.event"
    ]  # fmt: skip


def test_the_field_that_would_date_it_is_named() -> None:
    text = USE_CASE.replace(
        "visit: {scored: false, id: [id], time: [at]", "visit: {scored: false, id: [id], time: published"
    )
    ((_, path, message),) = faults_of(text)
    assert path == "features.customer.aggregates.visits.event"
    assert message.endswith("in events.visit.time, for example time: [at]")


def test_scored_events_without_a_time_have_no_windows_no_hour_and_no_weekday() -> None:
    text = USE_CASE.replace(
        "payment: {scored: true, id: [id], time: [at]", "payment: {scored: true, id: [id], time: published"
    )
    faults = {path: message for _, path, message in faults_of(text)}
    assert faults.keys() == {
        "features.shop.aggregates", "features.shop.aggregates.taken.event", "features.customer.aggregates",
        "features.customer.aggregates.paid.event", "features.event[1]", "features.event[2]",
    }  # fmt: skip
    assert "every window would end there" in faults["features.customer.aggregates"]
    assert "they have no hour; leave hour out" in faults["features.event[1]"]


def test_scored_events_without_a_time_may_have_what_needs_none() -> None:
    text = USE_CASE.replace(
        "payment: {scored: true, id: [id], time: [at]", "payment: {scored: true, id: [id], time: published"
    )
    text = "\n".join(
        line
        for line in text.splitlines()
        if not line.startswith(("  shop:", "    aggregates", "      ")) or "fields" in line
    )
    text = text.replace("event: [amount, hour, weekday]", "event: [amount]")
    assert parse(text).features == ("limit", "age", "color_RED", "color_BLUE", "amount")


def test_ratios_and_differences_of_the_events_hour_are_refused_too() -> None:
    text = USE_CASE.replace(
        "visit: {scored: false, id: [id], time: [at]", "visit: {scored: true, id: [id], time: published"
    )
    text = text.replace("event: visit, where: {hour: [23, 0]}", "event: payment")
    text = text.replace(
        "    attributes:", "    differences: {d: {value: event.hour, minus: paid.count.24h}}\n    attributes:"
    )
    assert "features.customer.differences.d.value" in [path for _, path, _ in faults_of(text)]


def test_a_label_of_single_events_says_when_it_was_known() -> None:
    text = USE_CASE.replace("state: [GOOD, BAD]}", "state: [GOOD, BAD], payment: string}")
    text = text.replace(
        "label: {from: profile.state, positive: [BAD]}",
        "label: {from: profile.state, positive: [BAD], event: payment, event_id: payment}",
    )
    ((_, path, message),) = faults_of(text)
    assert path == "label.from" and "would be known before the events that it judges" in message


@pytest.mark.parametrize("name", ["hour", "weekday"])
def test_cleaning_does_not_look_at_the_time_of_undated_rows(name: str) -> None:
    value = {"hour": "3", "weekday": "SUN"}[name]
    rule = f"    clean: [{{drop: {{color: RED, {name}: {value}}}, reason: of the time}}]"
    text = USE_CASE.replace("  profile: {id", f"  profile:\n{rule}\n    id").replace(
        ", time: published", "\n    time: published"
    )
    text = text.replace(
        ", entities: {customer: user, shop: shop},\n            fields",
        "\n    entities: {customer: user, shop: shop}\n    fields",
    )
    text = text.replace("state: [GOOD, BAD]}}", "state: [GOOD, BAD]}")
    ((_, path, message),) = faults_of(text)
    assert path.endswith(f".drop.{name}") and f"have no {name}; test other fields" in message


@pytest.mark.parametrize("file", sorted(Path("usecases").glob("*.yaml")), ids=lambda path: path.stem)
def test_no_shipped_feature_counts_undated_events(file: Path) -> None:
    use_case = load(file)
    undated = {name for name, t in use_case.event_types.items() if not t.time}
    counted = {a.event_type for entity in use_case.by_entity.values() for a in entity.aggregates}
    assert not counted & undated
