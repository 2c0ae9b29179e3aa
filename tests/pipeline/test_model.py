"""The model in use: exchanged while a job runs, from disk and from a bucket; whatever a look meets, it goes on."""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from deploy.local.gcp.server import LocalCloud, serve
from deploy.local.gcp.web import RequestRefused
from export import storage
from export.bundle import Bundle, bundle, promote, save
from export.manifest import BundleMismatch
from export.pointers import SHADOW, withdraw
from export.storage import StorageUnavailable
from features.usecase import UseCase
from pipeline.engine import pointer_watch
from pipeline.engine.assess import assess
from pipeline.engine.live_model import LiveModel, check_bundle
from pipeline.runtime.process_metrics import progress
from pipeline.stores.store import MemoryStore
from tests.pipeline.market import batched, history, market, offboarding
from tests.pipeline.models import THRESHOLDS, trained

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
BUCKET = "gs://bank/bundles"


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Looks follow each other quickly; afterwards no thread is left."""
    for name in ("LOOK_S", "REMOTE_LOOK_S"):
        monkeypatch.setattr(pointer_watch, name, 0.02)
    yield
    wait_for(lambda: not threads(), "every thread that looks has ended")


def wait_for(condition: Callable[[], bool], what: str) -> None:
    until_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until_s, what
        time.sleep(0.01)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "bundles"]


@pytest.fixture
def root(tmp_path: Path) -> str:
    root = str(tmp_path / "bundles")
    promote(root, saved(trained(market()), root))
    return root


def saved(made: Bundle, root: str) -> str:
    """The id of a bundle that is now in the root."""
    save(made, root)
    return made.manifest.id


def later(days: int, model: bytes | None = None) -> Bundle:
    """The model of the first bundle, or another one, trained some days later."""
    old = trained(market())
    return bundle(
        market(), old.use_case_text, old.model if model is None else model, old.reference, THRESHOLDS,
        FIRST.replace(day=1 + days), seed=1, versions={}, metrics={}, training={},
    )  # fmt: skip


def model_of(root: str, shadow: bool = True) -> closing[LiveModel]:
    return closing(LiveModel(market(), root, MemoryStore(), "p", shadow))


def in_use(model: LiveModel) -> str:
    return model.current().model_version


def looks(n: int = 3) -> None:
    """Waits until the pointers have been looked at some times."""
    time.sleep(0.05 * n)


def test_a_promoted_bundle_takes_over_between_two_batches(root: str) -> None:
    with model_of(root) as model:
        old = model.current()
        new = saved(later(1), root)
        looks()
        assert model.current() is old, "saved is not promoted"
        promote(root, new)
        wait_for(lambda: in_use(model) == new, "it takes over")
        engine = model.current()
        assert progress.model == new == model.drift.model
        assert engine.breaker is old.breaker and engine.store is old.store
    promote(root, trained(market()).manifest.id)
    looks()
    assert in_use(model) == new, "closed: nobody looks any more"


def test_what_was_recommended_during_the_exchange_is_not_forgotten(root: str) -> None:
    """The breaker is that of the moment when the new engine is taken, not of the one when it was loaded."""
    with model_of(root) as model:
        promote(root, saved(later(1), root))
        wait_for(lambda: model._next is not None, "the new one is ready")
        model._engine.breaker = meanwhile = model._engine.breaker.after([5])
        assert model.current().breaker is meanwhile
        assert in_use(model) == later(1).manifest.id


def broken(fault: str) -> Bundle:
    """A bundle whose files agree with its manifest, and that cannot be used."""
    good = later(2)
    manifest, reference = good.manifest, good.reference
    if fault == "other use case":
        return msgspec.structs.replace(
            good, manifest=msgspec.structs.replace(manifest, use_case="another", id="another-1")
        )
    if fault == "no model":
        return later(2, b"no model")
    if fault == "thresholds":
        return msgspec.structs.replace(
            good, manifest=msgspec.structs.replace(manifest, thresholds={"medium": 0.5}, id="market-bad")
        )
    assert fault == "reference"
    short = msgspec.structs.replace(reference, features=dict(list(reference.features.items())[1:]))
    return bundle(
        market(),
        good.use_case_text,
        good.model,
        short,
        THRESHOLDS,
        FIRST,
        seed=1,
        versions={},
        metrics={},
        training={},
    )


POINTERS = {
    "utf-16": "market-x\n".encode("utf-16"), "empty": b"", "spaces": b" \n", "outside": b"../other/bundle",
    "missing": b"market-nowhere", "binary": bytes(range(256)),
}  # fmt: skip
MANIFESTS = {
    "text": b"no JSON",
    "empty manifest": b"",
    "list": b"[]",
    "bytes": b"\xff\xfe{",
    "number": b"1e999",
}
BUNDLES = ("other use case", "no model", "thresholds", "reference", "features", "damaged")
FAULTS = (*POINTERS, *MANIFESTS, *BUNDLES)


def spoil(root: str, fault: str, pointer: str = "market.current") -> None:
    """Lets a pointer name something that cannot be used."""
    name = POINTERS.get(fault, b"")
    if fault not in POINTERS:
        made = (
            broken(fault)
            if fault in BUNDLES[:4]
            else trained(offboarding())
            if fault == "features"
            else later(2)
        )
        name = saved(made, root).encode()
        folder = Path(root, name.decode())
        if fault in MANIFESTS:
            (folder / "manifest.json").write_bytes(MANIFESTS[fault])
        elif fault == "damaged":
            (folder / "model.onnx").write_bytes(b"x")
    storage.write(f"{root}/{pointer}", name)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bundle_that_cannot_be_used_changes_nothing(
    root: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    first, refused = trained(market()).manifest.id, progress.models_refused
    with model_of(root) as model:
        spoil(root, fault)
        wait_for(lambda: progress.models_refused == refused + 1, "it is refused")
        looks()
        assert in_use(model) == first and progress.models_refused == refused + 1, "once, not with every look"
        assert caplog.text.count("is refused") == 1 and "what is in use goes on" in caplog.text
        promote(root, saved(later(3), root))
        wait_for(lambda: in_use(model) == later(3).manifest.id, "the next one takes over")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bundle_that_cannot_be_used_is_refused_at_the_start(root: str, fault: str) -> None:
    spoil(root, fault)
    with pytest.raises(BundleMismatch):
        check_bundle(market(), root)
    with pytest.raises(BundleMismatch):
        LiveModel(market(), root, MemoryStore(), "p")


def test_a_refused_bundle_is_tried_again_once_its_files_are_copied_anew(
    root: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pointer_watch, "REFUSED_S", 0.05)
    with model_of(root) as model:
        spoil(root, "damaged")
        wait_for(lambda: "is damaged, copy the bundle again" in caplog.text, "it is refused")
        looks(10)
        assert caplog.text.count("is damaged") == 1, "told once, however often it is tried"
        Path(root, later(2).manifest.id, "model.onnx").write_bytes(later(2).model)
        wait_for(lambda: in_use(model) == later(2).manifest.id, "it takes over")


def test_a_pointer_that_vanishes_is_told(root: str, caplog: pytest.LogCaptureFixture) -> None:
    failed = progress.looks_failed
    with model_of(root) as model:
        pointer = Path(root, "market.current")
        pointer.unlink()
        wait_for(lambda: progress.looks_failed > failed + 1, "every failed look is counted")
        assert caplog.text.count("the pointer is gone") == 1, "and logged once"
        assert in_use(model) == trained(market()).manifest.id
        pointer.mkdir()
        wait_for(lambda: "Is a directory" in caplog.text, "another fault is told")
        pointer.rmdir()
        promote(root, trained(market()).manifest.id)
        with caplog.at_level(logging.WARNING):
            wait_for(lambda: "can be used again" in caplog.text, "and so is its end")


def test_a_bundles_own_folder_needs_no_pointer(root: str, caplog: pytest.LogCaptureFixture) -> None:
    with model_of(f"{root}/{trained(market()).manifest.id}") as model:
        looks()
        assert in_use(model) == trained(market()).manifest.id and not caplog.text


def test_a_running_job_does_not_take_another_use_cases_model(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In a root with a pointer for each use case, and in an old one, whose pointer all of them share."""
    root, twin = str(tmp_path), msgspec.structs.replace(later(1).manifest, use_case="twin", id="twin-1")
    own = saved(trained(market()), root)
    saved(msgspec.structs.replace(later(1), manifest=twin), root)
    Path(root, "current").write_text(own)
    with model_of(root) as model:
        promote(root, "twin-1")
        looks()
        assert in_use(model) == own and not caplog.text
        storage.write(f"{root}/current", b"twin-1")
        wait_for(lambda: "the pointer is gone" in caplog.text, "it is told")
        assert in_use(model) == own
        promote(root, own)
        wait_for(lambda: "can be used again" in caplog.text, "it has a pointer of its own")
    with pytest.raises(BundleMismatch, match="expected one of use case bazaar"):
        check_bundle(renamed(), root)


def renamed() -> UseCase:
    """The market under a name that has no bundle."""
    from features.usecase import parse

    return parse(market().text.replace("use_case: market", "use_case: bazaar"), "bazaar.yaml")


def test_a_challenger_comes_and_goes_with_its_pointer(root: str) -> None:
    with model_of(root) as model:

        def in_shadow() -> str | None:
            found = model.current().challenger
            return found and found.model_version

        assert in_shadow() is None
        for days in (4, 5):
            other = saved(later(days), root)
            promote(root, other, SHADOW)
            wait_for(lambda other=other: in_shadow() == other == progress.challenger, "exchanged")
        promote(root, other)
        wait_for(
            lambda: in_use(model) == other and in_shadow() is None, "a model is not compared with itself"
        )
        promote(root, trained(market()).manifest.id)
        wait_for(lambda: in_shadow() == other, "it is another again")
        withdraw(root, "market")
        wait_for(lambda: in_shadow() is progress.challenger is None, "gone with its pointer")


@pytest.mark.parametrize("fault", ["utf-16", "missing", "text", "no model", "reference", "other use case"])
def test_a_challenger_that_cannot_be_used_is_ignored(
    root: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    with model_of(root) as model:
        spoil(root, fault, "market.challenger")
        wait_for(lambda: caplog.text.count("is refused") == 1, "it is refused")
        looks()
        assert caplog.text.count("is refused") == 1 and model.current().challenger is None
        promote(root, saved(later(7), root), SHADOW)
        wait_for(lambda: model.current().challenger is not None, "the next one")
        withdraw(root, "market")
        wait_for(lambda: progress.challenger is None, "as it was")


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCloud]:
    with serve() as cloud:
        for name, value in cloud.environment.items():
            monkeypatch.setenv(name, value)
        cloud.storage.buckets["bank"] = {}
        promote(BUCKET, saved(trained(market()), BUCKET))
        yield cloud


@pytest.mark.parametrize(("status", "advice"), [
    ("PERMISSION_DENIED", "grant the account roles/storage.objectViewer"),
    ("FAILED_PRECONDITION", "check the bucket's name and the path"),
])  # fmt: skip
def test_a_bucket_that_refuses_ends_nothing(
    cloud: LocalCloud,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    status: str,
    advice: str,
) -> None:
    failed = progress.looks_failed
    new = saved(later(1), BUCKET)

    def refuse(*_: str) -> None:
        raise RequestRefused(status, "refused in a test")

    with model_of(BUCKET) as model:
        with monkeypatch.context() as patch:
            patch.setattr(cloud.storage, "_object", refuse)
            wait_for(lambda: progress.looks_failed > failed + 1, "failed looks are counted")
            assert in_use(model) == trained(market()).manifest.id
            assert caplog.text.count("cannot look at") == 2, "once for each of the two pointers"
            assert advice in caplog.text
            with pytest.raises(StorageUnavailable, match=advice):
                check_bundle(market(), BUCKET)
        promote(BUCKET, new)
        wait_for(lambda: in_use(model) == new, "it goes on by itself")


@pytest.mark.parametrize("fault", ["503", "hanging"])
def test_a_bucket_that_is_away_holds_up_no_event(
    cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """Beam's client tries for two minutes: in its own thread, while batches go on."""
    asked, back = threading.Event(), threading.Event()
    answer = cloud.storage._object

    def away(*words: str) -> object:
        if back.is_set():
            return answer(*words)
        asked.set()
        if fault == "503":
            raise RequestRefused("UNAVAILABLE", "away in a test")
        back.wait(30)
        return answer(*words)

    with model_of(BUCKET) as model:
        new = saved(later(1), BUCKET)
        promote(BUCKET, new)
        monkeypatch.setattr(cloud.storage, "_object", away)
        assert asked.wait(30), "a look is under way"
        said = assess(model.current(), batched(market(), history(market(), 300, seed=3)))
        assert not back.is_set() and len(said.batch) == 300, "assessed while the bucket is away"
        back.set()
        wait_for(lambda: in_use(model) == new, "it goes on by itself")


def test_a_challenger_in_a_bucket_is_withdrawn(cloud: LocalCloud) -> None:
    promote(BUCKET, trained(market()).manifest.id, SHADOW)
    storage.write(f"{BUCKET}/challenger", trained(market()).manifest.id.encode())
    withdraw(BUCKET, "market")
    left = {url.rpartition("/")[2] for url in cloud.storage.urls()}
    assert "market.current" in left and not left & {"challenger", "market.challenger"}


def test_compiled_code_is_loaded_before_the_first_event(root: str) -> None:
    command = [sys.executable, "-m", "tests.pipeline.cold_engine", root]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    before, opened, assessed = map(int, output.split())
    assert before == 0 < opened == assessed
