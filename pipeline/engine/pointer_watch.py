"""A watch of a bundle folder's pointers, in a thread of its own: no event ever waits for a bucket.

Whatever happens, the model in use stays in use. Every failed look is counted; each fault is logged once.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from export.manifest import BundleMismatch
from export.pointers import read_pointer
from export.storage import StorageUnavailable, is_remote
from features.usecase import BadUseCase
from pipeline.runtime.process_metrics import progress

LOOK_S = 1.0  # between two looks at the pointers: how long the old model stays in use
REMOTE_LOOK_S = 15.0  # the same where a look costs a request
REFUSED_S = 60.0  # before a refused bundle is tried again: somebody may have copied its files anew
CLOSE_S = 2.0  # a look that hangs is not waited for longer when the process ends

logger = logging.getLogger(__name__)


class WatchedPointer:
    """One pointer of a use case: the bundle it named last, and the latest fault."""

    def __init__(
        self, root: str, use_case: str, name: str, seen: str | None, use: Callable[[str | None], None]
    ) -> None:
        """`use` is called with each new bundle's id (None: the pointer is gone); it raises BundleMismatch to refuse."""
        self._root, self._use_case, self._name = root, use_case, name
        self._seen, self._use = seen, use
        self._fault = ""
        self._refused = ("", float("-inf"))  # bundle, and the time until which it is not tried again

    def look(self, now_s: float) -> None:
        """Look once; `now_s` never goes back."""
        bundle_id = None
        try:
            bundle_id = read_pointer(self._root, self._use_case, self._name)
            if bundle_id != self._seen and not (bundle_id == self._refused[0] and now_s < self._refused[1]):
                self._use(bundle_id)
                self._seen = bundle_id
        except StorageUnavailable as error:
            self._report(f"cannot look at {self._place}: {error}")
            progress.looks_failed += 1
        except (BundleMismatch, BadUseCase) as error:
            if bundle_id is not None:
                self._refused = (bundle_id, now_s + REFUSED_S)
            if self._report(f"{self._place} is refused: {error}"):
                progress.models_refused += 1
        else:
            self._recover(bundle_id)

    @property
    def _place(self) -> str:
        return f"the bundle that {self._use_case}.{self._name} in {self._root} names"

    def _report(self, fault: str) -> bool:
        """Log a fault unless it was the last one; return whether it is new."""
        is_new = fault != self._fault
        if is_new:
            logger.error("%s; what is in use goes on", fault)
        self._fault = fault
        return is_new

    def _recover(self, bundle_id: str | None) -> None:
        if self._fault and bundle_id == self._seen:
            logger.warning("%s can be used again", self._place)
            self._fault = ""


class PointerWatch:
    """A thread that looks at pointers, at once and then after every pause, until it is closed."""

    def __init__(self, root: str, pointers: Sequence[WatchedPointer]) -> None:
        self._pause_s = REMOTE_LOOK_S if is_remote(root) else LOOK_S
        self._pointers = pointers
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_until_closed, name="bundles", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join(CLOSE_S)

    def _look_until_closed(self) -> None:
        try:
            while not self._ended.is_set():
                for pointer in self._pointers:
                    pointer.look(time.monotonic())
                self._ended.wait(self._pause_s)
        finally:
            if not self._ended.is_set():  # a defect: its traceback follows, and the stream goes on
                progress.looks_failed += 1
                logger.critical("the watch of the pointers has ended; restart to load new models")
