"""Pointers: which bundle of a root each use case uses, and which one is scored in shadow for it.

    ROOT/USE_CASE.current             the id of the bundle in use, one line of UTF-8
    ROOT/USE_CASE.challenger          the id of the one in shadow, if any

A root from before 2026-12 has one ROOT/current and one ROOT/challenger. Each counts for the use case of the bundle
that it names, until that use case has a pointer of its own: the next promotion writes that and removes the old one.
"""

import re

from export import storage
from export.manifest import BundleMismatch, read_manifest

POINTER, SHADOW = "current", "challenger"
BUNDLE_ID = re.compile(r"\w[\w.\-]{0,254}")


def point(root: str, use_case: str, bundle_id: str, pointer: str = POINTER) -> None:
    """Makes the pointer of a use case name this bundle, in one step."""
    storage.write(pointer_path(root, use_case, pointer), f"{bundle_id}\n".encode())
    _remove_old(root, use_case, pointer)


def withdraw(root: str, use_case: str) -> None:
    """Ends the scoring in shadow for a use case."""
    storage.remove(pointer_path(root, use_case, SHADOW))
    _remove_old(root, use_case, SHADOW)


def pointer_path(root: str, use_case: str, pointer: str = POINTER) -> str:
    """Return the path of a use case's pointer."""
    return storage.join(root, f"{use_case}.{pointer}")


def read_pointer(root: str, use_case: str, pointer: str = POINTER) -> str | None:
    """The id of the bundle that a use case uses (or shadows); None if there is none. Some small reads.

    Raises BundleMismatch if the pointer does not hold an id.
    """
    bundle_id = _pointed(pointer_path(root, use_case, pointer))
    if bundle_id is not None:
        return bundle_id
    bundle_id = old_pointer(root, pointer)
    return bundle_id if bundle_id and use_case_of(root, bundle_id) in (use_case, None) else None


def old_pointer(root: str, pointer: str = POINTER) -> str | None:
    """The id in the one pointer that all use cases of an old root share. Raises BundleMismatch if it is no id."""
    return _pointed(storage.join(root, pointer))


def _pointed(path: str) -> str | None:
    try:
        data = storage.read(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    text = data.decode("utf-8", "replace").strip()
    if BUNDLE_ID.fullmatch(text):
        return text
    raise BundleMismatch(
        f"{path}: found {data[:40]!r} ({len(data)} bytes), expected the id of a bundle in UTF-8; "
        "promote a bundle with `riskstream promote`, `riskstream models` shows which there are"
    )


def use_case_of(root: str, bundle_id: str) -> str | None:
    """The use case that a bundle was trained for; None if its manifest cannot be read, which `load` will explain."""
    try:
        return read_manifest(storage.join(root, bundle_id)).use_case
    except BundleMismatch:
        return None


def _remove_old(root: str, use_case: str, pointer: str) -> None:
    """Removes the shared pointer of an old root if it names a bundle of this use case."""
    try:
        bundle_id = old_pointer(root, pointer)
    except BundleMismatch:
        return  # nobody can say whose it is
    if bundle_id and use_case_of(root, bundle_id) == use_case:
        storage.remove(storage.join(root, pointer))
