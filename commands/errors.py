"""Exit codes: what each one means, and which errors end in it."""

from typing import NamedTuple


class Exit(NamedTuple):
    """One exit code and its meaning."""

    code: int
    meaning: str


EXITS = (
    Exit(0, "done"),
    Exit(1, "done, but something is wrong: rows that cannot be used, figures that do not reconcile"),
    Exit(
        2,
        "wrong flags or arguments, a file that does not fit the use case, or a model that failed gates nobody accepted",
    ),
    Exit(3, "the use case file is wrong"),
    Exit(4, "the bundle, or a record in Redis, is damaged or is not for this use case"),
    Exit(5, "Redis, Pub/Sub, BigQuery, the bundles' storage or the registry cannot be reached"),
    Exit(6, "topics, tables, jobs or the local stack are missing or are others, or they may not be used"),
    Exit(7, "there is nothing to learn from in these files, or too little in the log to tell drift"),
    Exit(8, "the job, or a repair, cannot start; every reason is a line"),
    Exit(9, "a package of an extra is not installed"),
    Exit(10, "retrain: the challenger waits for approval"),
    Exit(11, "train, retrain: the model is rejected, and the one in use stays"),
    Exit(12, "drift: the score, or more than a tenth of the features, are not distributed as in training"),
    Exit(13, "run: something hung; the stacks of all threads are in the log and in the state folder"),
    Exit(130, "interrupted"),
)


def codes() -> dict[type[Exception], int]:
    """Return the exit code of each type of error; the code of a more special type takes precedence.

    The types are imported only when a command has failed, so that help comes at once.
    """
    from google.api_core.exceptions import GoogleAPICallError, RetryError, ServiceUnavailable
    from google.auth.exceptions import DefaultCredentialsError

    from features.errors import BadDeclaration, BadInput, Mismatch, NotEnoughData, Refused, Unavailable
    from pipeline.runtime.errors import CannotStart, TableMismatch

    return {
        BadInput: 2,
        BadDeclaration: 3,
        Mismatch: 4,
        Unavailable: 5,
        ServiceUnavailable: 5,
        RetryError: 5,
        Refused: 6,
        TableMismatch: 6,
        GoogleAPICallError: 6,
        DefaultCredentialsError: 6,
        NotEnoughData: 7,
        CannotStart: 8,
        ModuleNotFoundError: 9,
    }


def exit_code(error: Exception) -> int | None:
    """Return the exit code of an error, or None for one of no known type, which is a defect."""
    table = codes()
    return next((table[kind] for kind in type(error).__mro__ if kind in table), None)
