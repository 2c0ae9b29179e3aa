"""The manifest of a bundle: what is true of its model, and the sha256 of each file, by which files are verified."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from export import storage
from features.errors import Mismatch

FORMAT = 1
MANIFEST = "manifest.json"


class BundleMismatch(Mismatch):
    """The deployed bundle is damaged, or is not for this use case. Deploy one that is."""


class Manifest(Struct, frozen=True):
    """Facts about the model. `features` are the vector's columns in order."""

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


def read_manifest(folder: str) -> Manifest:
    """Reads the manifest of a bundle's folder. Raises BundleMismatch."""
    try:
        manifest = msgspec.json.decode(_file(folder, MANIFEST), type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
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


def verified(folder: str, name: str, expected: str | None) -> bytes:
    """Reads a file of a bundle that has this sha256. Raises BundleMismatch."""
    data = _file(folder, name)
    digest = hashlib.sha256(data).hexdigest()
    if digest != expected:
        raise BundleMismatch(
            f"{folder}/{name}: found sha256 {digest}, expected {expected}; "
            "the file is damaged, copy the bundle again"
        )
    return data
