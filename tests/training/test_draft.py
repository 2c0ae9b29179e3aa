"""`riskstream usecase init` drafts a use case from files: what it reads, what it assumes and what it asks for."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from commands.usecase import faults_of
from features.replay import replay
from features.usecase import Kind, UseCase, parse
from pipeline.files import BadFile
from tests.commands import Run
from training.build_bundle import build_bundle
from training.data.files import batches, read_all
from training.data.labelled_rows import collect
from training.draft import Asked, CannotDraft, Draft, draft, sample
from training.draft.kinds import Guess, guess
from training.draft.reading import JSON_TEXT, TEXT, Column
from training.profile import measure
from training.progress import silent

NOW_US = 1_800_000_000_000_000  # 2027
START = datetime(2026, 3, 2, 8, 30)
HEADER = "payment_no;Kunde Nr;booked at;amount;channel;shop;gift;gender;fraud"


def payments(customers: int = 40, each: int = 12) -> list[str]:
    """A German export: another separator and decimal sign, dates with points, N/A, ja and nein."""
    chance = random.Random(5)
    lines = [HEADER]
    for i in range(customers * each):
        customer = i % customers
        is_bad = customer % 4 == 0
        at = START + timedelta(hours=4 * i, minutes=chance.randrange(60))
        amount = f"{chance.uniform(5, 90) + 60 * is_bad:.2f}".replace(".", ",")
        lines.append(
            f"{7_000_000 + i};{customer:05d};{at:%d.%m.%Y %H:%M};{amount if chance.random() < 0.9 else 'N/A'};"
            f"{chance.choice(['CARD', 'WIRE'])};shop {chance.randrange(30)};{chance.choice(['ja', 'nein'])};"
            f"{chance.choice('FM')};{int(is_bad and chance.random() < 0.7)}"
        )
    return lines


def written(path: Path, lines: list[str], encoding: str = "utf-8") -> Path:
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


def drafted(*paths: Path, **asked: object) -> Draft:
    return draft([sample(path) for path in paths], "drafted", Asked(**asked), NOW_US)  # type: ignore[arg-type]


def use_case(made: Draft) -> UseCase:
    return parse(made.text, "drafted.yaml")


def test_a_foreign_export_becomes_a_use_case_that_fits_every_row(tmp_path: Path) -> None:
    made = drafted(written(tmp_path / "payments.csv", payments()), subject="Kunde Nr")
    (checked,) = made.checked
    assert (checked.good, checked.bad) == (480, 0)
    bank = use_case(made)
    payment = bank.event_types["payments"]
    assert {name: field.kind for name, field in payment.fields.items()} == {
        "payment_no": Kind.STRING, "Kunde_Nr": Kind.STRING, "booked_at": Kind.TIME, "amount": Kind.NUMBER,
        "channel": Kind.CATEGORY, "shop": Kind.STRING, "gift": Kind.BOOLEAN, "gender": Kind.CATEGORY,
        "fraud": Kind.CATEGORY,
    }  # fmt: skip
    assert payment.fields["amount"].optional and payment.fields["fraud"].optional
    assert (payment.id, payment.time, payment.time_format) == (
        ("payment_no",),
        ("booked_at",),
        ("%d.%m.%Y %H:%M",),
    )
    assert (payment.file.separator, payment.file.decimal) == (";", ",")
    assert payment.file.missing_values == ("", "N/A")
    assert (payment.file.true_values, payment.file.false_values) == (("ja",), ("nein",))
    assert bank.label is not None and (bank.label.field, bank.label.positive) == ("fraud", ("1",))
    assert bank.protected == {("payments", "gender")}
    assert not any("gender" in name or "fraud" in name for name in bank.features)
    assert {"amount_mean_30d", "events_count_24h", "different_shop_distinct_30d"} <= set(bank.features)
    assert not any(name.endswith("_90d") for name in bank.features), "the data span 80 days"


def test_what_was_assumed_is_told_and_stands_in_the_file(tmp_path: Path) -> None:
    made = drafted(written(tmp_path / "payments.csv", payments()), subject="Kunde Nr")
    assert made.assumed == (
        "fraud is the label, positive where it is '1' (--label fraud=VALUE)",
        "payments: payment_no names an event (--id)",
        "payments: booked_at dates an event (--time)",
        "payments: a value is missing where a cell holds N/A",
        "payments: times without an offset are in UTC (timezone: says otherwise)",
    )
    assert all(f"# Assumed: {text}" in made.text for text in made.assumed)
    assert made.text.count("# Decide:") == 3


def test_a_profile_gives_latest_values_and_its_label_is_the_customers(tmp_path: Path) -> None:
    users = ["user_id,plan,date_of_birth,is_pep,state"]
    users += [
        f"u{i},{['FREE', 'PAID'][i % 2]},19{50 + i % 40}-0{1 + i % 9}-11,{str(i % 7 == 0).upper()},"
        f"{'SUSPENDED' if i % 5 == 0 else 'ACTIVE'}"
        for i in range(50)
    ]
    orders = ["id,user_id,created_at,total"]
    orders += [f"{i},u{i % 50},{START + timedelta(hours=i)}.{i:06d} UTC,{i % 90}.5" for i in range(600)]
    profile, order = written(tmp_path / "users.csv", users), written(tmp_path / "orders.csv", orders)
    made = drafted(profile, order, label="state=SUSPENDED", time=("created_at",), id=("orders.id",))
    assert [(each.good, each.bad) for each in made.checked] == [(50, 0), (600, 0)]
    bank = use_case(made)
    assert bank.subject == "user" and bank.label is not None and bank.label.positive == ("SUSPENDED",)
    assert [t.scored for t in bank.event_types.values()] == [False, True]
    assert bank.event_types["users"].time == () and bank.event_types["users"].whole
    assert {"latest_date_of_birth", "latest_plan_PAID", "latest_is_pep"} <= set(bank.features)
    assert [person.name for person in bank.people] == ["users.date_of_birth"]
    assert "created_at" not in " ".join(made.assumed)


def test_json_lines_keep_their_types_and_parquet_has_them(tmp_path: Path) -> None:
    events = [
        {"key": f"e{i}", "customer": i % 20, "at": f"2026-05-{1 + i % 28:02d}T10:00:00Z", "amount": i / 2,
         "paid": f"p{i % 3}", "fast": i % 3 == 0, "tags": ["a"], "fraud": ["no", "yes"][i % 2]}
        for i in range(400)
    ]  # fmt: skip
    lines = written(tmp_path / "events.jsonl", [json.dumps(event) for event in events])
    made = drafted(lines)
    fields = {name: field.kind for name, field in use_case(made).event_types["events"].fields.items()}
    assert fields == {
        "key": Kind.STRING, "customer": Kind.INTEGER, "at": Kind.TIME, "amount": Kind.NUMBER, "paid": Kind.CATEGORY,
        "fast": Kind.BOOLEAN, "fraud": Kind.CATEGORY,
    }  # fmt: skip
    assert made.checked[0].bad == 0 and "events: left out, as no field can hold it: tags" in made.assumed
    table = pa.table(
        {
            "customer": pa.array([i % 20 for i in range(400)]),
            "at": pa.array([START + timedelta(hours=i) for i in range(400)], pa.timestamp("us", "UTC")),
            "day": pa.array([START.date()] * 400),
            "amount": pa.array([float(i) for i in range(400)]),
            "kind": pa.array(["A", "B"] * 200).dictionary_encode(),
            "fraud": pa.array([i % 2 for i in range(400)]),
        }
    )
    pq.write_table(table, tmp_path / "table.parquet")
    made = drafted(tmp_path / "table.parquet")
    fields = {name: field.kind for name, field in use_case(made).event_types["table"].fields.items()}
    assert [fields[name] for name in ("at", "day", "kind", "fraud")] == [
        Kind.TIME, Kind.DATE, Kind.CATEGORY, Kind.CATEGORY,
    ]  # fmt: skip
    assert (made.checked[0].good, made.checked[0].bad) == (400, 0)


@pytest.mark.parametrize(
    ("name", "texts", "kind", "form"),
    [
        ("at", ["2026-01-02T03:04:05Z", "2026-01-02 03:04:05+01:00"], Kind.TIME, ""),
        ("at", ["2026-01-02 03:04:05.123 UTC"], Kind.TIME, "%Y-%m-%d %H:%M:%S UTC"),
        ("fecha", ["21/01/2020", "5/01/2020"], Kind.DATE, "%d/%m/%Y"),
        ("day", ["01/21/2020"], Kind.DATE, "%m/%d/%Y"),
        ("date", ["930101", "991231"], Kind.DATE, "%y%m%d"),
        ("number_of_date", ["930101", "991299"], Kind.INTEGER, ""),
        ("amount", ["930101", "991231"], Kind.INTEGER, ""),
        ("created_at", ["1700000000"], Kind.TIME, "epoch_s"),
        ("created_at", ["1700000000123"], Kind.TIME, "epoch_ms"),
        ("zip_code", ["10115", "80331"], Kind.STRING, ""),
        ("number", ["007", "12"], Kind.STRING, ""),
        ("paid", ["1.5", "NA", "-3e2"], Kind.NUMBER, ""),
        ("paid", ["1,500.00"], Kind.STRING, ""),
        ("flag", ["TRUE", "False"], Kind.BOOLEAN, ""),
        ("country", ["NA", "DE"] * 9, Kind.CATEGORY, ""),
        ("note", ["a", "b", "c"], Kind.STRING, ""),
        ("empty", ["", ""], Kind.STRING, ""),
    ],
)
def test_kinds_are_told_by_all_values(name: str, texts: list[str], kind: Kind, form: str) -> None:
    held = guess(Column(name, TEXT, tuple(texts)))
    assert (held.kind, held.form) == (kind, form)


def test_what_can_be_read_in_two_ways_is_told() -> None:
    def read(name: str, texts: list[str], stored: str = TEXT) -> Guess:
        return guess(Column(name, stored, tuple(texts)))

    assert read("day", ["01/02/2020"]).doubt == "%d/%m/%Y and %m/%d/%Y both fit all its values"
    assert "NA may stand for a missing value" in read("country", ["NA", "DE"] * 9).doubt
    assert read("day", ["01.02.2020"], JSON_TEXT).kind is Kind.STRING, (
        "a line of JSON is published as it stands"
    )


@pytest.mark.parametrize(
    ("header", "rows", "asked", "error"),
    [
        ("user_id,account_id,at", "1,2,2026-01-01", {}, r"several columns could name the customer .*--subject"),
        ("who,at", "1,2026-01-01", {}, "no column of all files looks like the id of a customer.*--subject.*who, at"),
        ("user_id,at", ",2026-01-01\n1,2026-01-01", {"subject": "user_id"}, "the column is missing in some rows"),
        ("user_id,at,seen", "1,2026-01-01,2026-01-02", {}, r"several columns could date .*\(at, seen\).*--time"),
        ("user_id,amount", "1,2", {}, "no column could be read as a time.*--time.*user_id, amount"),
        ("user_id,at", "1,2026-01-01", {"time": ("when",)}, "--time when: no file has such a column"),
        ("user_id,at", "1,2026-01-01", {"time": ("user_id",)}, "--time user_id: the column holds strings"),
        ("user_id,at,fraud", "1,2026-01-01,1\n1,2026-01-01,2", {"label": "fraud=3"}, "the values are 1, 2"),
        ("user_id,at,state", "1,2026-01-01,A\n1,2026-01-01,B", {"label": "state"}, "which of them is positive.*VALUE"),
        ("user_id,at,fraud,churn", "1,2026-01-01,1,0\n1,2026-01-01,0,1", {}, "could be the label.*--label"),
        ("user_id,at", "1,2026-01-01", {"subject": "client"}, "--subject client: .* has no such column"),
    ],
)  # fmt: skip
def test_what_the_data_do_not_say_is_asked_for(
    tmp_path: Path, header: str, rows: str, asked: dict[str, object], error: str
) -> None:
    with pytest.raises(CannotDraft, match=error):
        drafted(written(tmp_path / "x.csv", [header, rows]), **asked)


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("x.csv", b"user_id,at\n", "found no row"),
        ("x.csv", b"", "found no row|repeats or lacks"),
        ("x.csv", b"a,a\n1,2\n", "the header repeats"),
        ("x.xlsx", b"a", "expected one of .csv"),
        ("x.jsonl", b"[1]\n", "line 1: expected one JSON object"),
        ("x.parquet", b"no", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, name: str, content: bytes, error: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadFile, match=error):
        sample(tmp_path / name)


def test_a_column_that_is_the_label_in_other_words_is_no_feature(tmp_path: Path) -> None:
    lines = ["user_id,at,amount,outcome_code,fraud"]
    lines += [f"{i % 9},2026-01-{1 + i % 28:02d},{i}.5,{'AB'[i % 2]},{i % 2}" for i in range(90)]
    made = drafted(written(tmp_path / "x.csv", [line.replace("outcome_code", "final") for line in lines]))
    assert "x.final tells the label by itself, so no feature uses it" in made.assumed
    assert not any(name.startswith("final") for name in use_case(made).features)


def test_an_encoding_of_spreadsheets_is_seen(tmp_path: Path) -> None:
    lines = ["user_id,at,Größe", *(f"{i % 5},2026-01-{1 + i % 28:02d},{i}" for i in range(60))]
    made = drafted(written(tmp_path / "x.csv", lines, "cp1252"))
    t = use_case(made).event_types["x"]
    assert t.file.encoding == "cp1252" and t.file.columns == {"Groe": ("Größe",)} and made.checked[0].bad == 0


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., object]:
    return Run(monkeypatch, capsys)


def test_the_draft_is_checked_profiled_and_trained(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = written(tmp_path / "payments.csv", payments())
    ended = run("usecase", "init", "payments.csv", "--name", "bank", "--subject", "Kunde Nr")
    assert ended.code == 0, ended.err
    assert "assumed: fraud is the label" in ended.out and "480 rows fit payments" in ended.out
    assert "riskstream train payments=payments.csv --use-case bank.yaml" in ended.out
    again = run("usecase", "init", "payments.csv", "--name", "bank", "--subject", "Kunde Nr")
    assert again.code == 2 and "bank.yaml exists" in again.err
    assert list(faults_of(tmp_path / "bank.yaml")) == []
    assert run("usecase", "check", "bank.yaml").code == 0
    one_learner = "model: {candidates: [logistic_regression], folds: 2, split: {by: group}}\n"
    bank = parse((tmp_path / "bank.yaml").read_text() + one_learner)
    rows = read_all(bank, [file], NOW_US)
    facts, _, _ = measure.profile(bank, [file], rows, silent)
    assert [each.rows for each in facts.event_types] == [480]
    history = collect(bank, replay(batches(bank, rows)))
    assert (
        build_bundle(bank, history, seed=1, created_at=START.replace(tzinfo=UTC)).bundle.manifest.use_case
        == "bank"
    )


def test_a_flag_that_must_decide_is_named(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "payments.csv", payments())
    ended = run("usecase", "init", "payments.csv")
    assert ended.code == 2 and "--subject" in ended.err
    assert not list(tmp_path.glob("*.yaml"))
