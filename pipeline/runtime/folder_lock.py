"""One process at a time works in a folder: a lock on a file in it, which ends with the process however that ends.

The file stays and names who locked it last. Where locks cannot be had, on a folder that cannot be written or a file
system without them, the process goes on and says so: a full disk must not end a job.
"""

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pipeline.runtime.errors import CannotStart

POLL_S = 0.2

logger = logging.getLogger(__name__)


class FolderInUse(CannotStart):
    """Another process works in this folder."""


@contextmanager
def claimed(folder: Path, name: str, remedy: str, wait_s: float = 0.0) -> Iterator[None]:
    """Hold FOLDER/NAME.lock for as long as the block lasts; makes the folder.

    Raises FolderInUse, naming the process that has it and the `remedy`, when it is not free within `wait_s`.
    """
    file = folder / f"{name}.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = file.open("a+")
    except OSError as error:
        logger.warning("cannot make sure that nobody else works in %s: %s", folder, error)
        yield
        return
    with lock:
        if not _is_locked(lock, time.monotonic() + wait_s):
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            raise FolderInUse(f"{folder}: found {holder} at work there, expected nobody; {remedy}")
        yield


def _is_locked(lock: IO[str], until_s: float) -> bool:
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _sign(lock)
            return True
        except BlockingIOError:
            if time.monotonic() >= until_s:
                return False
            time.sleep(POLL_S)
        except OSError as error:
            logger.warning("cannot make sure that nobody else works beside %s: %s", lock.name, error)
            return True


def _sign(lock: IO[str]) -> None:
    """For the message that whoever comes second gets."""
    lock.seek(0)
    lock.truncate()
    lock.write(f"process {os.getpid()}\n")
    lock.flush()
