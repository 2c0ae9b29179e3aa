"""The origin of a training: its user and program, known to the registry and to no bundle."""

import getpass
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from export.registry.runs import ModelOrigin

PROGRAM = "riskstream"
ROOT = Path(__file__).parents[1]
GIT_S = 10.0  # a checkout on a slow disk


def origin(command: str, places: Sequence[object]) -> ModelOrigin:
    """Return the origin of a training by this user, on these files and tables; `command` is such as "train"."""
    return ModelOrigin(_user(), f"{PROGRAM} {command}", _version(), commit(ROOT), tuple(map(str, places)))


def commit(root: Path) -> str:
    """The git commit of the checkout whose top folder is `root`, with "-dirty" if tracked files differ from it.

    Empty if `root` is no checkout: an installed program lies in one only by chance.
    """
    top, *head = _git(root, "rev-parse", "--show-toplevel", "HEAD")
    if not head or Path(top).resolve() != root.resolve():
        return ""
    changed = any(_git(root, "status", "--porcelain", "--untracked-files=no"))
    return f"{head[0]}-dirty" if changed else head[0]


def _git(root: Path, *words: str) -> list[str]:
    """Lines that git prints; one empty line if it fails or is not installed."""
    try:
        ended = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=GIT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return [""]
    return ended.stdout.splitlines()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"


def _version() -> str:
    try:
        return version(PROGRAM)
    except PackageNotFoundError:
        return ""
