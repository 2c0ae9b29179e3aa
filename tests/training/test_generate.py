"""The generated files: their schema, their promises when clean, their dirt; the label hides only in behaviour."""

import csv
import re
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from tests.commands import Run
from training.generate import Dirt, Summary, generate
from training.generate.customers import SUSPENDED_SHARE
from training.generate.schema import CATEGORY_IDS

USER_HEADER = (
    "user_id,session_id,country_of_residence,has_biometrics,phone_number_country_code,reason_to_use_app,occupation,"
    "kyc_state,gender,date_of_birth,document_issuing_country,locale,screening_state,is_adverse_media_minor,is_pep,"
    "user_current_state"
)
TRANSACTION_HEADER = (
    "id,reference_transaction_id,user_id,state,type,category_id,"
    "amount,currency,direction,completed_at,created_at"
)
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
TIME = r"2024-\d\d-\d\d \d\d:\d\d:\d\d\.\d{4,5}[1-9] UTC"
TRANSACTION_PATTERNS = {
    "id": UUID,
    "reference_transaction_id": UUID,
    "user_id": UUID,
    "state": "PENDING|COMPLETED|DECLINED|FAILED|REVERSED|CANCELLED",
    "type": "CARDS|BANK_TRANSFER|CARD_TOP_UP|PROCESSING_FEE|CRYPTO_ON_RAMP|PAYMENTS|CRYPTO_OFF_RAMP|USER_REWARD|MANUAL",
    "category_id": "|".join(CATEGORY_IDS) + "|",
    "amount": r"\d{1,5}(\.\d[1-9]|\.[1-9])?",
    "currency": "EUR",
    "direction": "IN|OUT",
    "completed_at": f"({TIME})?",
    "created_at": TIME,
}
USER_PATTERNS = {
    "user_id": UUID,
    "session_id": UUID,
    "country_of_residence": "FR|PF|NC|YT|RE|GP|MQ|GF",
    "has_biometrics": "TRUE|FALSE",
    "phone_number_country_code": r"\+\d\d",
    "reason_to_use_app": "DAILY_PAYMENT_SERVICES|CRYPTO_SERVICES|NON_CUSTODIAL_CRYPTO_WALLET|TRAVEL_ACCOUNT|"
    "INTERNATIONAL_TRANSFERS|",
    "occupation": "[A-Z_]*",
    "kyc_state": "COMPLETED|FAILED|PENDING",
    "gender": "[MF]?",
    "date_of_birth": r"(19|20)\d\d-\d\d-\d\d",
    "document_issuing_country": "[A-Z]{2}",
    "locale": "fr_FR|fr_PF|en_001",
    "screening_state": "COMPLETED|TO_SOFT_REVIEW",
    "is_adverse_media_minor": "FALSE",
    "is_pep": "FALSE",
    "user_current_state": "ACTIVE|SUSPENDED",
}
ONE_WAY = {
    "CARDS": "OUT",
    "CARD_TOP_UP": "IN",
    "CRYPTO_ON_RAMP": "OUT",
    "CRYPTO_OFF_RAMP": "IN",
    "USER_REWARD": "IN",
}
DIRTY = Dirt(
    duplicate_rows=0.04,
    late_rows=0.05,
    completed_before_created=0.03,
    repeated_users=0.16,
    contradicting_users=0.1,
    missing_values=0.08,
)


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def times(texts: pd.Series) -> pd.Series:
    return pd.to_datetime(texts.str.removesuffix(" UTC"), format="ISO8601")


def known_at(rows: pd.DataFrame) -> pd.Series:
    return times(rows.completed_at.where(rows.completed_at != "", rows.created_at))


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return generate(1500, 30, seed=5, out=tmp_path_factory.mktemp("clean"))


@pytest.fixture(scope="module")
def users(clean: Summary) -> pd.DataFrame:
    return read(clean.files[0])


@pytest.fixture(scope="module")
def rows(clean: Summary) -> pd.DataFrame:
    return read(clean.files[1])


@pytest.fixture(scope="module")
def typologies(clean: Summary) -> pd.DataFrame:
    return read(clean.files[2])


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return generate(1500, 30, seed=5, out=tmp_path_factory.mktemp("dirty"), dirt=DIRTY)


def test_same_seed_gives_same_bytes(tmp_path: Path) -> None:
    first, again = (generate(60, 20, seed=3, out=tmp_path / name, dirt=DIRTY) for name in ("first", "again"))
    for one, other in zip(first.files, again.files, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_another_seed_gives_other_people_and_movements(tmp_path: Path) -> None:
    one, other = (generate(60, 20, seed=seed, out=tmp_path / str(seed)) for seed in (3, 4))
    assert not set(read(one.files[0]).user_id) & set(read(other.files[0]).user_id)
    assert not set(read(one.files[1]).id) & set(read(other.files[1]).id)


def test_headers_are_those_of_the_real_files(clean: Summary) -> None:
    headers = [path.open(encoding="utf-8").readline().rstrip("\n") for path in clean.files]
    assert headers == [USER_HEADER, TRANSACTION_HEADER, "user_id,typology,starts_at,suspended_at"]


@pytest.mark.parametrize("column", USER_PATTERNS)
def test_user_values_are_spelled_as_in_the_real_file(users: pd.DataFrame, column: str) -> None:
    assert users[column].str.fullmatch(USER_PATTERNS[column]).all()


@pytest.mark.parametrize("column", TRANSACTION_PATTERNS)
def test_transaction_values_are_spelled_as_in_the_real_file(rows: pd.DataFrame, column: str) -> None:
    assert rows[column].str.fullmatch(TRANSACTION_PATTERNS[column]).all()


def test_files_are_plain_csv(clean: Summary) -> None:
    for path in clean.files:
        with path.open(encoding="utf-8", newline="") as lines:
            assert len({len(cells) for cells in csv.reader(lines)}) == 1
        assert b'"' not in path.read_bytes()


def test_summary_counts_what_is_in_the_files(clean: Summary, users: pd.DataFrame, rows: pd.DataFrame) -> None:
    assert (clean.customers, clean.user_rows) == (1500, len(users))
    assert (clean.transaction_ids, clean.transaction_rows) == (rows.id.nunique(), len(rows))
    assert sum(clean.suspended.values()) == (users.user_current_state == "SUSPENDED").sum()


def test_nothing_but_the_files_is_left_behind(clean: Summary) -> None:
    assert sorted(clean.files[0].parent.iterdir()) == sorted(clean.files)


def test_keys_are_unique_when_clean(users: pd.DataFrame, rows: pd.DataFrame) -> None:
    assert users.user_id.is_unique
    assert users.session_id.is_unique
    assert not rows.duplicated(["id", "state"]).any()
    assert set(rows.user_id) <= set(users.user_id)


def test_only_pending_has_no_completion(rows: pd.DataFrame) -> None:
    assert ((rows.completed_at == "") == (rows.state == "PENDING")).all()


def test_rows_stand_in_the_order_in_which_they_were_known(rows: pd.DataFrame) -> None:
    assert known_at(rows).is_monotonic_increasing


def test_states_of_a_transaction_differ_only_in_state_and_completion(rows: pd.DataFrame) -> None:
    constant = [column for column in rows.columns if column not in ("state", "completed_at")]
    assert len(rows[constant].drop_duplicates()) == rows.id.nunique()


def test_pending_comes_first_and_completion_after_creation(rows: pd.DataFrame) -> None:
    assert (rows[rows.duplicated("id")].state != "PENDING").all()
    settled = rows[rows.state != "PENDING"]
    assert (times(settled.completed_at) > times(settled.created_at)).all()


def test_everything_lies_in_the_period(tmp_path: Path) -> None:
    summary = generate(80, 12, seed=1, out=tmp_path, start=date(2024, 2, 25))
    known = known_at(read(summary.files[1]))
    assert known.min() >= pd.Timestamp("2024-02-25")
    assert known.max() < pd.Timestamp("2024-03-08")


def test_mixes_resemble_the_real_files(rows: pd.DataFrame) -> None:
    states = rows.state.value_counts(normalize=True)
    expected = {"COMPLETED": 0.57, "PENDING": 0.25, "DECLINED": 0.11, "FAILED": 0.055, "REVERSED": 0.01}
    assert {name: pytest.approx(states[name], rel=0.35, abs=0.005) for name in expected} == expected
    assert set(rows.type) == set(TRANSACTION_PATTERNS["type"].split("|"))
    assert set(rows.category_id) == {*CATEGORY_IDS, ""}
    assert 12 < rows.amount.astype(float).median() < 24
    assert 1000 < rows.amount.astype(float).max() <= 40_000


def test_delays_resemble_the_real_files(rows: pd.DataFrame) -> None:
    settled = rows[rows.state != "PENDING"]
    delay_s = (times(settled.completed_at) - times(settled.created_at)).dt.total_seconds()
    half, most, nearly_all = delay_s.quantile([0.5, 0.9, 0.99])
    assert 5 < half < 25
    assert 12 < most / 3600 < 36
    assert 60 < nearly_all / 3600 < 140


def test_activity_is_heavy_tailed(users: pd.DataFrame, rows: pd.DataFrame) -> None:
    per_user = rows.groupby("user_id").size().reindex(users.user_id, fill_value=0)
    assert 12 <= per_user.median() <= 28
    assert per_user.max() > 300
    assert 0.02 < (per_user == 0).mean() < 0.2


@pytest.mark.parametrize("kind", ONE_WAY)
def test_direction_fits_the_type(rows: pd.DataFrame, kind: str) -> None:
    assert set(rows[rows.type == kind].direction) == {ONE_WAY[kind]}


def test_a_fee_refers_to_what_it_was_charged_for(rows: pd.DataFrame) -> None:
    fees = rows[rows.type == "PROCESSING_FEE"]
    causes = rows[(rows.type != "PROCESSING_FEE") & (rows.state == "COMPLETED")]
    charged = fees.merge(causes, on="reference_transaction_id", suffixes=("", "_cause"))
    assert set(charged.id) == set(fees.id)
    assert (charged.user_id == charged.user_id_cause).all()
    assert (times(charged.created_at) > times(charged.completed_at_cause)).all()


def test_salaries_come_every_month(tmp_path: Path) -> None:
    summary = generate(300, 92, seed=2, out=tmp_path)
    rows = read(summary.files[1]).drop_duplicates("id")
    amount = rows.amount.astype(float)
    early = times(rows.created_at).dt.hour.between(1, 6) & times(rows.created_at).dt.day.ge(22)
    salaries = rows[
        early & (rows.type == "BANK_TRANSFER") & (rows.direction == "IN") & amount.between(900, 3500)
    ]
    months = times(salaries.created_at).dt.to_period("M").groupby(salaries.user_id).nunique()
    assert (months == 3).sum() > 10


def test_suspended_share_and_every_typology(clean: Summary, users: pd.DataFrame) -> None:
    suspended = (users.user_current_state == "SUSPENDED").sum()
    assert suspended == round(len(users) * SUSPENDED_SHARE)
    assert min(clean.suspended.values()) > 5


def test_the_truth_agrees_with_the_label(users: pd.DataFrame, typologies: pd.DataFrame) -> None:
    suspended = typologies[typologies.suspended_at != ""]
    assert set(suspended.user_id) == set(users[users.user_current_state == "SUSPENDED"].user_id)
    assert (times(suspended.starts_at) < times(suspended.suspended_at)).all()
    assert {"gig_worker", "crypto_trader"} <= set(typologies[typologies.suspended_at == ""].typology)


def test_suspended_customers_stop_transacting(rows: pd.DataFrame, typologies: pd.DataFrame) -> None:
    ended = rows.merge(typologies[typologies.suspended_at != ""], on="user_id")
    assert len(ended) > 1000
    assert (times(ended.created_at) < times(ended.suspended_at)).all()


def test_card_fraud_tops_up_and_then_moves_into_crypto(rows: pd.DataFrame, typologies: pd.DataFrame) -> None:
    mine = rows.merge(typologies[typologies.typology == "card_to_crypto"], on="user_id")
    burst = mine[times(mine.created_at) >= times(mine.starts_at)]
    refused = burst[burst.type == "CARD_TOP_UP"].state.isin(["DECLINED", "FAILED"]).mean()
    usual = rows[rows.type == "CARD_TOP_UP"].state.isin(["DECLINED", "FAILED"]).mean()
    assert refused > usual * 1.2
    for kind in ("CRYPTO_ON_RAMP", "CRYPTO_OFF_RAMP"):
        assert (burst.type == kind).mean() > 2 * (rows.type == kind).mean()


def first_bytes(texts: pd.Series) -> np.ndarray:
    return texts.str[:8].map(lambda digits: int(digits, 16)).to_numpy()


def test_neither_identifiers_nor_order_know_the_label(users: pd.DataFrame, rows: pd.DataFrame) -> None:
    """An AUC of 0.5, within four standard errors for these numbers of customers and transactions."""
    label = users.user_current_state == "SUSPENDED"
    per_user = (np.arange(len(users)), first_bytes(users.user_id), first_bytes(users.session_id))
    first = rows.drop_duplicates("id")
    by_row = first.user_id.map(dict(zip(users.user_id, label, strict=True)))
    per_transaction = (first_bytes(first.id), first_bytes(first.reference_transaction_id))
    assert [roc_auc_score(label, hint) for hint in per_user] == pytest.approx([0.5] * 3, abs=0.08)
    assert [roc_auc_score(by_row, hint) for hint in per_transaction] == pytest.approx([0.5] * 2, abs=0.02)


def profile_features(users: pd.DataFrame) -> pd.DataFrame:
    traits = [
        "reason_to_use_app",
        "occupation",
        "kyc_state",
        "screening_state",
        "gender",
        "has_biometrics",
        "locale",
    ]
    born = pd.to_datetime(users.date_of_birth).dt.year.rename("born")
    return pd.concat([pd.get_dummies(users[traits]), born], axis=1).set_axis(users.user_id).astype(float)


def behaviour_features(users: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Plain aggregates over all settled transactions of a customer, without any first or last time."""
    settled = rows[rows.state != "PENDING"].assign(
        amount=rows.amount.astype(float),
        refused=rows.state.isin(["DECLINED", "FAILED"]),
        night=~times(rows.created_at).dt.hour.between(6, 21),
        flow=rows.type + rows.direction,
    )
    per_user = settled.groupby("user_id")
    per_flow = settled.pivot_table(
        index="user_id", columns="flow", values="amount", aggfunc=["size", "sum", "mean"]
    )
    plain = pd.concat([per_user.amount.describe(), per_user[["refused", "night"]].mean()], axis=1)
    flat = per_flow.set_axis(["_".join(name) for name in per_flow.columns], axis=1)
    return plain.join(flat).reindex(users.user_id).fillna(-1.0)


def forest_auc(features: pd.DataFrame, label: pd.Series) -> float:
    forest = RandomForestClassifier(60, min_samples_leaf=2, random_state=0)
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    score = cross_val_predict(
        forest, features.to_numpy(), label.to_numpy(), cv=folds, method="predict_proba"
    )[:, 1]
    return float(roc_auc_score(label, score))


def test_the_task_is_neither_trivial_nor_hopeless(users: pd.DataFrame, rows: pd.DataFrame) -> None:
    label = users.user_current_state == "SUSPENDED"
    profile, behaviour = profile_features(users), behaviour_features(users, rows)
    assert 0.60 < forest_auc(profile, label) < 0.76
    assert 0.80 < forest_auc(profile.join(behaviour), label) < 0.97


def test_dirt_leaves_what_happened_alone(clean: Summary, dirty: Summary) -> None:
    key = ["id", "state", "user_id", "amount", "created_at"]
    written, soiled = (read(summary.files[1])[key].drop_duplicates() for summary in (clean, dirty))
    assert set(written.itertuples(index=False)) == set(soiled.itertuples(index=False))
    assert set(read(clean.files[0]).session_id) <= set(read(dirty.files[0]).session_id)


def test_duplicate_rows_are_exact(dirty: Summary, rows: pd.DataFrame) -> None:
    soiled = read(dirty.files[1])
    assert soiled.duplicated().sum() == len(soiled) - len(rows)
    assert soiled.duplicated().sum() / len(rows) == pytest.approx(DIRTY.duplicate_rows, rel=0.2)


def test_late_rows_stand_after_younger_ones(tmp_path: Path) -> None:
    summary = generate(400, 30, seed=6, out=tmp_path, dirt=Dirt(late_rows=0.05))
    known = known_at(read(summary.files[1]))
    overtaken = known.cummax() - known
    assert (overtaken > pd.Timedelta(0)).mean() == pytest.approx(0.05, rel=0.25)
    assert (overtaken > pd.Timedelta(hours=1)).mean() > 0.01


def test_some_rows_complete_before_they_are_created(dirty: Summary) -> None:
    settled = read(dirty.files[1]).query("state != 'PENDING'").drop_duplicates()
    early = times(settled.completed_at) < times(settled.created_at)
    assert early.mean() == pytest.approx(DIRTY.completed_before_created, rel=0.25)


def test_repeated_users_tell_something_else(dirty: Summary, users: pd.DataFrame) -> None:
    soiled = read(dirty.files[0])
    repeated = soiled[soiled.duplicated("user_id", keep=False)].groupby("user_id")
    assert len(repeated) / len(users) == pytest.approx(DIRTY.repeated_users, rel=0.25)
    assert soiled.session_id.is_unique
    for column in ("occupation", "kyc_state", "locale"):
        assert (repeated[column].nunique() > 1).any()
    truth = soiled.user_id.map(users.set_index("user_id").user_current_state)
    contradicting = (soiled.user_current_state != truth).sum() / (len(soiled) - len(users))
    assert contradicting == pytest.approx(DIRTY.contradicting_users, abs=0.05)


def test_missing_values_come_on_top_of_those_of_the_real_file(dirty: Summary, users: pd.DataFrame) -> None:
    soiled = read(dirty.files[0])
    assert (users.reason_to_use_app == "").mean() == pytest.approx(0.05, abs=0.02)
    assert (users.occupation == "").mean() == pytest.approx(0.04, abs=0.02)
    assert (users.locale == "").sum() == 0
    assert (soiled.locale == "").mean() == pytest.approx(DIRTY.missing_values, rel=0.3)


def test_progress_counts_customers(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    generate(2100, 2, seed=1, out=tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1000, 2100), (2000, 2100), (2100, 2100)]


@pytest.mark.parametrize(("customers", "days"), [(1, 1), (3, 1), (1, 40)])
def test_small_sizes_work(tmp_path: Path, customers: int, days: int) -> None:
    assert generate(customers, days, seed=1, out=tmp_path / "new" / "folder").customers == customers


@pytest.mark.parametrize(("customers", "days"), [(0, 5), (5, 0), (-1, 5)])
def test_sizes_below_one_are_refused(tmp_path: Path, customers: int, days: int) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{customers} customers and {days} days")):
        generate(customers, days, seed=1, out=tmp_path)


def test_rates_outside_zero_to_one_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Dirt\.late_rows is 1\.5"):
        Dirt(late_rows=1.5)


def test_an_unknown_observation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="observation is 'weekly'; expected one of period, by_label"):
        generate(10, 5, seed=1, out=tmp_path, observation="weekly")


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return generate(700, 40, seed=5, out=tmp_path_factory.mktemp("leaky"), observation="by_label")


def calendar_of(summary: Summary) -> tuple[pd.DataFrame, pd.Series]:
    """First and last time of each customer with transactions, and who is suspended."""
    rows, users = read(summary.files[1]), read(summary.files[0]).set_index("user_id")
    dates = times(rows.created_at).astype("int64").groupby(rows.user_id).agg(["min", "max"])
    return dates, (users.user_current_state == "SUSPENDED").reindex(dates.index)


def test_an_observation_by_label_lets_first_and_last_date_tell_the_label(leaky: Summary) -> None:
    dates, label = calendar_of(leaky)
    assert 0.87 < forest_auc(dates, label) < 0.95
    assert roc_auc_score(label, -dates["min"]) > 0.7, "suspended customers are seen from the beginning"
    assert roc_auc_score(label, -dates["max"]) > 0.8, "and stop first"


def test_full_observation_begins_alike_for_both_labels(users: pd.DataFrame, rows: pd.DataFrame) -> None:
    label = users.set_index("user_id").user_current_state == "SUSPENDED"
    first = times(rows.created_at).astype("int64").groupby(rows.user_id).min()
    assert roc_auc_score(label[first.index], first) == pytest.approx(0.5, abs=0.07)


def test_an_observation_by_label_fills_the_first_week_with_positives(leaky: Summary) -> None:
    rows, users = read(leaky.files[1]), read(leaky.files[0]).set_index("user_id")
    week = (times(rows.created_at) - pd.Timestamp("2024-07-01")).dt.days // 7
    share = (rows.user_id.map(users.user_current_state) == "SUSPENDED").groupby(week).mean()
    assert share.iloc[0] > 0.4
    assert share.iloc[-1] < 0.05


def test_users_come_again_as_often_as_in_the_real_file(tmp_path: Path) -> None:
    """432 customers: 382 once, 41 twice, nine up to seven times, 500 rows in all."""
    dirt = Dirt(repeated_users=50 / 432, contradicting_users=0.06)
    per_user = read(generate(3000, 2, seed=8, out=tmp_path, dirt=dirt).files[0]).user_id.value_counts()
    assert len(per_user) == 3000
    assert (per_user == 1).mean() == pytest.approx(382 / 432, abs=0.02)
    assert (per_user == 2).mean() == pytest.approx(41 / 432, abs=0.02)
    assert 4 <= per_user.max() <= 7
    assert per_user.sum() / 3000 == pytest.approx(500 / 432, abs=0.03)


def test_copies_of_users_are_exact(tmp_path: Path) -> None:
    dirt = Dirt(repeated_users=0.2, duplicate_users=0.1)
    rows = read(generate(1000, 2, seed=8, out=tmp_path, dirt=dirt).files[0])
    assert rows.duplicated().sum() / len(rows.drop_duplicates()) == pytest.approx(0.1, abs=0.03)
    assert rows.drop_duplicates().session_id.is_unique


def test_silent_customers_have_a_profile_and_no_transactions(tmp_path: Path) -> None:
    whole, silenced = (
        generate(1000, 20, seed=8, out=tmp_path / str(rate), dirt=Dirt(silent_users=rate))
        for rate in (0.0, 0.39)
    )
    users, heard = read(silenced.files[0]), set(read(silenced.files[1]).user_id)
    lost = pd.Series(sorted(set(read(whole.files[1]).user_id) - heard))
    assert heard | set(lost) <= set(users.user_id)
    suspended = users.set_index("user_id").user_current_state == "SUSPENDED"
    share = lost.map(suspended).value_counts() / suspended.value_counts()
    assert share[False] == pytest.approx(0.39, abs=0.06), "some have no transactions anyway"
    assert share[True] == pytest.approx(0.14, abs=0.08)
    assert silenced.transaction_rows == len(read(silenced.files[1]))
    assert silenced.transaction_ids == read(silenced.files[1]).id.nunique()


def test_the_command_takes_observation_and_dirt(run: Run, tmp_path: Path) -> None:
    options = ("--customers", 60, "--days", 9, "--seed", 4)
    ended = run(
        "generate",
        *options,
        "--observation",
        "by_label",
        "--dirt",
        "silent_users=0.5",
        "--out",
        tmp_path / "one",
    )
    assert ended.code == 0, ended.err
    same = generate(60, 9, 4, tmp_path / "other", dirt=Dirt(silent_users=0.5), observation="by_label")
    for file in same.files:
        assert (tmp_path / "one" / file.name).read_bytes() == file.read_bytes()
    assert run("generate", *options, "--observation", "weekly", "--out", tmp_path).code == 2
