"""The engine in use, exchanged for that of a newly promoted bundle while the process runs; and the challenger.

A thread watches the pointers, loads the bundles that they name and tries them. The threads that assess take what is
ready, between two batches. An engine has assessed once before it is ready: compiled code is loaded then, which takes a
second, and not with the first events.
"""

import logging
import threading
from dataclasses import dataclass, replace

from export import bundle as bundles
from export import storage
from export.bundle import Bundle
from export.pointers import POINTER, SHADOW
from export.storage import StorageUnavailable
from features.events import make_batch
from features.usecase import UseCase
from pipeline.engine.assess import assess
from pipeline.engine.challenger import Challenger
from pipeline.engine.engine import Engine
from pipeline.engine.live_drift import LiveDrift
from pipeline.engine.pointer_watch import PointerWatch, WatchedPointer
from pipeline.owners.asking import RecordOwners
from pipeline.runtime.process_metrics import progress
from pipeline.stores.store import MemoryStore, RecordStore

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Ready:
    """An engine loaded, tried and warm, which the next batch takes."""

    engine: Engine
    drift: LiveDrift


class LiveModel:
    """The engine in use, for all threads of a process; ask for the `current` one between batches."""

    def __init__(
        self,
        use_case: UseCase,
        root: str,
        store: RecordStore,
        prefix: str,
        shadow: bool = True,
        cold_us: int | None = None,
        owners: RecordOwners | None = None,
    ) -> None:
        """Load the bundle in use and watch for others until `close`. Without `shadow` there is no challenger.

        `cold_us` is the time at which the store began empty, if it did; `owners` fold other entities' events. Raises
        BundleMismatch or StorageUnavailable if there is no good bundle to begin with.
        """
        self._use_case, self._root, self._store, self._prefix = use_case, root, store, prefix
        self._cold_us, self._owners = cold_us, owners
        self._lock = threading.Lock()
        self._next: _Ready | None = None
        self._challenger: Challenger | None = None
        seen = bundles.read_pointer(root, use_case.name)
        ready = self._prepare(bundles.load_in_use(root, use_case.name))
        self._engine, self.drift = ready.engine, ready.drift
        progress.model = self._engine.model_version
        pointers = [WatchedPointer(root, use_case.name, POINTER, seen, self._load)]
        if shadow:
            pointers.append(WatchedPointer(root, use_case.name, SHADOW, None, self._load_challenger))
        self._watch = PointerWatch(root, pointers)

    def close(self) -> None:
        """Stop watching."""
        self._watch.close()

    def current(self) -> Engine:
        """Return the engine for the next batch."""
        if self._next is not None:
            self._hand_over()
        engine, challenger = self._engine, self._challenger
        is_asked = challenger and not challenger.broken and challenger.model_version != engine.model_version
        engine.challenger = challenger if is_asked else None
        return engine

    @property
    def in_use(self) -> Engine:
        """The engine of the latest batch: the `current` one unless another model is ready."""
        return self._engine

    def _hand_over(self) -> None:
        """Exchange the engine. The breaker stays: it counts recommendations of all models."""
        with self._lock:
            ready, self._next = self._next, None
            if ready is None:
                return
            before = self._engine
            self._engine, self.drift = replace(ready.engine, breaker=before.breaker), ready.drift
            progress.model = self._engine.model_version
        logger.warning("model %s takes over from %s", self._engine.model_version, before.model_version)

    def _load(self, bundle_id: str | None) -> None:
        """Make a bundle ready for the next batch. Raises BundleMismatch, StorageUnavailable."""
        if bundle_id is None:
            raise StorageUnavailable("the pointer is gone; promote a bundle with `riskstream promote`")
        ready = self._prepare(self._bundle(bundle_id))
        with self._lock:
            self._next = ready

    def _load_challenger(self, bundle_id: str | None) -> None:
        """Exchange the challenger; if the new one is refused, there is none."""
        self._challenger = progress.challenger = None
        if bundle_id is not None:
            self._challenger = Challenger.from_bundle(self._use_case, self._bundle(bundle_id))
            progress.challenger = self._challenger.model_version
            logger.warning("challenger in shadow: %s", bundle_id)

    def _bundle(self, bundle_id: str) -> Bundle:
        return bundles.load(storage.join(self._root, bundle_id))

    def _prepare(self, bundle: Bundle) -> _Ready:
        engine = Engine.from_bundle(self._use_case, bundle, self._store, self._prefix)
        warm_up(engine)
        engine.owners = self._owners
        return _Ready(engine, LiveDrift(bundle, self._use_case, self._cold_us))


def warm_up(engine: Engine) -> None:
    """Assess a batch without events, which loads all compiled code and leaves the engine and its store as they are."""
    assess(replace(engine, store=MemoryStore()), make_batch(engine.use_case, [], []))


def check_bundle(use_case: UseCase, root: str) -> Bundle:
    """Return the bundle in use if it can assess events. Raises BundleMismatch, StorageUnavailable."""
    loaded = bundles.load_in_use(root, use_case.name)
    Engine.from_bundle(use_case, loaded, MemoryStore())
    return loaded
