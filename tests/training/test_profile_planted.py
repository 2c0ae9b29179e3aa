"""A profile finds planted contradictions of dates, rates, associations and months, and nothing where there is none."""

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from scipy.stats import binomtest
from scipy.stats.contingency import association, crosstab

from features.usecase import load, parse
from tests.training.test_profile import NOW_US
from training.data.files import read_all
from training.evaluation.figures import Calendar, DatesAlone
from training.generate import generate
from training.profile import Profile, label_findings, measure, page
from training.profile.associations import associations, cramers_v
from training.profile.dates import swapped
from training.profile.facts import EventTypeFacts, Rate
from training.profile.findings import findings
from training.profile.frames import Frame, Texts
from training.profile.periods import is_monthly
from training.profile.rates import chances, counted
from training.statistics.interval import Interval

USE_CASE = parse("""
use_case: orders
subject: customer
events:
  order:
    scored: true
    id: [id]
    time: [at]
    entities: {customer: who}
    fields:
      id: string
      who: string
      at: time
      opened: date
      shipped: {type: date, optional: true}
      born: date
      kind: string
      noise: string
      device: string
      maker: string
      size: number
      fraud: {values: ["1", "0"], optional: true}
features: {customer: {aggregates: {n: {event: order, statistics: [count], windows: [24h]}}}}
label: {from: order.fraud, positive: ["1"]}
""")
MONTHLY = parse("""
use_case: accounts
subject: account
events:
  activity:
    scored: true
    id: [account, month]
    time: [month]
    time_format: ["%Y-%m-%d"]
    entities: {account: account}
    fields: {month: time, account: string, registered: date, amount: number}
features: {account: {aggregates: {n: {event: activity, statistics: [count], windows: [90d]}}}}
""")
N, SWAPPED, LATE = 600, 14, 5


def profiled(use_case, path: Path, header: str, lines) -> tuple[Profile, list, dict]:
    path.write_text("\n".join([header, *lines]))
    return measure.profile(use_case, [path], read_all(use_case, [path], NOW_US))


@pytest.fixture(scope="module")
def orders() -> list[dict[str, str]]:
    """The first SWAPPED rows have day and month of `opened` exchanged, the next LATE are shipped a day too early."""
    rng, found = np.random.default_rng(4), []
    for i in range(N):
        day = dt.date(2024, 1, 1) + dt.timedelta(days=int(rng.integers(0, 300)))
        kind = "abc"[rng.integers(3)]
        device = "xyz"[rng.integers(3)]
        row = {"opened": day, "shipped": day + dt.timedelta(days=int(rng.integers(0, 9)))}
        if i < SWAPPED:
            row = {"opened": dt.date(2024, 12, 1 + i % 4), "shipped": dt.date(2024, 1 + i % 4, 13 + i)}
        elif i < SWAPPED + LATE:
            row = {"opened": dt.date(2024, 5, 20 + i % 5), "shipped": dt.date(2024, 5, 19)}
        found.append({
            "id": i, "who": f"c{i}", "at": f"2025-02-{1 + i % 28:02}T10:00:00Z", **row,
            "born": dt.date(1950, 1, 1) + dt.timedelta(days=int(rng.integers(0, 18_000))),
            "kind": kind, "noise": f"n{rng.integers(5)}", "device": device,
            "maker": {"x": "one", "y": "one", "z": "two"}[device], "size": round(float(rng.lognormal()), 3),
            "fraud": int(rng.random() < (0.3 if kind == "b" else 0.03)),
        })  # fmt: skip
    return [{name: str(value) for name, value in row.items()} for row in found]


@pytest.fixture(scope="module")
def found(orders, tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("orders") / "orders.csv"
    return profiled(USE_CASE, path, ",".join(orders[0]), [",".join(row.values()) for row in orders])


@pytest.fixture(scope="module")
def order(found) -> EventTypeFacts:
    return found[0].event_types[0]


@pytest.fixture(scope="module")
def text(found) -> str:
    return page.page(*found)


def rates(facts: EventTypeFacts, field: str) -> tuple[Rate, ...]:
    return next(column.rates for column in facts.columns if column.field == field)


def test_dates_against_the_usual_order_are_found_listed_and_mended_by_swapping(
    found, order, orders, text
) -> None:
    (pair,) = order.date_orders
    assert (pair.earlier, pair.later, pair.unit, pair.rows) == ("opened", "shipped", "day", N)
    assert pair.contradicting == SWAPPED + LATE
    assert (pair.swapped, pair.mended) == ("opened", SWAPPED)
    against = [row for row in orders if row["opened"] > row["shipped"]]
    assert pair.listing.columns == ("who", "event", "opened", "shipped")
    assert sorted(pair.listing.rows) == sorted(
        (row["who"], row["id"], row["opened"], row["shipped"]) for row in against
    )
    assert (pair.listing.shown, pair.listing.total) == (len(against), len(against))
    for row in against:
        assert f"<td>{row['who']}</td><td>{row['id']}</td><td>{row['opened']}</td>" in text
    told = [each for each in findings(found[0]) if "later than" in each.text]
    assert [each.text for each in told] == [
        "order: opened is later than shipped in 19 of 600 (3.2%) rows; in all others it is not. With day and month of "
        "opened swapped, 14 of them are in order."
    ]
    assert f'id="{told[0].place}"' in text, "the finding leads to the rows"


def test_swapping_day_and_month_is_that_of_the_calendar() -> None:
    days = [dt.date(2023, 1, 1) + dt.timedelta(days=i) for i in range(730)]
    expected = [d.replace(month=d.day, day=d.month) if d.day <= 12 else d for d in days]
    times_us = np.array(days, "M8[us]").astype(np.int64) + 3_600_000_000
    assert swapped(times_us).tolist() == (
        (np.array(expected, "M8[us]").astype(np.int64) + 3_600_000_000).tolist()
    )


def test_positives_are_counted_for_each_value_and_the_planted_one_stands_out(
    found, order, orders, text
) -> None:
    for field in ("kind", "noise"):
        told = {rate.value: rate for rate in rates(order, field)}
        assert set(told) == {row[field] for row in orders}
        for value, rate in told.items():
            rows = [row for row in orders if row[field] == value]
            positive = sum(row["fraud"] == "1" for row in rows)
            assert (rate.rows, rate.known, rate.positive) == (len(rows), len(rows), positive)
            ends = binomtest(positive, len(rows)).proportion_ci(method="wilson")
            assert (rate.low, rate.high) == pytest.approx((ends.low, ends.high)), "one row a customer"
            assert rate.stands_out == (value == "b") or value in "ac", "a and c have fewer than the others"
    sizes = rates(order, "size")
    assert len(sizes) == 10 and sum(rate.rows for rate in sizes) == N
    values = sorted(float(row["size"]) for row in orders)
    assert sizes[0].value.startswith("up to ") and sizes[0].rows == N // 10
    assert float(sizes[0].value.removeprefix("up to ")) == pytest.approx(values[N // 10 - 1], rel=1e-3)
    assert not any(rate.stands_out for rate in sizes)
    assert rates(order, "fraud") == rates(order, "id") == rates(order, "at") == ()
    told = [each.text for each in findings(found[0]) if "are positive (" in each.text]
    assert len(told) == 1 and told[0].startswith("order: where kind is b, ")
    assert "<b>b</b>" in text


def test_noise_stands_out_in_one_of_twenty_histories_whatever_the_number_of_values() -> None:
    alarms = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        label = (rng.random(500) < 0.1).astype(np.int64)
        values = [rng.integers(0, 6, 500) for _ in range(4)]
        least = min(chances(counted(each, label, np.arange(500), 6, False)).min() for each in values)
        alarms += least * 24 < 0.05
    assert alarms <= 7  # 3 are expected; more than 7 have a chance of about one in a hundred


def test_rows_of_one_customer_say_as_much_as_the_customer() -> None:
    rng = np.random.default_rng(2)
    group, label = rng.integers(0, 2, 200), (rng.random(200) < 0.3).astype(np.int64)
    customer = np.arange(200)
    once = counted(group, label, customer, 2, by_customer=False)
    alike = counted(*(np.repeat(each, 5) for each in (group, label, customer)), 2, by_customer=False)
    assert alike.known.tolist() == (5 * once.known).tolist()
    assert alike.effective == pytest.approx(once.known, rel=0.02)
    mixed = counted(group, label, rng.permutation(200) // 4, 2, by_customer=False)
    assert mixed.effective == pytest.approx(once.known, rel=0.3), "those of one customer are not alike"
    whole = counted(*(np.repeat(each, 5) for each in (group, label, customer)), 2, by_customer=True)
    assert whole.known.tolist() == once.known.tolist() and whole.positive.tolist() == once.positive.tolist()


def test_categories_that_go_together_are_found_over_all_rows_and_noise_is_not(found, order) -> None:
    by_pair = {frozenset((each.one, each.other)): each for each in order.associations}
    planted = by_pair[frozenset(("device", "maker"))]
    assert planted.strength > 0.99 and planted.rows == N and not planted.is_ratio
    assert order.associations[0] == planted
    for one, other in (("noise", "kind"), ("noise", "device"), ("noise", "size"), ("kind", "size")):
        pair = by_pair[frozenset((one, other))]
        assert pair.strength <= pair.chance * 1.5 < 0.3
    assert by_pair[frozenset(("kind", "(label)"))].strength > 0.25
    text = [each.text for each in findings(found[0]) if "Cramér" in each.text]
    assert text == [
        f"order: device and maker say the same (Cramér's V 1.00; chance gives {planted.chance:.2f})."
    ]
    assert "fraud and (label)" not in " ".join(each.text for each in findings(found[0]))


def test_independent_fields_go_together_in_one_of_twenty_histories_however_rare_their_values() -> None:
    alarms, n = 0, 300
    for seed in range(40):
        rng = np.random.default_rng(seed)
        shares = np.array([0.7, 0.1, *[0.2 / 18] * 18])
        codes = {name: rng.choice(20, n, p=shares) for name in ("kind", "noise", "device")}
        nobody, everyone = (
            Texts(np.zeros(n, np.int64), ["x"]),
            Texts(np.arange(n), [f"c{i}" for i in range(n)]),
        )
        frame = Frame(
            USE_CASE.event_types["order"],
            numbers={"size": rng.lognormal(size=n)},
            texts={name: Texts(each, [f"v{i}" for i in range(20)]) for name, each in codes.items()},
            subject=everyone, ids=nobody, named=None, time_us=np.zeros(n, np.int64),
        )  # fmt: skip
        pairs = associations(frame, (rng.random(n) < 0.1).astype(np.int8), None)
        assert len(pairs) == 10
        alarms += any(pair.strength > pair.chance for pair in pairs)
    assert alarms <= 6  # 2 are expected; more than 6 have a chance of less than one in a hundred


def test_cramers_v_is_scikits_without_its_bias() -> None:
    rng = np.random.default_rng(3)
    one = rng.integers(0, 10, 300)
    independent = crosstab(one, rng.integers(0, 10, 300)).count
    assert association(independent, method="cramer") > 0.15
    assert cramers_v(independent) < 0.1
    dependent = crosstab(one, np.where(rng.random(300) < 0.5, one, rng.integers(0, 10, 300))).count
    n, (rows, columns) = dependent.sum(), dependent.shape
    phi2 = association(dependent, method="cramer") ** 2 * (min(rows, columns) - 1)
    bias = (rows - 1) * (columns - 1) / (n - 1)
    least = min(k - (k - 1) ** 2 / (n - 1) for k in (rows, columns)) - 1
    assert cramers_v(dependent) == pytest.approx(np.sqrt((phi2 - bias) / least))


def test_a_number_that_follows_a_category_has_a_correlation_ratio(tmp_path: Path, orders) -> None:
    rows = [{**row, "size": str(100 * "abc".index(row["kind"]) + float(row["size"]))} for row in orders]
    facts = profiled(
        USE_CASE, tmp_path / "orders.csv", ",".join(rows[0]), [",".join(r.values()) for r in rows]
    )[0]
    pair = next(a for a in facts.event_types[0].associations if {a.one, a.other} == {"kind", "size"})
    assert pair.is_ratio and pair.strength > 0.9 > pair.chance


def test_monthly_data_are_read_as_months(tmp_path: Path) -> None:
    lines = []
    for i in range(200):
        month = 1 + i % 8
        registered = (
            f"2024-{1 + i % 3 * (month > 2):02}-{1 + i % 27:02}" if i >= 6 else f"2024-{9 + i % 3:02}-01"
        )
        lines.append(f"2024-{month:02}-01,a{i},{registered},{i}")
    facts, frames, outcomes = profiled(MONTHLY, tmp_path / "a.csv", "month,account,registered,amount", lines)
    (activity,) = facts.event_types
    assert activity.unit == "month"
    assert [(period.start, period.rows) for period in activity.periods] == [
        (f"2024-0{m}", 25) for m in range(1, 9)
    ]
    (pair,) = activity.date_orders
    assert (pair.unit, pair.contradicting) == ("month", 6), "within the month of the event nothing is late"
    assert (pair.earlier, pair.later) == ("registered", "month")
    text = "\n".join(each.text for each in findings(facts))
    assert "activity: the data are monthly" in text and "no row" not in text
    assert "Rows by month" in page.page(facts, frames, outcomes)


def test_dates_that_tell_the_label_are_the_first_finding(tmp_path: Path, orders) -> None:
    early = [
        {**row, "at": f"2025-02-{1 + i % 9 + 12 * (row['fraud'] == '0'):02}T10:00:00Z"}
        for i, row in enumerate(orders)
    ]
    told = profiled(
        USE_CASE, tmp_path / "o.csv", ",".join(early[0]), [",".join(row.values()) for row in early]
    )
    first = findings(told[0])[0]
    assert first.weight == "problem" and first.text.startswith("order: dates alone tell the label. ")
    assert "ranks events with a ROC AUC of 1.000" in first.text
    shares = "100.0% of the rows are positive in the week of 2025-02-03, and 0.0% in the week of 2025-02-17."
    assert shares in first.text


def test_dates_that_tell_nothing_are_no_finding_and_the_end_alone_is_worth_a_look(found, order) -> None:
    assert not any("dates alone" in each.text for each in findings(found[0]))
    calendar = order.calendar
    assert calendar.known_dates.roc_auc.low < 0.5 < calendar.known_dates.roc_auc.high
    leaky = DatesAlone(Interval(0.77, 0.7, 0.8), Interval(0.5, 0.4, 0.6))
    stopped = replace(order, calendar=replace(calendar, all_dates=leaky))
    (finding,) = label_findings.calendar(stopped)
    assert finding.weight == "look" and "when a customer's events end tells the label" in finding.text
    (finding,) = label_findings.calendar(replace(order, calendar=replace(calendar, known_dates=leaky)))
    assert finding.weight == "problem"
    faint = DatesAlone(Interval(0.54, 0.52, 0.56), Interval(0.5, 0.4, 0.6))
    assert not list(label_findings.calendar(replace(order, calendar=Calendar("events", faint, faint))))


def test_what_is_monthly() -> None:
    def us(*days: str) -> np.ndarray:
        return np.array(days * 2, "M8[us]").astype(np.int64)

    assert is_monthly(us("2024-01-31", "2024-02-29", "2024-03-31"))
    assert not is_monthly(us("2024-01-31", "2024-02-29")), "two months may be chance"
    assert not is_monthly(us("2024-01-01", "2024-01-02", "2024-02-01", "2024-03-01"))
    assert not is_monthly(us("2024-01-01", "2024-02-01", "2024-03-01")[:3]), "a row each"


def test_a_clean_history_raises_no_alarm(tmp_path: Path) -> None:
    generate(120, 40, 3, tmp_path)
    use_case = load("usecases/offboarding.yaml")
    files = [tmp_path / "users.csv", tmp_path / "transactions.csv"]
    facts = measure.profile(use_case, files, read_all(use_case, files, NOW_US))[0]
    told = findings(facts)
    assert [each.text for each in told if each.weight == "problem"] == []
    assert not any("dates alone" in each.text for each in told)
    assert all(each.date_orders == () and each.unit == "week" for each in facts.event_types)
