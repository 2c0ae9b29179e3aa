"""Files of a bundle, read and written whole, on disk or wherever Beam's FileSystems reach (`gs://` ...).

A file or folder is there completely or not at all: on disk by a temporary name and a rename; elsewhere an
object appears when it is closed, and the last file of a folder is the one that makes it count.

Every function raises StorageUnavailable when the storage fails; FAULTS lists what the libraries below raise then.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from features.errors import Unavailable

# module -> its exceptions that mean that a remote storage failed; a subclass counts as well
FAULTS = {
    "builtins": (
        "OSError",
        "ValueError",
    ),  # also BeamIOError, those of requests, and paths that Beam cannot read
    "google.api_core.exceptions": ("GoogleAPIError",),
    "google.auth.exceptions": ("GoogleAuthError",),
    "google.cloud.storage.exceptions": ("DataCorruption", "InvalidResponse"),
    "urllib3.exceptions": ("HTTPError",),
    "http.client": ("HTTPException",),
    "apache_beam.utils.retry": ("PermanentException",),
}
NOT_THERE = (FileNotFoundError, NotADirectoryError)
# What a failure says of itself -> what to do about it; the first match counts.
ADVICE = (
    ("403", "grant the account roles/storage.objectViewer on the bucket, objectUser to write"),
    ("401", "give the process credentials: application default credentials"),
    ("400", "check the bucket's name and the path"),
    ("credentials", "give the process credentials: application default credentials"),
    ("Permission denied", "give this user the right to read and write there"),
)
OTHERWISE = "check that it can be reached from here, and try again"


class StorageUnavailable(Unavailable, OSError):
    """A file of a bundle cannot be read or written now."""


def join(folder: str, *names: str) -> str:
    return "/".join([folder.rstrip("/"), *names])


def read(path: str) -> bytes:
    """Raises FileNotFoundError if there is no such file."""
    with _failing_as_one("read", path):
        if not is_remote(path):
            return Path(path).read_bytes()
        files = _beam()
        if not files.exists(path):
            raise FileNotFoundError(path)
        with files.open(path, "application/octet-stream", _uncompressed()) as stream:
            return bytes(stream.read())


def write(path: str, data: bytes) -> None:
    """Replaces what is there in one step."""
    with _failing_as_one("write", path):
        if is_remote(path):
            with _beam().create(path, "application/octet-stream", _uncompressed()) as stream:
                stream.write(data)
            return
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(path)
        _write_through(temporary, data)
        os.replace(temporary, path)


def exists(path: str) -> bool:
    """Return True if there is such a file."""
    with _failing_as_one("look for", path):
        return bool(_beam().exists(path)) if is_remote(path) else Path(path).exists()


def folders_with(root: str, name: str) -> list[str]:
    """The names of the folders right below `root` that have a file of this name, in order."""
    with _failing_as_one("list", root):
        if not is_remote(root):
            return sorted(file.parent.name for file in Path(root).glob(f"*/{name}"))
        (matches,) = _beam().match([join(root, "*", name)])
        return sorted(str(match.path).split("/")[-2] for match in matches.metadata_list)


def remove(path: str) -> None:
    """Takes a file away; it need not be there."""
    with _failing_as_one("remove", path):
        if not is_remote(path):
            Path(path).unlink(missing_ok=True)
        elif _beam().exists(path):
            _beam().delete([path])


def write_folder(folder: str, files: Mapping[str, bytes]) -> None:
    """Writes a folder of files, the one readers look for last. A folder already there is left as it is."""
    if is_remote(folder):
        for name, data in files.items():
            write(join(folder, name), data)
        return
    if os.path.isdir(folder):
        return
    with _failing_as_one("write", folder):
        temporary = _temporary(folder)
        shutil.rmtree(temporary, ignore_errors=True)  # left over from a crash of the same process number
        temporary.mkdir(parents=True)
        for name, data in files.items():
            _write_through(temporary / name, data)
        os.rename(temporary, folder)


def _write_through(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _temporary(path: str) -> Path:
    return Path(path).with_name(f".{Path(path).name}.{os.getpid()}.part")


def is_remote(path: str) -> bool:
    """Return True if the path is reached through Beam's FileSystems."""
    return "://" in path


@contextmanager
def _failing_as_one(verb: str, path: str) -> Iterator[None]:
    """Turns whatever the storage's libraries raise into StorageUnavailable; that nothing is there stays as it is."""
    try:
        yield
    except NOT_THERE:
        raise
    except _faults(is_remote(path)) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        advice = next((advice for sign, advice in ADVICE if sign in reason), OTHERWISE)
        raise StorageUnavailable(f"cannot {verb} {path}: {reason}; {advice}") from error


@cache
def _faults(remote: bool) -> tuple[type[BaseException], ...]:
    """The exception types of FAULTS; on disk only OSError, so that no library is imported for it."""
    if not remote:
        return (OSError,)
    return tuple(getattr(import_module(module), name) for module, names in FAULTS.items() for name in names)


def is_local() -> bool:
    """Return True if gs:// is a server on this machine, which asks for no credentials."""
    return bool(os.environ.get("STORAGE_EMULATOR_HOST"))


def without_credentials() -> None:
    """Keeps Beam from looking for credentials, half a minute long, when gs:// is local."""
    from apache_beam.internal.gcp.auth import _Credentials

    if is_local():
        _Credentials._credentials_init = True


def _beam() -> Any:
    from apache_beam.io.filesystems import FileSystems

    without_credentials()
    return FileSystems


def _uncompressed() -> Any:
    from apache_beam.io.filesystem import CompressionTypes

    return CompressionTypes.UNCOMPRESSED
