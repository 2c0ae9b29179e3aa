"""Compilation of the kernel: without reference counts, and cached by the content of the whole package.

numba keeps the machine code of a function until that function's file changes. But the places in `layout.py` are
compiled into every function, so code cached before a change of another file would read the wrong memory.
"""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from numba import njit

STAMP = sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()


def compiled(function: Callable[..., Any], **options: bool) -> Any:
    """Compile a function that counts no references: all memory belongs to the caller, and that halves the time."""
    dispatcher: Any = njit(cache=True, error_model="numpy", _nrt=False, **options)(function)  # type: ignore[call-overload]
    return _stamped(dispatcher)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a function into its callers: it takes the arrays of a whole batch, too many to hand on for each event."""
    return compiled(function, forceinline=True)


def outermost(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls: it slices arrays, so it counts references, and lets other threads run."""
    return _stamped(njit(cache=True, error_model="numpy", nogil=True)(function))


def _stamped(dispatcher: Any) -> Any:
    file = dispatcher._cache._cache_file
    file._source_stamp = STAMP
    file._version = f"{file._version} {STAMP}"  # compared before cached code is unpickled
    return dispatcher
