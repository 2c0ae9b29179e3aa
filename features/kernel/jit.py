"""How the kernel is compiled: without reference counts, and cached by the content of the whole package.

numba keeps machine code for a function until that function's own file changes. But the places in `tables.py` are
compiled into every function, so a cache that outlives a change of another file would read the wrong memory.
"""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from numba import njit

STAMP = sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()


def compiled(function: Callable[..., Any], **options: bool) -> Any:
    """All memory belongs to the caller, so compiled functions count no references: that alone halves their time."""
    dispatcher: Any = njit(cache=True, error_model="numpy", _nrt=False, **options)(function)  # type: ignore[call-overload]
    return _stamped(dispatcher)


def inlined(function: Callable[..., Any]) -> Any:
    """For functions that take the arrays of a whole batch: too many to hand on for every event."""
    return compiled(function, forceinline=True)


def outermost(function: Callable[..., Any]) -> Any:
    """For what Python calls: slices arrays (so references are counted there), and lets other threads run."""
    return _stamped(njit(cache=True, error_model="numpy", nogil=True)(function))


def _stamped(dispatcher: Any) -> Any:
    file = dispatcher._cache._cache_file
    file._source_stamp = STAMP
    file._version = (
        f"{file._version} {STAMP}"  # compared before anything is unpickled, which may name what is gone
    )
    return dispatcher
