"""Bundles on disk and through Beam's FileSystems: whole or not there, verified, checked, hot-swapped."""

import os
import subprocess
import sys

import msgspec
import pytest
from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.localfilesystem import LocalFileSystem

from export import bundle as bundles
from export.learned import contains, decode, encode, hashes
from export.manifest import BundleMismatch
from tests.export.small import Declared, made

NAME = "offboarding"


class DiskFileSystem(LocalFileSystem):
    """A Beam file system with a scheme of its own: `disk:///folder/file`."""

    @classmethod
    def scheme(cls):
        return "disk"

    def create(self, path, *args, **kwargs):
        os.makedirs(os.path.dirname(self._path(path)), exist_ok=True)
        return super().create(self._path(path), *args, **kwargs)

    def open(self, path, *args, **kwargs):
        return super().open(self._path(path), *args, **kwargs)

    def exists(self, path):
        return super().exists(self._path(path))

    def delete(self, paths):
        return super().delete([self._path(path) for path in paths])

    def _list(self, dir_or_prefix):
        for found in super()._list(self._path(dir_or_prefix)):
            yield FileMetadata(f"disk://{found.path}", found.size_in_bytes, found.last_updated_in_seconds)

    def _path(self, path):
        return path.removeprefix("disk://")


@pytest.fixture(params=["local", "beam"])
def root(request, tmp_path):
    return str(tmp_path / "bundles") if request.param == "local" else f"disk://{tmp_path}/bundles"


def test_a_saved_bundle_is_loaded_as_it_was(root):
    bundle = made()
    folder = bundles.save(bundle, root)
    assert folder == f"{root}/{bundle.manifest.id}"
    assert bundle.manifest.id.startswith("offboarding-20261122T103000Z-")
    assert bundles.load(folder) == bundle


def test_whom_it_has_learned_from_lies_beside_the_model_under_the_digest(tmp_path):
    ids = [f"customer {i}" for i in range(1_000)]
    known = encode(ids)
    assert len(known) == 8_000 and known == encode(reversed(ids))
    bundle = made(learned_from=known)
    folder = bundles.save(bundle, str(tmp_path))
    assert bundles.load(folder) == bundle
    asked = contains(decode(bundle.learned_from), hashes([*ids[:3], "a stranger"]))
    assert asked.tolist() == [True, True, True, False]
    (tmp_path / bundle.manifest.id / bundles.LEARNED_FROM).write_bytes(known[8:])
    with pytest.raises(BundleMismatch, match=r"learned_from\.bin: found sha256"):
        bundles.load(folder)
    with pytest.raises(BundleMismatch, match="found 7 bytes of customers learned from"):
        decode(known[:7])


def test_the_pointer_says_which_bundle_is_in_use(root):
    old, new = made(), made(b"better")
    assert bundles.read_pointer(root, NAME) is None
    for bundle in (old, new):
        bundles.save(bundle, root)
        bundles.promote(root, bundle.manifest.id)
        assert bundles.read_pointer(root, NAME) == bundle.manifest.id
        assert bundles.load_in_use(root, NAME) == bundle
    assert bundles.load(f"{root}/{old.manifest.id}") == old


def test_the_challenger_has_a_pointer_of_its_own_that_can_be_withdrawn(root):
    old, new = made(), made(b"better")
    for bundle in (old, new):
        bundles.save(bundle, root)
    bundles.promote(root, old.manifest.id)
    bundles.promote(root, new.manifest.id, bundles.SHADOW)
    assert bundles.read_pointer(root, NAME) == old.manifest.id
    assert bundles.read_pointer(root, NAME, bundles.SHADOW) == new.manifest.id
    for _ in range(2):
        bundles.withdraw(root, NAME)
        assert bundles.read_pointer(root, NAME, bundles.SHADOW) is None
    assert bundles.load_in_use(root, NAME) == old


def test_a_bundle_is_found_by_path_or_id(root):
    old, new = (bundles.save(made(model), root) for model in (b"old", b"new"))
    name = made(b"new").manifest.id
    assert bundles.path_of("nowhere", new, NAME) == bundles.path_of(root, name, NAME) == new
    with pytest.raises(bundles.UnknownBundle, match="no bundle 'lost', expected") as error:
        bundles.path_of(root, "lost", NAME)
    assert all(path.rpartition("/")[2] in str(error.value) for path in (old, new))
    bundles.promote(root, name)
    assert bundles.path_of("nowhere", root, NAME) == new


def test_saving_again_changes_nothing(root):
    assert bundles.save(made(), root) == bundles.save(made(), root)
    assert bundles.load(bundles.save(made(), root)) == made()


def test_the_id_follows_from_the_content():
    assert made().manifest.id == made().manifest.id
    assert made().manifest.id != made(b"other").manifest.id


@pytest.mark.parametrize(
    "thresholds",
    [{"medium": 0.9, "high": 0.3}, {"high": 0.3}, {"medium": 0.3}, {}, {"medium": 0.0, "high": 0.5},
     {"medium": 0.5, "high": 1.5}],
)  # fmt: skip
def test_thresholds_that_leave_no_place_for_medium_are_refused_at_loading_and_promotion(tmp_path, thresholds):
    good = made()
    wrong = msgspec.structs.replace(
        good, manifest=msgspec.structs.replace(good.manifest, thresholds=thresholds)
    )
    folder = bundles.save(wrong, str(tmp_path))
    for look in (lambda: bundles.load(folder), lambda: bundles.promote(str(tmp_path), good.manifest.id)):
        with pytest.raises(BundleMismatch, match=r"manifest.json: found the thresholds .* medium <= high"):
            look()
    assert bundles.read_pointer(str(tmp_path), NAME) is None


def test_a_bundle_without_the_reference_of_a_feature_is_refused():
    bundle = made()
    less = msgspec.structs.replace(bundle.reference, features={"amount": bundle.reference.score})
    with pytest.raises(BundleMismatch, match="has no reference of out_count_24h; train"):
        bundles.check(msgspec.structs.replace(bundle, reference=less), Declared())


@pytest.mark.parametrize("name", ["model.onnx", "usecase.yaml", "reference.json"])
def test_a_damaged_file_is_named(tmp_path, name):
    folder = bundles.save(made(), str(tmp_path))
    with open(f"{folder}/{name}", "r+b") as stream:
        stream.write(b"\0")
    with pytest.raises(BundleMismatch, match=f"{name}: found sha256 .* expected .* damaged"):
        bundles.load(folder)


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json"])
def test_a_missing_file_is_named(root, tmp_path, name):
    folder = bundles.save(made(), root)
    os.remove(f"{folder.removeprefix('disk://')}/{name}")
    with pytest.raises(BundleMismatch, match=f"found no {name}.*riskstream train"):
        bundles.load(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "truncated"), ('{"format": "x"}', "format"), (None, "found format 9, expected 1; train again")],
)
def test_a_manifest_that_is_none_is_refused(tmp_path, text, message):
    folder = bundles.save(made(), str(tmp_path))
    path = f"{folder}/manifest.json"
    with open(path) as stream:
        text = text or stream.read().replace('"format": 1', '"format": 9')
    with open(path, "w") as stream:
        stream.write(text)
    with pytest.raises(BundleMismatch, match=message):
        bundles.load(folder)


def test_what_is_not_there_says_so(tmp_path):
    with pytest.raises(BundleMismatch, match=r"found no offboarding.current, .*riskstream train"):
        bundles.load_in_use(str(tmp_path / "nowhere"), NAME)
    with pytest.raises(BundleMismatch):
        bundles.promote(str(tmp_path), "nothing")
    assert bundles.read_pointer(str(tmp_path), NAME) is None


def test_a_bundle_of_another_use_case_or_features_is_refused():
    bundles.check(made(), Declared())
    with pytest.raises(BundleMismatch, match=r"for use case offboarding, expected one of use case shop"):
        bundles.check(made(), Declared("shop"))
    with pytest.raises(BundleMismatch, match=r"00c0ffee00c0ffee .* fingerprint 1234 .*riskstream train"):
        bundles.check(made(), Declared(fingerprint="1234"))
    with pytest.raises(BundleMismatch, match="1 features"):
        bundles.check(made(), Declared(features=("amount",)))


CRASHING = """
import os, sys
from export import bundle, storage
from tests.export.small import made
written = []
def write_through(path, data, original=storage._write_through):
    original(path, data)
    written.append(path)
    if len(written) == int(sys.argv[2]):
        os._exit(9)
storage._write_through = write_through
bundle.save(made(), sys.argv[1])
bundle.promote(sys.argv[1], made().manifest.id)
"""


@pytest.mark.parametrize("writes", [1, 2, 3, 4, 5])
def test_a_crash_leaves_a_whole_bundle_or_none(tmp_path, writes):
    root = str(tmp_path / "bundles")
    before = made(b"before")
    bundles.save(before, root)
    bundles.promote(root, before.manifest.id)
    crashed = subprocess.run([sys.executable, "-c", CRASHING, root, str(writes)], check=False)
    assert crashed.returncode == 9
    assert bundles.load_in_use(root, NAME) == before, "the pointer is written last"
    folder = f"{root}/{made().manifest.id}"
    assert os.path.isdir(folder) == (writes == 5)
    bundles.save(made(), root)
    bundles.promote(root, made().manifest.id)
    assert bundles.load_in_use(root, NAME) == made()


def test_local_bundles_need_no_beam(tmp_path):
    code = (
        "import sys; from export import bundle; root = sys.argv[1]; bundle.load_in_use(root, 'offboarding'); "
        "assert not [m for m in sys.modules if m.startswith(('apache_beam', 'sklearn', 'skl2onnx'))]"
    )
    bundles.save(made(), str(tmp_path))
    bundles.promote(str(tmp_path), made().manifest.id)
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
