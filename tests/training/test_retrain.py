"""Retraining on generated customers, with the real registry: promoted, waiting, rejected, and why."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from export import bundle as bundles
from export.manifest import BundleMismatch
from export.onnx import Scorer
from export.policy import Terms
from export.registry.promotion import standing
from export.registry.versions import Registry
from features.replay import replay
from features.usecase import UseCase, parse
from tests.commands import Run
from tests.export.small import made
from tests.training.bundles import put_in_use
from training.build_bundle import BuiltBundle, build_bundle
from training.champion.champion_model import champion_scores, load_champion, policy_of, unseen_from_us
from training.data.files import EventRows, batches, read_all
from training.data.labelled_rows import LabelledRows, collect
from training.data.splits import SplitSettings, set_apart
from training.generate import generate
from training.models.held_out import HeldOut
from training.retrain import RetrainingResult, retrain
from training.steps import TrainingOptions

TEXT = Path("usecases/offboarding.yaml").read_text()
WHEN = datetime(2026, 11, 22, tzinfo=UTC)
NOW_US = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
LENIENT = (
    "gates: {min_customers: 20, min_positives: 3, baselines: -1, calibration: 0.5, fairness: 0, max_drifted_share: 1, "
    "max_regression: 1, calendar: known"
)


def use_case(gates: str = LENIENT, trees: int = 15) -> UseCase:
    """The off-boarding use case with a quick model."""
    learner = f"candidates: [hist_gradient_boosting], trees: {trees}, leaves: 31"
    model = f"model: {{{learner}, folds: 2, split: {{test: 0.4}}, {gates}}}}}\n\n"
    text, changed = re.subn(r"(?ms)^model:.*?\n\n", model, TEXT)
    assert changed == 1
    return parse(text, "offboarding.yaml")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("newer")
    generate(500, 60, 4, folder)
    return [folder / "users.csv", folder / "transactions.csv"]


@pytest.fixture
def root(tmp_path: Path, with_registry: Callable[[Path], Path]) -> Path:
    """A root of bundles with an empty registry."""
    return with_registry(tmp_path / "bundles")


@pytest.fixture(scope="module")
def rows(files: list[Path]) -> EventRows:
    return read_all(use_case(), files, NOW_US)


@pytest.fixture(scope="module")
def history(rows: EventRows) -> LabelledRows:
    return collect(use_case(), replay(batches(use_case(), rows)))


@pytest.fixture(scope="module")
def built(history: LabelledRows) -> BuiltBundle:
    """A challenger whose held-out rows are those of a retraining."""
    return build_bundle(
        use_case(), history, seed=1, created_at=WHEN, split_settings=SplitSettings("both", 0.4)
    )


def retrained(
    root: Path, rows: EventRows, gates: str = LENIENT, minutes: int = 0, trees: int = 15
) -> RetrainingResult:
    found = use_case(gates, trees)
    options = TrainingOptions(seed=1, created_at=WHEN + timedelta(minutes=minutes))
    ended, _ = retrain(found, rows, Registry(str(root), found.name), options)
    return ended


def test_the_first_is_promoted_the_next_waits_in_shadow_and_a_worse_one_is_rejected(
    root: Path, rows: EventRows
) -> None:
    first = retrained(root, rows, trees=1)
    assert (first.verdict, first.champion) == ("promoted", None)
    assert bundles.read_pointer(str(root), use_case().name) == first.challenger
    second = retrained(root, rows, f"{LENIENT}, require_approval: true", minutes=1, trees=40)
    assert (second.verdict, second.champion) == ("waiting", first.challenger)
    assert bundles.read_pointer(str(root), use_case().name) == first.challenger
    assert bundles.read_pointer(str(root), use_case().name, bundles.SHADOW) == second.challenger
    third = retrained(root, rows, f"{LENIENT}, min_improvement: 0.5", minutes=2, trees=40)
    assert third.verdict == "rejected"
    assert [gate["name"] for gate in third.gates if not gate["passed"]] == ["better"]
    assert bundles.read_pointer(str(root), use_case().name) == first.challenger
    registry = Registry(str(root), "offboarding")
    compared = registry.metrics(registry.find(second.challenger))
    assert compared["better.low"] <= compared["better.value"] <= compared["better.high"]
    known = standing(Registry(str(root), "offboarding"))
    assert [version.status for version in known.versions] == ["rejected", "waiting", "champion"]
    assert known.disagreements == ()


def test_a_label_that_is_noise_is_refused(root: Path, files: list[Path], rows: EventRows) -> None:
    rng = np.random.default_rng(2)
    states = rng.permutation(["SUSPENDED"] * 100 + ["ACTIVE"] * 400)
    bodies = list(rows.bodies)
    for place, state in zip(
        (i for i, name in enumerate(rows.types) if name == "customer"), states, strict=False
    ):
        body = json.loads(bodies[place])
        bodies[place] = json.dumps(body | {"user_current_state": str(state)}).encode()
    ended = retrained(root, replace(rows, bodies=bodies))
    assert ended.verdict == "rejected"
    assert "signal" in [gate["name"] for gate in ended.gates if not gate["passed"]]
    assert bundles.read_pointer(str(root), use_case().name) is None


def test_a_champion_of_other_features_is_asked_by_its_own(
    root: Path, rows: EventRows, built: BuiltBundle
) -> None:
    older = parse(use_case().text.replace("    - hour\n", ""), "older.yaml")
    theirs = collect(older, replay(batches(older, rows)))
    put_in_use(older, theirs, root, WHEN)
    champion = bundles.load_in_use(str(root), use_case().name)
    options = TrainingOptions(seed=1, created_at=WHEN + timedelta(minutes=1))
    found, report = retrain(use_case(), rows, Registry(str(root), "offboarding"), options)
    assert found.champion == champion.manifest.id
    assert found.notes and "flattered" in found.notes[0], "it has seen the period that judges"
    compared = report.run.comparison
    assert compared is not None and compared.notes == found.notes
    assert sum(move.customers for move in compared.last_levels) == compared.customers
    assert b"Champion and challenger" in report.files["report.html"]
    score_of = dict(
        zip(theirs.event_ids.tolist(), Scorer(champion.stand_in).score(theirs.vectors).tolist(), strict=True)
    )
    asked = champion_scores(champion, use_case(), built.held_out, rows)
    assert asked.tolist() == [score_of[id] for id in built.held_out.rows.event_ids.tolist()]


def test_a_champion_is_not_flattered_by_customers_that_it_has_learned_from(
    root: Path, rows: EventRows, history: LabelledRows
) -> None:
    """Or a challenger could never win with customers who are labelled once and for all."""
    asked = use_case(trees=40)
    until = int(np.searchsorted(rows.time_us, rows.time_us.min() + 40 * 86_400_000_000))
    older = replace(rows, types=rows.types[:until], bodies=rows.bodies[:until], time_us=rows.time_us[:until])
    put_in_use(asked, collect(asked, replay(batches(asked, older))), root, WHEN)
    champion = bundles.load_in_use(str(root), use_case().name)
    ended = retrained(root, rows, minutes=1, trees=40)
    assert (ended.champion, ended.notes) == (champion.manifest.id, ())
    assert ended.verdict in ("promoted", "waiting"), (
        "made in the same manner, of more: it is not worse for sure"
    )
    made = build_bundle(
        asked,
        history,
        seed=1,
        created_at=WHEN,
        split_settings=SplitSettings("both", 0.4),
        cut_us=unseen_from_us(champion, history),
    )
    label = made.held_out.rows.label
    flattered = average_precision_score(label, Scorer(champion.model).score(made.held_out.rows.vectors))
    honest = average_precision_score(label, champion_scores(champion, asked, made.held_out, rows))
    assert honest + 0.05 < flattered


def test_a_champion_whose_use_case_is_no_longer_accepted_is_named_with_what_to_do(
    rows: EventRows, history: LabelledRows
) -> None:
    bundle = msgspec.structs.replace(made(), use_case_text=use_case().text.replace("policy:", "polici:"))
    held_out = HeldOut(history[:9], np.zeros(9), {}, b"", terms=Terms(in_a_row=7))
    assert policy_of(bundle, held_out).in_a_row == 7, "the challenger's"
    with pytest.raises(
        BundleMismatch, match=r"polici.*it cannot be read any more.*promote the new bundle by hand"
    ):
        champion_scores(bundle, use_case(), held_out, rows)


def test_customers_that_the_stand_in_has_learned_from_are_not_compared(
    tmp_path: Path, rows: EventRows, history: LabelledRows, built: BuiltBundle
) -> None:
    less = parse(use_case().text.replace("test: 0.4", "test: 0.2"), "less.yaml")
    champion = put_in_use(less, history, tmp_path, WHEN)
    unknown = np.isnan(champion_scores(champion, use_case(), built.held_out, rows))
    assert (unknown == ~set_apart(built.held_out.rows.customers, 0.2)).all() and 0 < unknown.mean() < 1


def test_the_command_line_says_how_it_ended(
    run: Run, tmp_path: Path, files: Sequence[Path], root: Path
) -> None:
    file = tmp_path / "offboarding.yaml"
    file.write_text(use_case(f"{LENIENT}, require_approval: true").text)
    told = run("retrain", *files, "--use-case", file, "--bundle", root, "--since", "2024-07-25", "--json")
    assert told.code == 10, told.err
    facts = json.loads(told.out)
    recommended = facts["recommendations"]
    assert (
        recommended["ever"]["customers"] >= recommended["ever"]["rightly"]
        and recommended["flattered"] is None
    )
    assert isinstance(facts["warnings"], list), "what is warned of is in the JSON too"
    assert facts["verdict"] == "waiting" and "known before 2024-07-25T00:00:00" in facts["split"]
    approved = run("approve", facts["version"], "--approver", "Ada", "--reason", "checked", "--use-case", file,
                   "--bundle", root)  # fmt: skip
    assert approved.code == 0, approved.err
    assert bundles.read_pointer(str(root), use_case().name) == facts["challenger"]
    wrong = run("retrain", *files, "--notify", "file:///x")
    assert wrong.code == 2 and "is not a URL" in wrong.err


def test_what_the_champion_has_not_learned_from_judges_if_there_is_enough_of_it(
    tmp_path: Path, rows: EventRows, history: LabelledRows
) -> None:
    days = rows.time_us.min() + np.array([40, 58]) * 86_400_000_000
    for until_us, is_enough in zip(days, (True, False), strict=True):
        older = replace(rows, types=[], bodies=[], time_us=rows.time_us[rows.time_us < until_us])
        older.types.extend(rows.types[: len(older.time_us)])
        older.bodies.extend(rows.bodies[: len(older.time_us)])
        root = tmp_path / str(is_enough)
        put_in_use(use_case(trees=1), collect(use_case(), replay(batches(use_case(), older))), root, WHEN)
        begins_us = unseen_from_us(load_champion(str(root), use_case().name), history)
        assert (begins_us is not None) == is_enough
        if begins_us:
            assert 0 <= begins_us - older.time_us.max() <= 86_400_000_000
