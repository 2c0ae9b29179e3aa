"""Files that are not like the training data: what they lack is named, is no reason, and costs a held-out figure."""

import csv
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs
from sklearn.ensemble import HistGradientBoostingClassifier

from export.bundle import Bundle
from export.bundle import bundle as made
from export.distributions.coverage import Coverage, Spread, coverage
from export.distributions.reference import freeze, reference
from export.onnx import Scorer, convert
from export.reasons import reasons
from features.events import FieldUse, Presence
from features.usecase import UseCase, parse
from pipeline.batch.differences import differences, sentences
from pipeline.batch.score import Scored, score
from pipeline.files.history import history
from tests.pipeline.market import offboarding
from training.generate.dataset import generate

FIGURES = {name: {"value": 0.5, "low": 0.4, "high": 0.6} for name in ("average_precision", "roc_auc")}
WORSE = {name: {"value": 0.4, "low": 0.3, "high": 0.5} for name in ("average_precision", "roc_auc")} | {
    "change": {"value": -0.1, "low": -0.15, "high": -0.05}
}
SAME = FIGURES | {"change": {"value": 0.01, "low": -0.02, "high": 0.03}}


def rewritten(folder: Path, to: Path, dropped: Sequence[str], constant: dict[str, str]) -> list[Path]:
    """The files of the folder without some columns, and with one value in others."""
    to.mkdir()
    for name in ("users.csv", "transactions.csv"):
        with (folder / name).open() as lines:
            rows = [
                row | {key: value for key, value in constant.items() if key in row}
                for row in csv.DictReader(lines)
            ]
        kept = [column for column in rows[0] if column not in dropped]
        with (to / name).open("w", newline="") as lines:
            writer = csv.DictWriter(lines, kept, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
    return [to / "users.csv", to / "transactions.csv"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("history")
    generate(40, 20, 3, folder)
    return folder


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    """A model by which an unknown age is bad, and which knows the columns that the whole files have."""
    use_case, presence = offboarding(), Presence(offboarding())
    with history(use_case, [folder / "users.csv", folder / "transactions.csv"], now_us()) as events:
        for batch in events.batches(100_000):
            presence.add(batch)
    lacking = {
        "about": "customers", "n": 40, "with_all": FIGURES,
        "without": {"customer.date_of_birth": WORSE, "customer": WORSE, "transaction.category_id": SAME},
    }  # fmt: skip
    rng, names = np.random.default_rng(7), use_case.features
    vectors = rng.lognormal(2, 2, (1_500, len(names))).astype(np.float32)
    vectors[rng.random(vectors.shape) < 0.1] = np.nan
    label = np.isnan(vectors[:, names.index("age_years")]) | (rng.random(len(vectors)) < 0.1)
    model = HistGradientBoostingClassifier(max_iter=20, max_leaf_nodes=8, random_state=1).fit(vectors, label)
    kept = structs.replace(
        reference(names, vectors, model.predict_proba(vectors)[:, 1]), fields=presence.fields()
    )
    return made(
        use_case, use_case.text, convert(model, len(names)), kept, {"medium": 0.4, "high": 0.6},
        datetime(2026, 1, 1, tzinfo=UTC), seed=7, versions={}, metrics={"lacking": lacking}, training={},
    )  # fmt: skip


def now_us() -> int:
    return time.time_ns() // 1_000


def scored(bundle: Bundle, files: Sequence[Path]) -> Scored:
    with history(offboarding(), files, now_us()) as events:
        found = score(offboarding(), bundle, events)
        assert events.bad == 0
    return found


def named(found: Scored) -> set[str]:
    return {reason.feature for each in found.reasons for reason in each}


def test_missing_and_constant_columns_are_named_and_are_no_reasons(
    folder: Path, tmp_path: Path, bundle: Bundle
) -> None:
    dropped = ("date_of_birth", "user_current_state", "category_id")
    found = scored(bundle, rewritten(folder, tmp_path / "less", dropped, {"kyc_state": "FAILED"}))
    whole = scored(bundle, [folder / "users.csv", folder / "transactions.csv"])
    rows, table = found.is_scored, offboarding().table
    blind = reasons(Scorer(bundle.model), found.vectors[rows], found.highest[rows], found.typical, table)
    assert all("age_years" in {reason.feature for reason in each} for each in blind), (
        "it is a reason for the model"
    )
    made_of = {"age_years", "spending_distinct_7d", "spending_distinct_30d"}
    assert len(found) == 40 and set(found.coverage.missing) == {
        "customer.date_of_birth",
        "transaction.category_id",
    }
    assert found.coverage.constant == ("customer.kyc_state",)
    assert made_of <= set(found.coverage.silent)
    assert not named(found) & set(found.coverage.silent)
    assert not set(whole.coverage.missing) and not whole.coverage.constant and not whole.coverage.rare
    told = " ".join(sentences(differences(found)))
    assert "No event in the files has a value of customer.date_of_birth; in training" in told
    assert "customer.kyc_state has the same value in all events of the files" in told
    assert "Without customer.date_of_birth: average precision 0.400 [0.300, 0.500]" in told
    assert "average precision changes by -0.100 [-0.150, -0.050]: the model is worse without it." in told
    assert "average precision changes by +0.010 [-0.020, +0.030], which may be chance." in told
    assert "Without all of these together nothing was measured." in told


def test_files_without_profiles_lack_all_that_profiles_say(folder: Path, bundle: Bundle) -> None:
    found = scored(bundle, [folder / "transactions.csv"])
    assert found.coverage.absent == ("customer",) and not found.has_profile.any()
    assert {"age_years", "kyc_FAILED", "pep"} <= set(found.coverage.silent)
    facts = differences(found)
    assert facts["held_out"]["without"] == {"customer": WORSE}
    assert "The files have no customer event" in sentences(facts)[0]


SMALL = parse(
    """
use_case: small
subject: customer
events:
  payment:
    scored: true
    id: [id]
    time: [at]
    entities: {customer: who}
    fields:
      {id: string, who: string, amount: number, shop: {type: string, optional: true}, abroad: boolean, at: time}
features:
  customer:
    aggregates:
      shops: {event: payment, distinct: shop, statistics: [distinct], windows: [24h]}
  event: [amount, abroad]
"""
)


def compared(n: int, shops: int, abroad: np.ndarray, use_case: UseCase = SMALL) -> Coverage:
    """n customers with an event each, of which `shops` have a shop; in training half had one, and 5 % were abroad."""
    rng = np.random.default_rng(4)
    vectors = np.column_stack(
        [rng.integers(0, 3, 1_000), rng.lognormal(3, 1, 1_000), rng.random(1_000) < 0.05]
    )
    fields = {
        "payment.amount": FieldUse(1_000, 1_000, True, 0.002),
        "payment.shop": FieldUse(1_000, 500, True, 0.1),
        "payment.abroad": FieldUse(1_000, 1_000, True, 0.95),
    }
    trained = structs.replace(
        reference(use_case.features, vectors.astype(np.float32), vectors[:, 1]), fields=fields
    )
    here = np.column_stack([np.arange(n) % 3 if shops else np.zeros(n), rng.lognormal(3, 1, n), abroad])
    spread = Spread()
    spread.add(here[: n // 2].astype(np.float32))
    spread.add(here[n // 2 :].astype(np.float32))
    uses = {
        "payment.amount": FieldUse(n, n, n > 1, 1 / n),
        "payment.shop": FieldUse(n, shops, shops > 1, 0.3),
        "payment.abroad": FieldUse(n, n, len(set(abroad)) > 1, 0.9),
    }
    return coverage(use_case, trained, uses, spread, n)


def test_what_chance_may_do_in_few_rows_is_no_difference() -> None:
    few = compared(4, 0, np.zeros(4))
    assert (few.missing, few.rare, few.silent) == ({}, ("payment.shop",), ("shops_distinct_24h",)), "1 in 16"
    many = compared(10, 0, np.zeros(10))
    assert (many.missing, many.rare) == ({"payment.shop": 0.5}, ()), "1 in 1,024"
    alike = compared(40, 20, np.zeros(40))
    assert not alike.differs, "0.95 to the power of 40 is no proof that the column is constant"
    constant = compared(200, 100, np.zeros(200))
    assert (constant.constant, constant.flat) == (("payment.abroad",), ("abroad",)) == (
        ("payment.abroad",), constant.silent,
    )  # fmt: skip
    assert compared(40, 20, np.ones(40)).flat == ("abroad",), "everybody is abroad"
    assert not compared(200, 100, np.arange(200) < 10).differs


def test_an_older_bundle_still_sees_features_that_say_nothing() -> None:
    vectors = np.random.default_rng(5).lognormal(2, 1, (500, 3)).astype(np.float32)
    old = reference(SMALL.features, vectors, vectors[:, 0])
    spread = Spread()
    spread.add(np.column_stack([np.zeros(50), vectors[:50, 1], np.full(50, 7.0)]).astype(np.float32))
    uses = {name: FieldUse(50, 0 if name == "payment.shop" else 50, True, 0.1) for name in
            ("payment.amount", "payment.shop", "payment.abroad")}  # fmt: skip
    found = coverage(SMALL, old, uses, spread, 50)
    assert not found.known and not found.missing
    assert found.silent == ("shops_distinct_24h", "abroad") and found.flat == ("abroad",)
    assert freeze(np.zeros(5)).edges == ()


def test_silent_features_are_no_reasons(bundle: Bundle) -> None:
    use_case, rng = offboarding(), np.random.default_rng(6)
    vectors = rng.lognormal(2, 2, (30, len(use_case.features))).astype(np.float32)
    scorer, typical = Scorer(bundle.model), np.zeros(len(use_case.features), np.float32)
    values = scorer.score(vectors)
    every = list(reasons(scorer, vectors, values, typical, use_case.table))
    first = next(each[0].feature for each in every if each)
    others = list(reasons(scorer, vectors, values, typical, use_case.table, silent=(first,)))
    assert first not in {reason.feature for each in others for reason in each} and any(others)
