"""The registry and promotion on a real MLflow store: versions, aliases, pointers that agree, crashes in between."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace as change

from export import bundle as bundles
from export.manifest import BundleMismatch
from export.pointers import SHADOW
from export.registry import promotion
from export.registry.promotion import (
    Approval,
    GateFailed,
    approve,
    challenge,
    champions,
    promote,
    reject,
    rollback,
    standing,
)
from export.registry.runs import Child, ModelOrigin, flat, numbers
from export.registry.tracking import RegistryUnavailable
from export.registry.versions import ModelVersion, Registry, UnknownVersion
from tests.export.small import Declared, made

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
ANN = Approval("Ann", "minute 7")
START_S = 60.0  # a busy machine takes its time to import MLflow


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, with_registry: Callable[[Path], Path]) -> str:
    """One database for all tests here."""
    return f"sqlite:///{with_registry(tmp_path_factory.mktemp('store'))}/mlflow.db"


@pytest.fixture
def root(tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.chdir(tmp_path)
    return str(tmp_path / "bundles")


@pytest.fixture
def registry(root: str, request: pytest.FixtureRequest) -> Registry:
    return Registry(root, re.sub(r"\W", "_", request.node.name))


def saved(registry: Registry, *models: bytes) -> list[str]:
    """Bundles in the root, registered in this order; their ids."""
    found = [made(model, registry.name) for model in models]
    for one in found:
        bundles.save(one, registry.root)
        registry.record(one)
    return [one.manifest.id for one in found]


def agreed(registry: Registry) -> tuple[str | None, str | None]:
    """Bundles in use and in shadow, of which registry and pointers say the same."""
    found = standing(registry)
    assert found.disagreements == ()
    return found.current, found.challenger


def test_a_bundle_is_a_version_with_all_that_is_known_of_it(registry: Registry, tmp_path: Path) -> None:
    bundle = made(use_case=registry.name)
    metrics = {"customers": {"roc_auc": {"value": 0.8, "interval": [0.7, 0.9]}}, "note": "none", "ok": True}
    many = {f"p{k}": k for k in range(150)}
    artifacts = {"report.html": b"<html>", "plots/lift.png": b"\x89PNG"}
    version = registry.record(bundle, {"learner": {"depth": 3}, **many}, metrics, artifacts)
    assert (version.number, version.bundle_id, version.status) == (1, bundle.manifest.id, "registered")
    assert version.fingerprint == Declared.fingerprint
    assert registry.metrics(version) == {
        "roc_auc": 0.5, "thresholds.medium": 0.25, "thresholds.high": 0.5,
        "customers.roc_auc.value": 0.8, "customers.roc_auc.interval.low": 0.7, "customers.roc_auc.interval.high": 0.9,
    }  # fmt: skip
    run = registry._client.get_run(version.run_id)
    assert run.info.status == "FINISHED" and run.data.tags["bundle"] == bundle.manifest.id
    assert (
        run.data.params.items()
        >= {"learner.depth": "3", "p149": "149", "seed": "1", "training.rows": "50"}.items()
    )
    files = registry._client.download_artifacts(run.info.run_id, "", str(tmp_path))
    assert Path(files, "report.html").read_bytes() == artifacts["report.html"]
    assert bundles.load(f"{files}/bundle") == bundle
    assert registry._client.get_model_version(registry.name, "1").source.endswith("/bundle")
    assert bundles.read_pointer(registry.root, registry.name) is None, "registered is not promoted"
    assert registry.record(bundle) == version, "once"


def traced(registry: Registry) -> ModelVersion:
    """A bundle registered with its origin and two trials."""
    plain = made(use_case=registry.name)
    facts = {
        "rows": 50,
        "sha256": "ab" * 32,
        "from": "2026-01-01",
        "to": "2026-02-01",
        "model": {"trials": [{}]},
    }
    bundle = change(plain, manifest=change(plain.manifest, training=facts))
    origin = ModelOrigin(
        "ann", "riskstream train", "0.1.0", "c0ffee", ("data/users.csv", "bq://p.d.payments")
    )
    children = [
        Child(
            f"trial {k}", {"trees": k}, {"mean": k / 10}, {"average_precision": (0.1, 0.3)}, {"kind": "trial"}
        )
        for k in (1, 2)
    ]
    return registry.record(bundle, origin=origin, children=children)


def test_a_run_says_who_trained_with_what_on_which_data_and_has_a_child_for_each_trial(
    registry: Registry,
) -> None:
    version = traced(registry)
    client = registry._client
    run = client.get_run(version.run_id)
    expected = {
        "mlflow.user": "ann", "mlflow.source.name": "riskstream train", "mlflow.source.git.commit": "c0ffee",
        "version": "0.1.0", "data": "data/users.csv, bq://p.d.payments", "data_sha256": "ab" * 32,
    }  # fmt: skip
    assert run.data.tags.items() >= expected.items()
    assert "training.model.trials" not in run.data.params, "they are runs of their own"
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("users.csv, p.d.payments", "ab" * 16)
    assert json.loads(data.dataset.source) == {"places": ["data/users.csv", "bq://p.d.payments"]}
    assert json.loads(data.dataset.profile).items() >= {"num_rows": 50, "from": "2026-01-01"}.items()
    assert [(tag.key, tag.value) for tag in data.tags] == [("mlflow.data.context", "training")]
    below = client.search_runs(
        [run.info.experiment_id], f"tags.mlflow.parentRunId = '{version.run_id}'", order_by=["start_time"]
    )
    assert [(one.info.run_name, one.data.params, one.info.status) for one in below] == [
        ("trial 1", {"trees": "1"}, "FINISHED"), ("trial 2", {"trees": "2"}, "FINISHED"),
    ]  # fmt: skip
    assert [one.data.metrics["mean"] for one in below] == [0.1, 0.2]
    history = client.get_metric_history(below[0].info.run_id, "average_precision")
    assert sorted((each.step, each.value) for each in history) == [(0, 0.1), (1, 0.3)]
    assert below[0].data.tags["mlflow.user"] == "ann" and below[0].data.tags["kind"] == "trial"
    assert len(registry.versions()) == 1, "a trial is no version"


def test_names_are_flat_and_such_as_mlflow_takes() -> None:
    nested = {"recall@1%": {"value": 1, "low": None}, "curve": [1, 2, 3], "range": (0, 1)}
    assert flat(nested) == {
        "recall_1_.value": 1, "recall_1_.low": None, "curve": [1, 2, 3], "range.low": 0, "range.high": 1,
    }  # fmt: skip
    assert numbers(nested) == {"recall_1_.value": 1.0, "range.low": 0.0, "range.high": 1.0}
    assert numbers({"precision": float("nan")}) == {}, "what cannot be had is no figure"


def test_registry_and_pointer_agree_after_every_promotion(registry: Registry) -> None:
    old, new = saved(registry, b"old", b"new")
    assert promote(registry, "1", NOW).status == "champion"
    assert agreed(registry) == (old, None)
    assert promote(registry, new, NOW).bundle_id == new
    assert agreed(registry) == (new, None)
    assert [one.status for one in registry.versions()] == ["champion", "retired"]
    promote(registry, new, NOW)
    assert champions(registry) == [old, new], "promoting what is in use is no step"


def test_a_bundle_that_nobody_registered_is_registered_first(registry: Registry) -> None:
    """Bundles of roots from before there was a registry are such."""
    bundle = made(b"ancient", registry.name)
    bundles.save(bundle, registry.root)
    bundles.promote(registry.root, bundle.manifest.id)
    ancient = bundle.manifest.id
    (said,) = standing(registry).disagreements
    assert f"`riskstream promote {ancient}`" in said
    (new,) = saved(registry, b"new")
    promote(registry, new, NOW)
    assert rollback(registry, NOW)[0] == new
    assert agreed(registry) == (ancient, None)


def test_rollbacks_go_further_back_each_time(registry: Registry) -> None:
    a, b, c = saved(registry, b"a", b"b", b"c")
    for one in (a, b, a, c):
        promote(registry, one, NOW)
    for before, after in ((c, a), (a, b), (b, a)):
        found = rollback(registry, NOW)
        assert (found[0], found[1].bundle_id) == (before, after)
        assert agreed(registry) == (after, None)
    with pytest.raises(UnknownVersion, match=f"champion is {a} and there was none before it"):
        rollback(registry, NOW)
    assert registry.find(c).status == "rolled back"
    promote(registry, c, NOW)
    assert rollback(registry, NOW)[1].bundle_id == a


def test_a_challenger_waits_for_approval(registry: Registry) -> None:
    a, b, c = saved(registry, b"a", b"b", b"c")
    promote(registry, a, NOW)
    challenge(registry, b, NOW)
    assert challenge(registry, c, NOW).status == "waiting"
    assert agreed(registry) == (a, c)
    assert registry.find(b).status == "superseded"
    with pytest.raises(UnknownVersion, match=rf"version 2 .* is superseded, expected .*: 3 \({c}\)"):
        approve(registry, b, ANN, NOW)
    version = approve(registry, "3", ANN, NOW)
    assert agreed(registry) == (c, None)
    expected = {"approved_by": "Ann", "approved_because": "minute 7", "approved_at": "2026-11-24T09:00:00Z"}
    assert version.tags.items() >= expected.items()
    with pytest.raises(UnknownVersion, match="is the champion"):
        challenge(registry, c, NOW)
    with pytest.raises(UnknownVersion, match=r"expected one that waits for approval: none"):
        approve(registry, a, ANN, NOW)


def test_what_is_rejected_no_longer_runs_in_shadow(registry: Registry) -> None:
    a, b = saved(registry, b"a", b"b")
    promote(registry, a, NOW)
    challenge(registry, b, NOW)
    version = reject(registry, b, "worse by 0.02", NOW)
    assert (version.status, version.tags["rejected_because"]) == ("rejected", "worse by 0.02")
    assert agreed(registry) == (a, None)
    with pytest.raises(UnknownVersion, match="is in use"):
        reject(registry, a, "it is old", NOW)


FAILED = {"fairness": "sex 0.31 (expected at least 0.8)", "drift": "9 of 12 features have drifted"}


def failing(registry: Registry, model: bytes) -> str:
    """A registered bundle that failed gates; its id."""
    bundle = made(model, registry.name)
    bundles.save(bundle, registry.root)
    registry.record(bundle, failed_gates=FAILED)
    return bundle.manifest.id


def test_whoever_approves_over_failed_gates_names_each_of_them(registry: Registry) -> None:
    (a,), b = saved(registry, b"a"), failing(registry, b"b")
    promote(registry, a, NOW)
    challenge(registry, b, NOW)
    with pytest.raises(
        GateFailed, match=r"failed 2 gates .*sex 0\.31.*--accept-gate fairness --accept-gate drift --approver"
    ):
        approve(registry, b, ANN, NOW)
    with pytest.raises(GateFailed, match=r"failed 1 gate that nobody .*--accept-gate drift --approver"):
        approve(registry, b, Approval("Ann", "minute 8", ("fairness",)), NOW)
    with pytest.raises(GateFailed, match="did not fail luck; the gates that it failed: fairness, drift"):
        approve(registry, b, Approval("Ann", "minute 8", ("fairness", "drift", "luck")), NOW)
    assert agreed(registry) == (a, b), "nothing has changed"
    version = approve(registry, b, Approval("Ann", "minute 8", ("drift", "fairness")), NOW)
    assert agreed(registry) == (b, None)
    assert (version.failed_gates, version.accepted_gates) == (FAILED, ("drift", "fairness"))
    tags = registry._client.get_run(version.run_id).data.tags
    assert tags["approved_by"] == "Ann" and tags["approved_despite"] == "drift, fairness", "also in its run"


def test_no_command_lets_a_model_in_over_failed_gates_without_a_word(registry: Registry) -> None:
    (a,), b = saved(registry, b"a"), failing(registry, b"b")
    promote(registry, a, NOW)
    with pytest.raises(GateFailed, match="failed 2 gates"):
        promote(registry, b, NOW)
    assert agreed(registry) == (a, None)
    promote(registry, b, NOW, Approval("Ann", "minute 8", ("fairness", "drift")))
    promote(registry, a, NOW)
    promote(registry, b, NOW)  # what was accepted stays accepted
    assert champions(registry) == [a, b, a, b]
    promote(registry, a, NOW)
    reject(registry, b, "complaints", NOW)
    for enter in (rollback, lambda registry, now: promote(registry, b, now)):
        with pytest.raises(GateFailed, match=r"version 2 .* failed 2 gates that nobody has accepted"):
            enter(registry, NOW)
    assert agreed(registry) == (a, None)


def test_one_that_was_rejected_without_a_gate_is_kept_out_by_its_rejection(registry: Registry) -> None:
    a, b = saved(registry, b"a", b"b")
    promote(registry, a, NOW)
    reject(registry, b, "worse by 0.02", NOW)
    with pytest.raises(GateFailed, match=r"\(rejected: worse by 0\.02\).*--accept-gate rejected"):
        promote(registry, b, NOW)
    promote(registry, b, NOW, Approval("Ann", "minute 9", ("rejected",)))
    assert agreed(registry) == (b, None)


def test_what_is_not_there_says_what_is(registry: Registry) -> None:
    with pytest.raises(UnknownVersion, match="expected one of those registered: none"):
        promote(registry, "7", NOW)
    (a,) = saved(registry, b"a")
    with pytest.raises(UnknownVersion, match=rf"found no version '7', .*: 1 \({a}\)"):
        promote(registry, "7", NOW)


def test_a_damaged_bundle_changes_nothing(registry: Registry) -> None:
    a, b = saved(registry, b"a", b"b")
    promote(registry, a, NOW)
    Path(registry.root, b, bundles.MODEL).write_bytes(b"x")
    for act in (promote, challenge):
        with pytest.raises(BundleMismatch, match="damaged"):
            act(registry, b, NOW)
    assert agreed(registry) == (a, None)
    assert champions(registry) == [a]


class Crash(Exception):
    """A stand-in for kill -9 between two writes."""


@dataclass
class Dying:
    """A registry, and pointers, of a process that dies before its nth write."""

    registry: Registry
    at: int
    patch: pytest.MonkeyPatch
    writes: int = 0

    def __post_init__(self) -> None:
        for owner, name in (
            (self.registry, "tag"), (self.registry, "set_line"), (self.registry, "give"), (self.registry, "take"),
            (promotion.bundles, "promote"), (promotion.bundles, "withdraw"),
        ):  # fmt: skip
            self.patch.setattr(owner, name, self.counted(getattr(owner, name)))

    def counted(self, write):
        def counting(*arguments, **named):
            self.writes += 1
            if self.writes == self.at:
                raise Crash
            return write(*arguments, **named)

        return counting


# (what is done with bundles a, b, c of which a is champion and b challenger; before which write it dies)
CRASHES = [
    ("promote", 4), ("promote", 5), ("challenge", 3), ("challenge", 4), ("approve", 5), ("approve", 6),
    ("approve", 7),
]  # fmt: skip


@pytest.mark.parametrize(("act", "at"), CRASHES)
def test_a_crash_between_two_writes_is_seen_and_mended(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, act: str, at: int
) -> None:
    """Jobs have the old model or the new one; where the book says else, doing it again is all it takes."""
    a, b, c = saved(registry, b"a", b"b", b"c")
    promote(registry, a, NOW)
    challenge(registry, b, NOW)
    do, expected = {
        "promote": (lambda: promote(registry, c, NOW), (c, b)),
        "challenge": (lambda: challenge(registry, c, NOW), (a, c)),
        "approve": (lambda: approve(registry, b, ANN, NOW), (b, None)),
    }[act]
    with monkeypatch.context() as patch, pytest.raises(Crash):
        Dying(registry, at, patch)
        do()
    found = standing(registry)
    assert found.current == (b if act == "approve" and at > 5 else a), "the pointer is written after the book"
    in_book = {alias: one.bundle_id for one in found.versions for alias in one.aliases}
    in_pointers = (found.current, found.challenger)
    is_ahead = (in_book.get("champion"), in_book.get("challenger")) != in_pointers
    is_both = found.challenger == found.current
    assert bool(found.disagreements) == (is_ahead or is_both)
    assert champions(registry)[-1] == found.current
    for line in found.disagreements:
        assert f"`riskstream promote {expected[act == 'challenge']}" in line, "what to do"
    promote(registry, b, NOW) if act == "approve" else do()
    assert agreed(registry) == expected
    assert champions(registry) == ([a] if act == "challenge" else [a, expected[0]])


def test_a_rollback_that_died_is_done_again(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = saved(registry, b"a", b"b")
    promote(registry, a, NOW)
    promote(registry, b, NOW)
    with monkeypatch.context() as patch, pytest.raises(Crash):
        Dying(registry, 5, patch)
        rollback(registry, NOW)
    found = standing(registry)
    assert found.current == b and len(found.disagreements) == 1
    assert rollback(registry, NOW)[1].bundle_id == a
    assert agreed(registry) == (a, None) and champions(registry) == [a]


def test_a_registry_that_is_away_promotes_nothing(
    root: str, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    bundles.save(made(use_case="away"), root)
    away = Registry(root, "away")
    began_s = time.monotonic()
    with pytest.raises(RegistryUnavailable, match=r"registry http://127.0.0.1:1: .*nothing was promoted"):
        promote(away, made(use_case="away").manifest.id, NOW)
    assert time.monotonic() - began_s < 30
    assert bundles.read_pointer(root, "away") is None


def test_without_a_word_it_is_kept_beside_the_bundles(
    tmp_path: Path, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Quietly: nothing on stdout or stderr, no file elsewhere."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    code = (
        "import sys; from datetime import UTC, datetime; from tests.export.small import made\n"
        "from export import bundle; from export.registry import promotion\n"
        "from export.registry.versions import Registry\n"
        "registry = Registry('bundles', 'offboarding', new=True); bundle.save(made(), 'bundles')\n"
        "promotion.promote(registry, made().manifest.id, datetime.now(UTC))"
    )
    path = str(Path(__file__).parents[2])
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert (ended.stdout, ended.stderr) == ("", "")
    assert {file.name for file in tmp_path.iterdir()} == {"bundles"}
    names = {file.name for file in Path(root).iterdir()}
    assert names == {"offboarding.current", "mlflow.db", "mlruns", made().manifest.id}


def test_bundles_elsewhere_are_promoted_as_those_on_disk(root: str, request: pytest.FixtureRequest) -> None:
    """Through Beam's FileSystems, as in a bucket."""
    from tests.export.test_bundle import DiskFileSystem

    registry = Registry(f"{DiskFileSystem.scheme()}://{root}", request.node.name)
    a, b = saved(registry, b"a", b"b")
    promote(registry, a, NOW)
    challenge(registry, b, NOW)
    assert agreed(registry) == (a, b)
    approve(registry, b, ANN, NOW)
    assert agreed(registry) == (b, None)
    assert rollback(registry, NOW)[1].bundle_id == a
    assert bundles.load_in_use(registry.root, registry.name) == made(b"a", registry.name)
    assert Path(root, f"{registry.name}.current").read_text() == f"{a}\n"


def test_bundles_in_a_bucket_need_a_registry_that_all_can_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(
        RegistryUnavailable, match=r"gs://b/bundles are for many machines.*MLFLOW_TRACKING_URI"
    ):
        Registry("gs://b/bundles", "x")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A real MLflow server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
             "--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--artifacts-destination",
             str(tmp_path / "store")]  # fmt: skip
    quiet = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(words, cwd=tmp_path, stdout=log, stderr=log, env=quiet)
    try:
        answers(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def answers(url: str, process: subprocess.Popen[bytes]) -> None:
    until_s = time.monotonic() + START_S
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            assert process.poll() is None and time.monotonic() < until_s, "the server does not start"
            time.sleep(0.2)


@pytest.mark.slow  # a server takes 10 seconds to start and as many to end
def test_on_a_server(server: str, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    registry = Registry(root, "offboarding")
    a, b = saved(registry, b"a", b"b")
    promote(registry, a, NOW)
    challenge(registry, b, NOW)
    assert agreed(registry) == (a, b)
    approve(registry, b, ANN, NOW)
    assert rollback(registry, NOW)[1].bundle_id == a
    assert agreed(registry) == (a, None)
    assert [one.status for one in registry.versions()] == ["rolled back", "champion"]
    assert registry.metrics(registry.find(a))["roc_auc"] == 0.5
    assert bundles.read_pointer(root, "offboarding", SHADOW) is None
    run = registry._client.get_run(traced(registry).run_id)
    (data,) = run.inputs.dataset_inputs
    assert (run.data.tags["mlflow.user"], data.dataset.name) == ("ann", "users.csv, p.d.payments")
