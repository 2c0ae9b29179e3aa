"""Pointers: each use case has its own, on disk and elsewhere; those of old roots are understood and then replaced."""

import re
from pathlib import Path

import pytest

from export import bundle as bundles
from export import storage
from export.manifest import BundleMismatch
from export.pointers import SHADOW
from export.registry import promotion
from export.registry.versions import Registry
from export.storage import StorageUnavailable
from tests.export.small import WHEN, made
from tests.export.test_bundle import DiskFileSystem

SHOPS = ("shop_a", "shop_b")


@pytest.fixture(params=["local", "beam"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    path = f"{tmp_path}/bundles"
    return path if request.param == "local" else f"{DiskFileSystem.scheme()}://{path}"


def saved(root: str, use_case: str, model: bytes = b"onnx") -> str:
    """The id of a new bundle of this use case."""
    bundle = made(model, use_case)
    bundles.save(bundle, root)
    return bundle.manifest.id


def files(root: str) -> set[str]:
    """The names of the files right in the root."""
    return {file.name for file in Path(root.removeprefix("disk://")).iterdir() if file.is_file()}


def test_two_use_cases_in_one_folder_have_a_pointer_each(root: str) -> None:
    a, b = (saved(root, name) for name in SHOPS)
    for bundle_id in (a, b):
        bundles.promote(root, bundle_id)
    assert [bundles.load_in_use(root, name).manifest.id for name in SHOPS] == [a, b]
    bundles.promote(root, a, SHADOW)
    assert [bundles.read_pointer(root, name, SHADOW) for name in SHOPS] == [a, None]
    bundles.withdraw(root, "shop_b")
    assert bundles.read_pointer(root, "shop_a", SHADOW) == a


def test_an_old_pointer_counts_for_the_use_case_of_its_bundle_only(root: str) -> None:
    a, b = (saved(root, name) for name in SHOPS)
    storage.write(f"{root}/current", f"{b}\n".encode())
    assert [bundles.read_pointer(root, name) for name in SHOPS] == [None, b]
    assert bundles.load_in_use(root, "shop_b").manifest.id == b
    with pytest.raises(
        BundleMismatch, match=f"names {b}, a bundle of use case shop_b, expected one of use case shop_a"
    ):
        bundles.load_in_use(root, "shop_a")
    bundles.promote(root, a)
    assert [bundles.read_pointer(root, name) for name in SHOPS] == [a, b]
    assert files(root) == {"current", "shop_a.current"}, "that of the other use case is left"


def test_a_promotion_replaces_an_old_pointer(root: str) -> None:
    old, new = saved(root, "shop_a", b"old"), saved(root, "shop_a", b"new")
    for name in ("current", "challenger"):
        storage.write(f"{root}/{name}", old.encode())
    assert bundles.read_pointer(root, "shop_a") == bundles.read_pointer(root, "shop_a", SHADOW) == old
    bundles.promote(root, new)
    bundles.withdraw(root, "shop_a")
    assert files(root) == {"shop_a.current"}
    assert bundles.read_pointer(root, "shop_a") == new


def test_rolling_back_works_in_an_old_root(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/registry.db")
    registry = Registry(root, "shop_a")
    old, new = saved(root, "shop_a", b"old"), saved(root, "shop_a", b"new")
    for bundle_id in (old, new):
        promotion.promote(registry, bundle_id, WHEN)
    storage.write(f"{root}/current", storage.read(f"{root}/shop_a.current"))
    storage.remove(f"{root}/shop_a.current")
    assert promotion.standing(registry).current == new
    assert promotion.rollback(registry, WHEN)[1].bundle_id == old
    assert bundles.read_pointer(root, "shop_a") == old and files(root) == {"shop_a.current"}
    foreign = saved(root, "shop_b")
    for act in (promotion.promote, promotion.challenge):
        with pytest.raises(BundleMismatch, match="for use case shop_b, expected one of use case shop_a"):
            act(registry, foreign, WHEN)
    (Path(root.removeprefix("disk://")) / "shop_a.current").write_bytes("shop_a".encode("utf-16"))
    promotion.promote(registry, new, WHEN)
    assert bundles.read_pointer(root, "shop_a") == new, "promoting mends a damaged pointer"


@pytest.mark.parametrize(
    "data", [b"", b"\n", "shop_a-1".encode("utf-16"), b"../elsewhere", b"a b", b"\0" * 300]
)
def test_a_pointer_that_holds_no_id_is_refused(root: str, data: bytes) -> None:
    storage.write(f"{root}/shop_a.current", data)
    with pytest.raises(
        BundleMismatch, match=re.escape("shop_a.current: found b") + ".*expected the id of a bundle"
    ):
        bundles.read_pointer(root, "shop_a")


def test_a_folder_in_place_of_a_pointer_is_a_failure_of_the_storage(tmp_path: Path) -> None:
    (tmp_path / "shop_a.current").mkdir()
    with pytest.raises(StorageUnavailable, match=r"cannot read .*Is a directory"):
        bundles.read_pointer(str(tmp_path), "shop_a")
    with pytest.raises(StorageUnavailable, match="nowhere://"):
        bundles.read_pointer("nowhere://bucket", "shop_a")
