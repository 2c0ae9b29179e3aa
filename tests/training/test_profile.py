"""A profile finds what was planted in dirty files, with the numbers of a naive reading of the same files."""

import bisect
import csv
import html
import json
import math
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pytest

from features.usecase import load, parse
from tests.commands import Run
from training.data.files import read_all
from training.generate import Dirt, generate
from training.profile import Profile, measure, page
from training.profile.columns import by_label, summary
from training.profile.drift import chance, psi
from training.profile.facts import EventTypeFacts, FieldDrift, FieldFacts
from training.profile.findings import findings

OFFBOARDING = load("usecases/offboarding.yaml")
CLEANING = parse(
    OFFBOARDING.text.replace(
        "  # One row of transactions.csv",
        "    clean: [{keep: latest, per: user_id, reason: the latest row counts}]\n  # One row of transactions.csv",
        1,
    ),
    "cleaning.yaml",
)
NOW_US = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
DRIFTS_FROM = "2024-08-12"  # amounts are five times as large from then on
DIRT = Dirt(duplicate_rows=0.035, repeated_users=0.3, contradicting_users=0.3, missing_values=0.1)
Row = dict[str, str]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Dirty files with planted drift, contradicting copies and rows that are no events."""
    folder = tmp_path_factory.mktemp("history")
    generate(150, 70, 5, folder, dirt=DIRT)
    users, transactions = folder / "users.csv", folder / "transactions.csv"
    rows = read(transactions)
    for row in rows:
        if row["created_at"] >= DRIFTS_FROM:
            row["amount"] = f"{5 * float(row['amount']):.2f}"
    by_key = {(row["id"], row["state"]): row for row in rows}
    contradicting = [{**row, "amount": "12345.67"} for row in list(by_key.values())[100:117]]
    bad = [
        *({**row, "amount": "-1"} for row in rows[:7]),
        *({**row, "state": "LOST"} for row in rows[:3]),
        {**rows[0], "created_at": "yesterday", "completed_at": ""},
    ]
    with transactions.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows([*rows, *contradicting, *bad])
    return [users, transactions]


def read(path: Path) -> list[Row]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def users(files: list[Path]) -> list[Row]:
    return read(files[0])


@pytest.fixture(scope="module")
def transactions(files: list[Path]) -> list[Row]:
    return read(files[1])[:-11]  # without those that are no events


@pytest.fixture(scope="module")
def facts(files: list[Path]) -> Profile:
    return measure.profile(CLEANING, files, read_all(CLEANING, files, NOW_US))[0]


@pytest.fixture(scope="module")
def customer(facts: Profile) -> EventTypeFacts:
    return facts.event_types[0]


@pytest.fixture(scope="module")
def transaction(facts: Profile) -> EventTypeFacts:
    return facts.event_types[1]


def column(facts: EventTypeFacts, field: str) -> FieldFacts:
    return next(each for each in facts.columns if each.field == field)


def suspended(users: list[Row]) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for row in users:
        found[row["user_id"]] = found.get(row["user_id"], False) or row["user_current_state"] == "SUSPENDED"
    return found


def test_rows_that_are_no_events_are_told_by_reason_and_field(facts: Profile, files: list[Path]) -> None:
    last = len(read(files[1])) + 1
    assert facts.bad_rows == 11
    assert [(bad.place, bad.reason, bad.field, bad.rows) for bad in facts.bad] == [
        (str(files[1]), "invalid", field, n) for field, n in (("amount", 7), ("state", 3), ("created_at", 1))
    ]
    for i, example in enumerate(facts.bad[0].examples):
        assert example.startswith(f"{last - 10 + i}: amount: -1"), "every line"
    assert len(facts.bad[0].examples) == 7


def test_copies_and_contradicting_keys_are_counted(
    transaction: EventTypeFacts, transactions: list[Row]
) -> None:
    whole = [tuple(row.values()) for row in transactions]
    keys = [(row["id"], row["state"]) for row in transactions]
    by_user = Counter(row["user_id"] for row in transactions)
    repeats = transaction.repeats
    assert transaction.rows == len(whole)
    assert repeats.exact == len(whole) - len(set(whole)) > 0.02 * len(whole)
    assert repeats.by_key == len(keys) - len(set(keys)) == repeats.exact + repeats.by_key_differing
    assert repeats.by_key_differing == 17
    assert repeats.subjects_with_more_rows == sum(n > 1 for n in by_user.values())


def test_labels_that_contradict_each_other_are_counted(facts: Profile, users: list[Row]) -> None:
    said = defaultdict(list)
    for row in users:
        said[row["user_id"]].append(row["user_current_state"])
    conflicting = [user for user, states in said.items() if len(set(states)) > 1]
    assert facts.labels is not None
    conflicts = facts.labels.conflicts
    assert (conflicts.owner, conflicts.owners) == ("customer", len(said))
    assert conflicts.conflicting == len(conflicting) > 0
    assert conflicts.rows == sum(len(said[user]) for user in conflicting)
    listed = dict(conflicts.listing.rows)
    assert conflicts.listing.columns == ("user_id", "user_current_state (rows)")
    assert set(listed) == set(conflicting)
    assert (conflicts.listing.shown, conflicts.listing.total) == (len(listed), len(conflicting))
    for user, texts in listed.items():
        assert {f"{state} ({n})" for state, n in Counter(said[user]).items()} == set(texts.split(", "))
    assert facts.labels.positive_owners == sum(suspended(users).values())
    assert facts.labels.negative_owners == len(said) - sum(suspended(users).values())


PURCHASES = """
use_case: purchases
subject: customer
events:
  purchase:
    scored: true
    id: ID
    time: [at]
    entities: {customer: who}
    fields:
      {id: string, who: string, at: time, kind: string, fraud: {values: ["1", "0"], optional: true}}
features: {customer: {aggregates: {n: {event: purchase, statistics: [count], windows: [24h]}}}}
label: {from: purchase.fraud, positive: ["1"]}
"""


@pytest.mark.parametrize(("key", "by_key"), [("[id]", 4), ('["*"]', 1)])
def test_events_that_are_the_same_but_for_their_label_conflict(key: str, by_key: int, tmp_path: Path) -> None:
    use_case = parse(PURCHASES.replace("ID", key))
    rows = [
        ("1", "1"),
        ("1", "0"),
        ("2", "0"),
        ("2", "0"),
        ("3", "1"),
        ("4", ""),
        ("4", "0"),
        ("5", "0"),
        ("1", ""),
    ]
    path = tmp_path / "purchases.csv"
    lines = (
        f"{name},a,2024-01-01T10:00:00Z,{'garbled' if name == '1' else 'NA'},{fraud}" for name, fraud in rows
    )
    path.write_text(
        "\n".join(["id,who,at,kind,fraud", *lines]).replace("garbled", "Física".encode().decode("latin-1"))
    )
    found = measure.profile(use_case, [path], read_all(use_case, [path], NOW_US))[0]
    assert found.labels is not None
    conflicts = found.labels.conflicts
    assert (conflicts.owner, conflicts.owners, conflicts.conflicting, conflicts.rows) == ("purchase", 5, 1, 2)
    ((user, event, values),) = conflicts.listing.rows
    assert user == "a" and event and values == "1 (1), 0 (1)"
    assert (found.labels.positive_owners, found.labels.negative_owners) == (2, 3)
    assert found.event_types[0].repeats.by_key == by_key
    text = "\n".join(each.text for each in findings(found))
    assert "values that look like missing ones: kind 'NA' (6)" in text
    assert "texts that were read in a wrong encoding: kind 'FÃ" in text


VERDICTS = (
    PURCHASES.replace("ID", "[id]")
    .replace(
        "features:",
        """
  verdict:
    id: ["*"]
    time: [said]
    entities: {customer: who}
    fields: {purchase: string, who: string, bad: boolean, said: time}
features:""",
    )
    .replace(
        '{from: purchase.fraud, positive: ["1"]}',
        "{from: verdict.bad, positive: [true], event: purchase, event_id: purchase}",
    )
)


def test_the_label_of_an_event_may_be_said_by_another(tmp_path: Path) -> None:
    use_case = parse(VERDICTS)
    paths = [tmp_path / "purchases.csv", tmp_path / "verdicts.csv"]
    purchases = [f"{i},{'ab'[i % 2]},2024-01-0{1 + i % 5}T10:00:00Z,k{i % 3}," for i in range(8)]
    verdicts = [
        "1,b,true",
        "1,b,true",
        "2,a,false",
        "3,b,false",
        "3,b,true",
        "4,b,true",
        "9,b,true",
    ]  # 4 is a's
    paths[0].write_text("\n".join(["id,who,at,kind,fraud", *purchases]))
    said = [f"{verdict},2024-02-01T00:00:00Z" for verdict in verdicts]
    paths[1].write_text("\n".join(["purchase,who,bad,said", *said]))
    facts, _, outcomes = measure.profile(use_case, paths, read_all(use_case, paths, NOW_US))
    assert facts.labels is not None
    assert (facts.labels.positive, facts.labels.positive_owners, facts.labels.negative_owners) == (
        ("true",),
        4,
        1,
    )
    conflicts = facts.labels.conflicts
    assert (conflicts.owner, conflicts.conflicting, conflicts.rows) == ("purchase", 1, 2)
    assert conflicts.listing.rows == (("b", "3", "false (1), true (1)"),)
    in_time_order = sorted(range(8), key=lambda i: (i % 5, i))
    by_id = dict(zip(in_time_order, outcomes["purchase"].tolist(), strict=True))
    assert by_id == {0: -1, 1: 1, 2: 0, 3: 1, 4: -1, 5: -1, 6: -1, 7: -1}


def test_missing_and_distinct_values_are_counted(
    customer: EventTypeFacts, transaction: EventTypeFacts, users: list[Row], transactions: list[Row]
) -> None:
    for found, rows in ((customer, users), (transaction, transactions)):
        for each in found.columns:
            texts = [row[each.field] for row in rows]
            there = [text for text in texts if text not in ("", "N/A")]
            assert each.missing == len(texts) - len(there), each.field
            assert each.distinct == len(set(map(float, there) if each.kind == "number" else there)), (
                each.field
            )
    assert column(customer, "occupation").missing > 0.05 * len(users)


def test_numbers_are_summed_up_with_outliers(transaction: EventTypeFacts, transactions: list[Row]) -> None:
    amounts = [float(row["amount"]) for row in transactions]
    q25, median, q75 = statistics.quantiles(amounts, n=4, method="inclusive")
    reach = q75 - q25
    found = column(transaction, "amount").numbers
    assert found is not None and found.outliers is not None
    assert (found.q25, found.median, found.q75) == pytest.approx((q25, median, q75))
    assert (found.min, found.max, found.mean) == pytest.approx(
        (min(amounts), max(amounts), statistics.fmean(amounts))
    )
    assert found.outliers.rows == sum(a < q25 - 1.5 * reach or a > q75 + 1.5 * reach for a in amounts)
    assert found.outliers.far_rows == sum(a < q25 - 3 * reach or a > q75 + 3 * reach for a in amounts)
    assert found.outliers.share == found.outliers.rows / len(amounts)
    limit = 3.5 * 1.4826 * statistics.median(abs(a - median) for a in amounts)
    assert found.robust_z_rows == sum(abs(a - median) > limit for a in amounts)
    assert found.zeros == sum(a == 0 for a in amounts)


def test_where_half_of_the_values_are_the_same_there_are_no_fences() -> None:
    found = summary(np.array([0.0] * 90 + [7.0] * 10))
    assert (found.outliers, found.robust_z_rows, found.zeros) == (None, None, 90)


def test_values_and_numbers_are_compared_by_label(
    transaction: EventTypeFacts, transactions: list[Row], users: list[Row]
) -> None:
    outcome = suspended(users)
    counts = Counter((row["state"], outcome[row["user_id"]]) for row in transactions)
    state = column(transaction, "state")
    assert {(v.value, v.positive, v.negative) for v in state.values} == {
        (name, counts[name, True], counts[name, False]) for name in {row["state"] for row in transactions}
    }
    sizes = {side: sum(n for (_, of), n in counts.items() if of is side) for side in (True, False)}
    names = {name for name, _ in counts}
    assert state.by_label is not None
    assert state.by_label.distance == pytest.approx(
        sum(abs(counts[n, True] / sizes[True] - counts[n, False] / sizes[False]) for n in names) / 2
    )
    amount = column(transaction, "amount").by_label
    assert amount is not None and amount.positive.quartiles is not None
    sides = [
        sorted(float(row["amount"]) for row in transactions if outcome[row["user_id"]] is side)
        for side in (True, False)
    ]
    assert amount.positive.quartiles[1] == pytest.approx(statistics.median(sides[0]))
    assert (amount.positive.rows, amount.negative.rows) == (len(sides[0]), len(sides[1]))
    assert amount.distance == pytest.approx(
        max(abs(below(sides[0], a) - below(sides[1], a)) for side in sides for a in side)
    )
    assert column(transaction, "id").by_label.distance == 0, "only whether an identifier is there is compared"


def below(values: list[float], a: float) -> float:
    return bisect.bisect_right(values, a) / len(values)


def monday_of(row: Row) -> date:
    day = date.fromisoformat((row["completed_at"] or row["created_at"])[:10])
    return date.fromordinal(day.toordinal() - day.weekday())


def test_drift_is_the_index_of_each_week_against_the_first_ones(
    transaction: EventTypeFacts, transactions: list[Row]
) -> None:
    by_week = defaultdict(list)
    for row in transactions:
        by_week[monday_of(row).isoformat()].append(row)
    weeks = sorted(by_week)
    assert transaction.unit == "week"
    assert [(week.start, week.rows) for week in transaction.periods] == [(w, len(by_week[w])) for w in weeks]
    assert [week.subjects for week in transaction.periods] == [
        len({row["user_id"] for row in by_week[w]}) for w in weeks
    ]
    first = transaction.reference_periods
    assert first == len(weeks) // 4
    amounts = [[float(row["amount"]) for row in by_week[w]] for w in weeks]
    reference = sorted(a for week in amounts[:first] for a in week)
    edges = sorted({reference[-(-k * len(reference) // 10) - 1] for k in range(1, 10)})
    expected = [naive_psi(shares(edges, reference), shares(edges, week)) for week in amounts[first:]]
    found = drift_of(transaction, "amount")
    assert found.psi[:first] == (None,) * first
    assert list(found.psi[first:]) == [
        pytest.approx(index) if len(week) >= 30 else None
        for index, week in zip(expected, amounts[first:], strict=True)
    ]
    late = [p for p, w in zip(found.psi, weeks, strict=True) if p and w >= DRIFTS_FROM]
    early = [p for p, w in zip(found.psi, weeks, strict=True) if p and w < DRIFTS_FROM]
    assert min(late) > 0.25 > 0.1 > statistics.median(early)
    assert max(p or 0 for p in drift_of(transaction, "direction").psi) < 0.1


def drift_of(facts: EventTypeFacts, field: str) -> FieldDrift:
    return next(each for each in facts.drift if each.field == field)


def shares(edges: list[float], values: list[float]) -> list[float]:
    counts = Counter(sum(a > edge for edge in edges) for a in values)
    return [counts[k] / len(values) for k in range(len(edges) + 1)]


def naive_psi(expected: Iterable[float], found: Iterable[float]) -> float:
    pairs = [(max(e, 1e-4), max(a, 1e-4)) for e, a in zip(expected, found, strict=True)]
    return sum((a - e) * math.log(a / e) for e, a in pairs)


def test_chance_is_exceeded_by_one_sample_in_twenty() -> None:
    rng = np.random.default_rng(3)
    draws = [rng.multinomial([2_000, 500], [0.1] * 10) for _ in range(2_000)]
    above = sum(psi(expected, found) > chance(expected, found) for expected, found in draws)
    assert 0.03 < above / len(draws) < 0.07


def test_a_difference_between_labels_is_set_beside_that_of_chance() -> None:
    rng = np.random.default_rng(4)
    above = {True: 0, False: 0}
    for _ in range(200):
        outcome = (rng.random(800) < 0.2).astype(np.int8)
        for measured in above:
            values = rng.normal(size=800) if measured else rng.integers(0, 6, 800)
            found = by_label(values, np.zeros(800, np.bool_), outcome, np.arange(800), measured)
            assert found is not None and found.distance is not None and found.chance is not None
            above[measured] += found.distance > found.chance
    assert all(2 <= count <= 20 for count in above.values()), "1 of 20"


def test_what_has_no_time_has_no_weeks(customer: EventTypeFacts) -> None:
    assert (customer.first, customer.periods, customer.drift) == (None, (), ())


def test_cleaning_is_counted_and_described_rows_are_all(facts: Profile, users: list[Row]) -> None:
    assert [rule.rows for rule in facts.cleaning] == [len(users) - len({row["user_id"] for row in users})]
    assert facts.event_types[0].rows == len(users)


def test_correlations_are_ranks(
    transaction: EventTypeFacts, transactions: list[Row], users: list[Row]
) -> None:
    outcome = suspended(users)
    amounts = ranks([float(row["amount"]) for row in transactions])
    label = ranks([float(outcome[row["user_id"]]) for row in transactions])
    (pair,) = transaction.correlations
    assert (pair.one, pair.other, pair.rows) == ("amount", "(label)", len(transactions))
    assert pair.rank == pytest.approx(statistics.correlation(amounts, label))


def ranks(values: list[float]) -> list[float]:
    ordered = sorted(values)
    return [(bisect.bisect_left(ordered, v) + bisect.bisect_right(ordered, v)) / 2 for v in values]


def test_a_profile_needs_no_label(files: list[Path]) -> None:
    transactions = files[1:]
    found = measure.profile(OFFBOARDING, transactions, read_all(OFFBOARDING, transactions, NOW_US))[0]
    assert found.labels is None
    assert all(each.by_label is None for each in found.event_types[0].columns)


def test_what_stands_out_is_said_first(facts: Profile) -> None:
    told = findings(facts)
    assert [each.weight for each in told] == sorted(
        (each.weight for each in told), key=["problem", "look", "note"].index
    )
    text = "\n".join(f"{each.weight} {each.text}" for each in told)
    assert re.search(r"problem 11 of [\d,]+ \(0\.\d%\) rows cannot be used", text)
    assert re.search(r"problem transaction: 17 of .* rows have the key of another row", text)
    assert re.search(r"problem The labels of .* customers contradict each other", text)
    assert re.search(r"look transaction: .* rows are exact copies", text)
    assert re.search(r"look transaction: amount drifts: PSI \d\.\d\d in the week of 2024-0[89]", text)
    assert "direction drifts" not in text


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["1,<b>,2024-01-01T10:00:00Z,$x_1$ & </script>,"],
        ["1,a,2024-01-01T10:00:00Z,k,1", "2,b,2024-03-01T10:00:00Z,,0"],
        ["1,a,never,k,1"],
    ],
    ids=["no row", "one row", "gaps", "none good"],
)
def test_a_page_can_be_made_of_almost_nothing(lines: list[str], tmp_path: Path) -> None:
    use_case = parse(
        PURCHASES.replace("ID", "[id]").replace("kind: string", "kind: {type: string, optional: true}")
    )
    path = tmp_path / "purchases.csv"
    path.write_text("\n".join(["id,who,at,kind,fraud", *lines]))
    facts, frames, outcomes = measure.profile(use_case, [path], read_all(use_case, [path], NOW_US))
    text = page.page(facts, frames, outcomes)
    assert [load for load in Page(text).everything() if not load.startswith(("#", "data:"))] == []
    assert "</script>" not in re.sub(r'srcdoc="[^"]*"', "", text)


class Page(HTMLParser):
    """The resources that a page would load, itself and in the documents of its frames."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.frames: list[Page] = []
        self.svgs = 0
        self.feed(text)
        self.loads += re.findall(r"(?:@import\s+|url\(\s*['\"]?)(\w+:[^)'\"]{0,60}|//[^)'\"]{0,60})", text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.svgs += tag == "svg"
        for name, value in attributes:
            if name == "srcdoc":
                self.frames.append(Page(value or ""))
            if name in ("src", "data", "poster", "srcset") or (name.endswith("href") and tag != "a"):
                self.loads.append(value or "")

    def everything(self) -> Iterator[str]:
        yield from self.loads
        for frame in self.frames:
            yield from frame.everything()


def test_the_command_writes_a_page_that_loads_nothing(
    run: Run, files: list[Path], facts: Profile, tmp_path: Path
) -> None:
    (tmp_path / "cleaning.yaml").write_text(CLEANING.text)
    words = ["--use-case", tmp_path / "cleaning.yaml", "--out", tmp_path / "page.html", "--json"]
    ended = run("profile", *files, *words)
    assert ended.code == 1, "there are bad rows"
    told = json.loads(ended.out)
    assert told["event_types"][1]["repeats"]["by_key_differing"] == 17
    assert msgspec.convert(told, Profile) == facts
    text = (tmp_path / "page.html").read_text()
    page = Page(text)
    assert [load for load in page.everything() if not load.startswith(("#", "data:"))] == []
    assert "connect-src 'none'; script-src 'unsafe-inline'" in text
    assert len(page.frames) == 2, "a table to browse for each event type"
    assert page.svgs > 15
    assert all(example in html.unescape(text) for bad in facts.bad for example in bad.examples)
    differing = facts.event_types[1].repeats.listing
    assert (differing.shown, differing.total) == (17, 17)
    assert all(row[2] == "amount" and row[3].endswith(" | 12345.67") for row in differing.rows)
    for subject, event, *_ in differing.rows:
        assert f"<td>{subject}</td><td>{event}</td><td>amount</td>" in text
    assert "17 of" in text and "the latest row counts" in text
