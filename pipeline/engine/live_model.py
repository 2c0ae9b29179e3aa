"""The engine in use, exchanged for that of a newly promoted bundle while the job runs; and the one in shadow.

A thread looks at the pointers, loads what they name and tries it. Whoever assesses only takes what is ready,
between two batches.
"""

import logging
import threading
from dataclasses import dataclass, replace

from export import bundle as bundles
from export import storage
from export.bundle import Bundle
from export.pointers import POINTER, SHADOW
from export.storage import StorageUnavailable
from features.usecase import UseCase
from pipeline.engine.challenger import Challenger
from pipeline.engine.engine import Engine
from pipeline.engine.live_drift import Drift
from pipeline.engine.pointer_watch import Looking, Pointer
from pipeline.runtime.process_metrics import progress
from pipeline.stores.store import MemoryStore, RecordStore

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Ready:
    """A model loaded and tried, to be taken by the next batch."""

    engine: Engine
    drift: Drift


class Model:
    """One engine at a time, for the threads of one process; between batches ask for the `current` one."""

    def __init__(
        self,
        use_case: UseCase,
        root: str,
        store: RecordStore,
        prefix: str,
        shadow: bool = True,
        cold_us: int | None = None,
    ) -> None:
        """Loads the bundle in use and looks for others until `close`. Without `shadow` no challenger is asked.

        `cold_us` is when the store began with nothing in it, if it did.
        Raises BundleMismatch, StorageUnavailable: there must be a good bundle to begin with.
        """
        self._use_case, self._root, self._store, self._prefix = use_case, root, store, prefix
        self._cold_us = cold_us
        self._lock = threading.Lock()
        self._next: _Ready | None = None
        self._challenger: Challenger | None = None
        seen = bundles.read_pointer(root, use_case.name)
        ready = self._prepare(bundles.load_in_use(root, use_case.name))
        self._engine, self.drift = ready.engine, ready.drift
        progress.model = self._engine.model_version
        pointers = [Pointer(root, use_case.name, POINTER, seen, self._load)]
        if shadow:
            pointers.append(Pointer(root, use_case.name, SHADOW, None, self._load_challenger))
        self._looking = Looking(root, pointers)

    def close(self) -> None:
        """Looks no more."""
        self._looking.close()

    def current(self) -> Engine:
        """The engine to use for the next batch."""
        if self._next is not None:
            self._hand_over()
        engine, challenger = self._engine, self._challenger
        is_asked = challenger and not challenger.broken and challenger.model_version != engine.model_version
        engine.challenger = challenger if is_asked else None
        return engine

    def _hand_over(self) -> None:
        """Exchanges the engine. The breaker stays: it counts recommendations, whatever model made them."""
        with self._lock:
            ready, self._next = self._next, None
            if ready is None:
                return
            before = self._engine
            self._engine, self.drift = replace(ready.engine, breaker=before.breaker), ready.drift
            progress.model = self._engine.model_version
        logger.warning("model %s takes over from %s", self._engine.model_version, before.model_version)

    def _load(self, bundle_id: str | None) -> None:
        """Makes a bundle ready for the next batch. Raises BundleMismatch, StorageUnavailable."""
        if bundle_id is None:
            raise StorageUnavailable("the pointer is gone; promote a bundle with `riskstream promote`")
        ready = self._prepare(self._bundle(bundle_id))
        with self._lock:
            self._next = ready

    def _load_challenger(self, bundle_id: str | None) -> None:
        """Exchanges the challenger; one that is refused leaves none."""
        self._challenger = progress.challenger = None
        if bundle_id is not None:
            self._challenger = Challenger.of(self._use_case, self._bundle(bundle_id))
            progress.challenger = self._challenger.model_version
            logger.warning("challenger in shadow: %s", bundle_id)

    def _bundle(self, bundle_id: str) -> Bundle:
        return bundles.load(storage.join(self._root, bundle_id))

    def _prepare(self, bundle: Bundle) -> _Ready:
        engine = Engine.of(self._use_case, bundle, self._store, self._prefix)
        return _Ready(engine, Drift(bundle, self._use_case, self._cold_us))


def check_bundle(use_case: UseCase, root: str) -> Bundle:
    """The bundle in use, if events could be assessed with it. Raises BundleMismatch, StorageUnavailable."""
    loaded = bundles.load_in_use(root, use_case.name)
    Engine.of(use_case, loaded, MemoryStore())
    return loaded
