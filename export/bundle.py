"""The bundle: what training hands to serving, one folder that is never changed once it is there.

    ROOT/USE_CASE.current             the id of the bundle that this use case uses: see export.pointers
    ROOT/BUNDLE_ID/model.onnx         and usecase.yaml, reference.json, manifest.json
    ROOT/BUNDLE_ID/stand_in.onnx      the same model, but for the customers that were set apart, if any were
    ROOT/BUNDLE_ID/learned_from.bin   hashes of the customers that the model has learned from: see export.learned

The stand-in serves no stream: it lets a later challenger be compared with this model on customers neither has learned
from, and `riskstream score` score them by a model to which they are strangers. The manifest has the sha256 of the other
files. Paths are local or anything Beam's FileSystems know (`gs://`).
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from export import storage
from export.distributions.reference import Reference
from export.manifest import FORMAT, MANIFEST, BundleMismatch, Manifest, read_manifest, verified
from export.pointers import POINTER, SHADOW, old_pointer, point, read_pointer, use_case_of, withdraw
from features.errors import BadInput

__all__ = [
    "MANIFEST", "POINTER", "SHADOW", "Bundle", "BundleMismatch", "Manifest", "UnknownBundle", "bundle", "check",
    "check_use_case", "files_of", "is_bundle", "load", "load_in_use", "path_of", "promote", "read_pointer", "save",
    "withdraw",
]  # fmt: skip
MODEL, USE_CASE, REFERENCE = "model.onnx", "usecase.yaml", "reference.json"
STAND_IN, LEARNED_FROM = "stand_in.onnx", "learned_from.bin"


class UnknownBundle(BadInput):
    """There is no bundle of this id or path."""


class Bundle(Struct, frozen=True):
    manifest: Manifest
    model: bytes  # ONNX: vector float32 [n, F] -> probabilities float32 [n, 2]
    use_case_text: str
    reference: Reference
    stand_in: bytes | None = None  # as the model
    learned_from: bytes | None = None  # see export.learned; None: a bundle from before it was kept


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
    learned_from: bytes | None = None,
    **facts: Any,
) -> Bundle:
    """Puts a bundle together; `facts` are the manifest's seed, versions, metrics and training."""
    files = _contents(model, use_case_text, reference, stand_in, learned_from)
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
    return Bundle(manifest, model, use_case_text, reference, stand_in, learned_from)


def _contents(
    model: bytes, use_case_text: str, reference: Reference, stand_in: bytes | None, learned_from: bytes | None
) -> dict[str, bytes]:
    always = {MODEL: model, USE_CASE: use_case_text.encode(), REFERENCE: msgspec.json.encode(reference)}
    optional = {STAND_IN: stand_in, LEARNED_FROM: learned_from}
    return always | {name: data for name, data in optional.items() if data is not None}


def save(bundle: Bundle, root: str) -> str:
    """Writes the bundle's folder below `root`, whole or not at all; returns its path. Promotes nothing."""
    folder = storage.join(root, bundle.manifest.id)
    storage.write_folder(folder, files_of(bundle))
    return folder


def files_of(bundle: Bundle) -> dict[str, bytes]:
    """The files of a bundle's folder, the manifest last."""
    manifest = msgspec.json.format(msgspec.json.encode(bundle.manifest), indent=2)
    contents = _contents(
        bundle.model, bundle.use_case_text, bundle.reference, bundle.stand_in, bundle.learned_from
    )
    return contents | {MANIFEST: manifest}


def promote(root: str, bundle_id: str, pointer: str = POINTER) -> None:
    """Makes the bundle the one its use case uses (or shadows): running jobs see the pointer change and load it.

    Raises BundleMismatch if it is damaged; then nothing has changed.
    """
    use_case = load(storage.join(root, bundle_id)).manifest.use_case
    point(root, use_case, bundle_id, pointer)


def path_of(root: str, wanted: str, use_case: str) -> str:
    """The path of a bundle by its id in this root, by its own path, or of another root's bundle in use.

    Raises UnknownBundle, saying which there are.
    """
    if is_bundle(storage.join(root, wanted)):
        return storage.join(root, wanted)
    if is_bundle(wanted):
        return wanted
    bundle_id = read_pointer(wanted, use_case)
    if bundle_id:
        return storage.join(wanted, bundle_id)
    ids = ", ".join(storage.folders_with(root, MANIFEST)) or "none"
    raise UnknownBundle(f"found no bundle {wanted!r}, expected a folder or one of those in {root}: {ids}")


def is_bundle(folder: str) -> bool:
    """Return True if the folder is a bundle."""
    return storage.exists(storage.join(folder, MANIFEST))


def load_in_use(path: str, use_case: str) -> Bundle:
    """Reads the bundle that a use case uses: of a root the promoted one, or `path` itself if it is a bundle's folder.

    Raises BundleMismatch if it is damaged, of another use case, or if none was promoted.
    """
    bundle_id = read_pointer(path, use_case)
    if bundle_id is None and not is_bundle(path):
        raise BundleMismatch(_nothing_promoted(path, use_case))
    loaded = load(path if bundle_id is None else storage.join(path, bundle_id))
    check_use_case(loaded, use_case)
    return loaded


def _nothing_promoted(root: str, use_case: str) -> str:
    """Say why a root has no bundle in use."""
    other = old_pointer(root)
    if other is None:
        return (
            f"{root}: found no {use_case}.{POINTER}, expected a bundle's folder or a root with a promoted bundle of "
            f"use case {use_case}; run `riskstream train`"
        )
    return (
        f"{root}: its only pointer names {other}, a bundle of use case {use_case_of(root, other)}, expected one of "
        f"use case {use_case}; run `riskstream train` for it, or `riskstream promote` if it has a bundle there"
    )


def load(folder: str) -> Bundle:
    """Reads a bundle's folder. Raises BundleMismatch if it is damaged."""
    manifest = read_manifest(folder)
    named = (MODEL, USE_CASE, REFERENCE, *({STAND_IN, LEARNED_FROM} & manifest.files.keys()))
    files = {name: verified(folder, name, manifest.files.get(name)) for name in named}
    try:
        reference = msgspec.json.decode(files[REFERENCE], type=Reference)
        text = files[USE_CASE].decode()
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BundleMismatch(f"{folder}: cannot be read: {error}; train again") from None
    return Bundle(manifest, files[MODEL], text, reference, files.get(STAND_IN), files.get(LEARNED_FROM))


def check_use_case(bundle: Bundle, use_case: str) -> None:
    """Raises BundleMismatch unless the bundle was trained for the use case of this name."""
    manifest = bundle.manifest
    if manifest.use_case != use_case:
        raise BundleMismatch(
            f"bundle {manifest.id} was trained for use case {manifest.use_case}, expected one of use case {use_case}: "
            "run the other use case, or train and promote a bundle for this one"
        )


def check(bundle: Bundle, use_case: HasFeatures) -> None:
    """Raises BundleMismatch unless the bundle is complete and was trained for this use case and its features."""
    check_use_case(bundle, use_case.name)
    manifest = bundle.manifest
    if manifest.fingerprint != use_case.fingerprint or manifest.features != tuple(use_case.features):
        raise BundleMismatch(
            f"bundle {manifest.id} was trained for use case {manifest.use_case} with fingerprint "
            f"{manifest.fingerprint} ({len(manifest.features)} features), but use case {use_case.name} has "
            f"fingerprint {use_case.fingerprint} ({len(use_case.features)} features): "
            "train a new bundle with `riskstream train`, "
            f"or run the bundle's own {USE_CASE}"
        )
    missing = [name for name in manifest.features if name not in bundle.reference.features]
    if missing:
        raise BundleMismatch(
            f"bundle {manifest.id} has no reference of {', '.join(missing[:5])}; train a new one"
        )
