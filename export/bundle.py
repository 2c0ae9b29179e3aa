"""The bundle: what training hands to serving, one folder that is never changed once it is there.

    ROOT/current                      the id of the bundle in use, one line
    ROOT/challenger                   the id of the one that is scored in shadow, if any
    ROOT/BUNDLE_ID/model.onnx         and usecase.yaml, reference.json, manifest.json
    ROOT/BUNDLE_ID/stand_in.onnx      the same model, but for the customers that were set apart, if any were

The stand-in serves nobody: it lets a later challenger be compared with this model on customers neither has learned
from. The manifest has the sha256 of the other files. Paths are local or anything Beam's FileSystems know (`gs://`).
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from export import storage
from export.reference import Reference

FORMAT = 1
POINTER, SHADOW, MANIFEST = "current", "challenger", "manifest.json"
MODEL, USE_CASE, REFERENCE = "model.onnx", "usecase.yaml", "reference.json"
STAND_IN = "stand_in.onnx"


class BundleMismatch(RuntimeError):
    """The deployed bundle is damaged, or is not for this use case. Deploy one that is."""


class UnknownBundle(LookupError):
    """There is no such bundle (of who asks)."""


class Manifest(Struct, frozen=True):
    """What is true of the model. `features` are the vector's columns in order."""

    format: int
    id: str
    use_case: str
    fingerprint: str
    features: tuple[str, ...]
    thresholds: Mapping[str, float]  # probabilities, by level
    created_at: str  # RFC 3339, UTC
    seed: int
    versions: Mapping[str, str]
    metrics: Mapping[str, Any]
    training: Mapping[str, Any]  # what it learned from: rows, customers, sha256 of the data
    files: Mapping[str, str]  # sha256 of each, in hex


class Bundle(Struct, frozen=True):
    manifest: Manifest
    model: bytes  # ONNX: vector float32 [n, F] -> probabilities float32 [n, 2]
    use_case_text: str
    reference: Reference
    stand_in: bytes | None = None  # as the model


class HasFeatures(Protocol):
    """The part of a use case that a bundle must agree with."""

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def features(self) -> tuple[str, ...]: ...


def bundle(
    use_case: HasFeatures,
    use_case_text: str,
    model: bytes,
    reference: Reference,
    thresholds: Mapping[str, float],
    created_at: datetime,
    stand_in: bytes | None = None,
    **facts: Any,
) -> Bundle:
    """Puts a bundle together; `facts` are the manifest's seed, versions, metrics and training."""
    files = _contents(model, use_case_text, reference, stand_in)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    content = hashlib.sha256(msgspec.json.encode([hashes, thresholds], order="sorted")).hexdigest()
    moment = created_at.astimezone(UTC)
    manifest = Manifest(
        format=FORMAT,
        id=f"{use_case.name}-{moment:%Y%m%dT%H%M%SZ}-{content[:8]}",
        use_case=use_case.name,
        fingerprint=use_case.fingerprint,
        features=tuple(use_case.features),
        thresholds=dict(thresholds),
        created_at=f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        files=hashes,
        **facts,
    )
    return Bundle(manifest, model, use_case_text, reference, stand_in)


def _contents(
    model: bytes, use_case_text: str, reference: Reference, stand_in: bytes | None
) -> dict[str, bytes]:
    always = {MODEL: model, USE_CASE: use_case_text.encode(), REFERENCE: msgspec.json.encode(reference)}
    return always if stand_in is None else always | {STAND_IN: stand_in}


def save(bundle: Bundle, root: str) -> str:
    """Writes the bundle's folder below `root`, whole or not at all; returns its path. Promotes nothing."""
    folder = storage.join(root, bundle.manifest.id)
    storage.write_folder(folder, files_of(bundle))
    return folder


def files_of(bundle: Bundle) -> dict[str, bytes]:
    """The files of a bundle's folder, the manifest last."""
    manifest = msgspec.json.format(msgspec.json.encode(bundle.manifest), indent=2)
    contents = _contents(bundle.model, bundle.use_case_text, bundle.reference, bundle.stand_in)
    return contents | {MANIFEST: manifest}


def promote(root: str, bundle_id: str, pointer: str = POINTER) -> None:
    """Makes the bundle the one in use (or in SHADOW): running jobs see the pointer change and load it."""
    load(storage.join(root, bundle_id))
    storage.write(storage.join(root, pointer), f"{bundle_id}\n".encode())


def withdraw(root: str) -> None:
    """No bundle is scored in shadow any more."""
    storage.remove(storage.join(root, SHADOW))


def read_pointer(root: str, pointer: str = POINTER) -> str | None:
    """The id of the bundle in use (or in SHADOW); None if there is none. One small read."""
    try:
        return storage.read(storage.join(root, pointer)).decode().strip()
    except FileNotFoundError:
        return None


def found(root: str, wanted: str) -> str:
    """The path of a bundle by its id in this root, or by its own path. Raises UnknownBundle, saying which there are."""
    if is_bundle(storage.join(root, wanted)):
        return storage.join(root, wanted)
    if is_bundle(wanted) or read_pointer(wanted):
        return wanted
    there = ", ".join(storage.folders_with(root, MANIFEST)) or "none"
    raise UnknownBundle(f"found no bundle {wanted!r}, expected a folder or one of those in {root}: {there}")


def is_bundle(folder: str) -> bool:
    return storage.exists(storage.join(folder, MANIFEST))


def load(path: str) -> Bundle:
    """Reads a bundle's folder, or of a root the one in use. Raises BundleMismatch if it is damaged."""
    current = read_pointer(path)
    folder = path if current is None else storage.join(path, current)
    manifest = _manifest(folder)
    named = (MODEL, USE_CASE, REFERENCE, *({STAND_IN} & manifest.files.keys()))
    files = {name: _verified(folder, name, manifest.files.get(name)) for name in named}
    reference = msgspec.json.decode(files[REFERENCE], type=Reference)
    return Bundle(manifest, files[MODEL], files[USE_CASE].decode(), reference, files.get(STAND_IN))


def _manifest(folder: str) -> Manifest:
    try:
        manifest = msgspec.json.decode(_file(folder, MANIFEST), type=Manifest)
    except msgspec.MsgspecError as error:
        raise BundleMismatch(f"{folder}/{MANIFEST}: {error}; save the bundle again") from None
    if manifest.format != FORMAT:
        raise BundleMismatch(
            f"{folder}: found format {manifest.format}, expected {FORMAT}; train again with this version"
        )
    _check_thresholds(folder, manifest.thresholds)
    return manifest


def _check_thresholds(folder: str, thresholds: Mapping[str, float]) -> None:
    """Raises BundleMismatch for thresholds that are missing or in the wrong order: nobody could be MEDIUM."""
    if not 0 < thresholds.get("medium", 0) <= thresholds.get("high", 0) <= 1:
        raise BundleMismatch(
            f"{folder}/{MANIFEST}: found the thresholds {dict(thresholds)}, expected 0 < medium <= high <= 1; "
            "train again"
        )


def _file(folder: str, name: str) -> bytes:
    try:
        return storage.read(storage.join(folder, name))
    except (FileNotFoundError, NotADirectoryError):
        raise BundleMismatch(
            f"{folder}: found no {name}, expected a bundle's folder or a root with a promoted bundle; "
            "run `riskstream train`"
        ) from None


def _verified(folder: str, name: str, expected: str | None) -> bytes:
    data = _file(folder, name)
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise BundleMismatch(
            f"{folder}/{name}: found sha256 {found}, expected {expected}; "
            "the file is damaged, copy the bundle again"
        )
    return data


def check(bundle: Bundle, use_case: HasFeatures) -> None:
    """Raises BundleMismatch unless the bundle was trained on exactly this use case's features."""
    manifest = bundle.manifest
    if manifest.fingerprint == use_case.fingerprint and manifest.features == tuple(use_case.features):
        return
    raise BundleMismatch(
        f"bundle {manifest.id} was trained for use case {manifest.use_case} with fingerprint "
        f"{manifest.fingerprint} ({len(manifest.features)} features), but use case {use_case.name} has "
        f"fingerprint {use_case.fingerprint} ({len(use_case.features)} features): "
        "train a new bundle with `riskstream train`, "
        f"or run the bundle's own {USE_CASE}"
    )
