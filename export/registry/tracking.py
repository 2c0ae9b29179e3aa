"""The address of a root's registry: MLflow's own SQLite file beside the bundles, or a server.

Whatever MLflow and the libraries below it raise becomes RegistryUnavailable, with what to do.
"""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from features.errors import Unavailable

URI = "MLFLOW_TRACKING_URI"
SQLITE = "sqlite:///"
LOCK_WAIT_S = 5.0  # another command holds the lock for milliseconds
SETTINGS = {  # nobody is told, nothing is printed, and who is away is not waited for for minutes
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
# What a failure says of itself -> what to do about it; the first match counts.
ADVICE = (
    ("locked", "another process is writing there: wait until it has ended, or end it"),
    ("not a database", "restore the file from a backup, or move it away: promoting registers bundles anew"),
    ("readonly", "give this user the right to write to the file and its folder"),
    ("is a folder", f"move it away, or set {URI}"),
    ("unable to open", "check that the file can be read and written by this user"),
    ("Permission denied", "give this user the right to write to the file and its folder"),
)
OTHERWISE = f"check {URI}, and that it can be reached from here"


class RegistryUnavailable(Unavailable):
    """The registry cannot be asked now. Nothing was promoted."""


def tracking_uri(root: str) -> str:
    """Return the address of a root's registry. Raises RegistryUnavailable if there is none."""
    uri = os.environ.get(URI)
    if uri:
        return uri
    if "://" in root:
        raise RegistryUnavailable(
            f"bundles in {root} are for many machines, and so must their registry be: set {URI} to an MLflow "
            f"server, or to sqlite:///FILE for this machine alone"
        )
    return f"{SQLITE}{Path(root, 'mlflow.db').absolute()}"


def files_beside(uri: str) -> str | None:
    """Return the folder of an SQLite registry's files: beside it, not where the program happens to run."""
    file = _sqlite_file(uri)
    return (file.parent / "mlruns").as_uri() if file else None


def client(uri: str, new: bool) -> Any:
    """MLflow's client. Raises RegistryUnavailable for an SQLite file that is locked or is none.

    The folder of such a file is only made for one that is `new`, so that a mistyped path makes nothing.
    """
    for name, value in SETTINGS.items():  # read when MLflow is imported
        os.environ.setdefault(name, value)
    file = _sqlite_file(uri)
    with asking(uri):
        if file:
            _check_file(file, uri, new)
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):  # making the tables is told at length
            logging.getLogger(name).setLevel(logging.WARNING)
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextmanager
def asking(uri: str) -> Iterator[None]:
    """Turns whatever MLflow, SQLAlchemy, SQLite and the file system raise into RegistryUnavailable."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        advice = next((advice for sign, advice in ADVICE if sign in reason), OTHERWISE)
        raise RegistryUnavailable(f"registry {uri}: {reason}; nothing was promoted; {advice}") from error


def _check_file(file: Path, uri: str, new: bool) -> None:
    """Asks the file itself first: MLflow tries a damaged or locked one again for minutes."""
    if new:
        file.parent.mkdir(parents=True, exist_ok=True)
    elif not file.parent.is_dir():
        raise RegistryUnavailable(
            f"registry {uri}: found no folder {file.parent}, expected that of the registry: check --bundle and {URI}; "
            "`riskstream train` makes a new one; nothing was promoted"
        )
    if file.is_dir():
        raise IsADirectoryError(f"{file} is a folder, expected an SQLite file")
    if not file.exists():
        return
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", timeout=LOCK_WAIT_S, uri=True)) as database:
        database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()


def _sqlite_file(uri: str) -> Path | None:
    return Path(uri.removeprefix(SQLITE)).absolute() if uri.startswith(SQLITE) else None
