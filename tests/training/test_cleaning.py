"""Cleaning of a history: what rules leave out, in which order, counted as a naive reading of the files counts."""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from export import bundle
from features.usecase import load, parse
from tests.commands import Run
from training.data.cleaning import clean
from training.data.files import read_all
from training.generate import Dirt, generate

OFFBOARDING = load("usecases/offboarding.yaml")
NOW_US = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
RULES = """
    clean:
      - {drop: {state: PENDING, amount: {below: 20}}, reason: small and unfinished}
      - {keep: first, per: "*", reason: an exporter ran twice}
"""
LATEST = """
    clean: {keep: latest, per: user_id, reason: the last row of a customer is the present one}
"""
FILE = '    file: {separator: ",", encoding: utf-8, decimal: ".", missing_values: [""]}\n'
TEXT = OFFBOARDING.text.replace(FILE, FILE + RULES)
TEXT = TEXT.replace("  # One row of transactions.csv", LATEST + "\n  # One row of transactions.csv", 1)
CLEANING = parse(TEXT, "cleaning.yaml")

SHOP = """
use_case: shop
subject: customer
events:
  sale:
    scored: true
    id: [id]
    time: [at]
    entities: {customer: who}
    fields:
      {id: string, who: string, at: time, code: {type: string, optional: true}, paid: {values: [A, B], optional: true}}
    clean: RULES
features: {customer: {aggregates: {sales: {event: sale, statistics: [count], windows: [24h]}}}}
label: {from: sale.paid, positive: [A]}
protected: [sale.who]
"""
SALES = [
    {"id": "1", "who": "a", "at": "2024-01-03T10:00:00Z", "code": "x", "paid": "A"},
    {"id": "2", "who": "a", "at": "2024-01-01T10:00:00Z", "code": "x"},
    {"id": "3", "who": "b", "at": "2024-01-02T10:00:00Z", "paid": "B"},
    {"id": "4", "who": "b", "at": "2024-01-02T10:00:00Z"},
    {"id": "4", "who": "b", "at": "2024-01-02T10:00:00Z", "code": ""},
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("history")
    generate(120, 40, 5, folder, dirt=Dirt(duplicate_rows=0.05, repeated_users=0.3, late_rows=0.1))
    return [folder / "transactions.csv", folder / "users.csv"]


def kept(tmp_path: Path, rules: str) -> tuple[list[str], list[int]]:
    """The sales that stay, and the counts."""
    use_case = parse(SHOP.replace("RULES", rules))
    path = tmp_path / "sales.jsonl"
    path.write_text("\n".join(map(json.dumps, SALES)))
    rows, counts = clean(use_case, read_all(use_case, [path], NOW_US))
    return [json.loads(body)["id"] for body in rows.bodies], [each.rows for each in counts]


@pytest.mark.parametrize(
    ("rules", "ids", "counts"),
    [
        ("[]", ["2", "3", "4", "4", "1"], []),
        ("{drop: {code: x}, reason: y}", ["3", "4", "4"], [2]),
        ("{drop: {paid: {present: false}}, reason: y}", ["3", "1"], [3]),
        ("{drop: {who: b, paid: {present: false}}, reason: y}", ["2", "3", "1"], [2]),
        ("{drop: {hour: {min: 11}}, reason: y}", ["2", "3", "4", "4", "1"], [0]),
        ("{keep: first, per: who, reason: y}", ["2", "3"], [3]),
        ("{keep: latest, per: [who], reason: y}", ["4", "1"], [3]),
        ("{keep: latest, per: [code], reason: y}", ["3", "4", "4", "1"], [1]),  # missing is like no other
        ('{keep: first, per: ["*"], reason: y}', ["2", "3", "4", "1"], [1]),
        ("[{keep: latest, per: who, reason: y}, {drop: {paid: A}, reason: z}]", ["4"], [3, 1]),
        ("[{drop: {paid: A}, reason: z}, {keep: latest, per: who, reason: y}]", ["2", "4"], [1, 2]),
    ],
)
def test_rules_are_applied_in_their_order(
    tmp_path: Path, rules: str, ids: list[str], counts: list[int]
) -> None:
    assert kept(tmp_path, rules) == (ids, counts)


def test_counts_are_those_of_a_naive_reading(files: list[Path]) -> None:
    rows, counts = clean(CLEANING, read_all(CLEANING, files, NOW_US))
    with files[0].open() as transactions, files[1].open() as users:
        lines = [tuple(row.values()) for row in csv.DictReader(transactions)]
        names = list(csv.DictReader(files[0].open()).fieldnames or ())
        people = [row["user_id"] for row in csv.DictReader(users)]
    small = [
        row
        for row in lines
        if row[names.index("state")] == "PENDING" and float(row[names.index("amount")]) < 20
    ]
    rest = Counter(lines) - Counter(small)
    assert [each.rows for each in counts] == [
        len(people) - len(set(people)), len(small), rest.total() - len(rest)
    ]  # fmt: skip
    assert len(rows) == len(set(people)) + len(rest)
    assert min(each.rows for each in counts) > 0
    assert (rows.time_us[1:] >= rows.time_us[:-1]).all()


def test_without_rules_nothing_is_touched(files: list[Path]) -> None:
    rows = read_all(OFFBOARDING, files, NOW_US)
    assert clean(OFFBOARDING, rows) == (rows, [])


def test_the_command_line_tells_and_records_what_was_left_out(
    run: Run, files: list[Path], tmp_path: Path, with_registry: Callable[[Path], Path]
) -> None:
    text, changed = re.subn(
        r"(?ms)^model:.*?\n\n", "model: {candidates: [hist_gradient_boosting], folds: 2, trees: 5}\n\n", TEXT
    )
    assert changed == 1
    (tmp_path / "cleaning.yaml").write_text(text)
    words = ["--use-case", tmp_path / "cleaning.yaml", "--bundle", with_registry(tmp_path / "bundles")]
    ended = run("train", "--allow-no-signal", *files, *words)
    assert ended.code == 0, ended.err
    _, counts = clean(CLEANING, read_all(CLEANING, files, NOW_US))
    assert [str(each) in ended.err for each in counts] == [True] * 3
    lines = ended.out.splitlines()
    assert lines[0].startswith("the policy, replayed over held-out scores")
    assert any(line.startswith("recommended at some time") for line in lines)
    manifest = bundle.load(lines[-1]).manifest
    warned = {line.split()[1] for line in lines if line.startswith("WARNING: ") and " its target." in line}
    targets = manifest.metrics["levels"]
    assert warned == {name.upper() for name, each in targets.items() if each["reached"] != "yes"}
    recorded = manifest.training["cleaning"]
    assert [(each["rule"], each["reason"], each["rows"]) for each in recorded] == [
        (each.rule, each.reason, each.rows) for each in counts
    ]
    assert recorded[1]["rule"] == "drop where state is PENDING and amount is below 20"
