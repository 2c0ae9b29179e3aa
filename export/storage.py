"""Files of a bundle, read and written whole, on disk or wherever Beam's FileSystems reach (`gs://` ...).

A file or folder is there completely or not at all: on disk by a temporary name and a rename; elsewhere an
object appears when it is closed, and the last file of a folder is the one that makes it count.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def join(folder: str, *names: str) -> str:
    return "/".join([folder.rstrip("/"), *names])


def read(path: str) -> bytes:
    """Raises FileNotFoundError if there is no such file."""
    if not _is_remote(path):
        return Path(path).read_bytes()
    files = _beam()
    if not files.exists(path):
        raise FileNotFoundError(path)
    with files.open(path, "application/octet-stream", _uncompressed()) as stream:
        return bytes(stream.read())


def write(path: str, data: bytes) -> None:
    """Replaces what is there in one step."""
    if _is_remote(path):
        with _beam().create(path, "application/octet-stream", _uncompressed()) as stream:
            stream.write(data)
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    _write_through(temporary, data)
    os.replace(temporary, path)


def exists(path: str) -> bool:
    """Whether there is such a file."""
    return bool(_beam().exists(path)) if _is_remote(path) else Path(path).exists()


def folders_with(root: str, name: str) -> list[str]:
    """The names of the folders right below `root` that have a file of this name, in order."""
    if not _is_remote(root):
        return sorted(file.parent.name for file in Path(root).glob(f"*/{name}"))
    (matches,) = _beam().match([join(root, "*", name)])
    return sorted(str(match.path).split("/")[-2] for match in matches.metadata_list)


def remove(path: str) -> None:
    """Takes a file away; it need not be there."""
    if not _is_remote(path):
        Path(path).unlink(missing_ok=True)
    elif _beam().exists(path):
        _beam().delete([path])


def write_folder(folder: str, files: Mapping[str, bytes]) -> None:
    """Writes a folder of files, the one readers look for last. A folder already there is left as it is."""
    if _is_remote(folder):
        for name, data in files.items():
            write(join(folder, name), data)
        return
    if os.path.isdir(folder):
        return
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


def _is_remote(path: str) -> bool:
    return "://" in path


def is_local() -> bool:
    """Whether gs:// is a server on this machine, which asks for no credentials."""
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
