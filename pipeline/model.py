"""The engine in use, exchanged for that of a newly promoted bundle while the job runs; and the one in shadow."""

import logging
import threading
from dataclasses import replace

import numpy as np

from export import bundle as bundles
from export.bundle import BundleMismatch
from features.usecase import UseCase
from pipeline.assess import Engine
from pipeline.drift import Drift
from pipeline.progress import progress
from pipeline.shadow import NO_MODEL, Watch
from pipeline.store import RecordStore

LOOK_S = 1.0  # between two looks at the pointer: how long the old model stays in use
REMOTE_LOOK_S = 15.0  # the same where a look costs a request

logger = logging.getLogger(__name__)


class Model:
    """One engine at a time, for the threads of one process; between batches ask for the `current` one."""

    def __init__(
        self, use_case: UseCase, root: str, store: RecordStore, prefix: str, shadow: bool = True
    ) -> None:
        """Raises BundleMismatch: there must be a good bundle to begin with. Without `shadow` no challenger is asked."""
        self._use_case, self._root, self._store, self._prefix = use_case, root, store, prefix
        self._pause_s = REMOTE_LOOK_S if "://" in root else LOOK_S
        self._lock = threading.Lock()
        self._looked_s = float("-inf")
        self._seen = bundles.read_pointer(root)
        self._engine = self._load()
        self._watch = Watch(use_case, root) if shadow else None
        self._look_for_challenger()

    def current(self, now_s: float) -> Engine:
        """The engine; `now_s` never goes back."""
        if now_s - self._looked_s >= self._pause_s and self._lock.acquire(blocking=False):
            try:
                self._looked_s = now_s
                self._look()
                self._look_for_challenger()
            finally:
                self._lock.release()
        engine = self._engine
        engine.challenger = self._watch.current(engine.model_version) if self._watch else None
        return engine

    def _look_for_challenger(self) -> None:
        if self._watch:
            self._watch.look()

    def _look(self) -> None:
        """Exchanges the engine if the pointer has changed. A bundle that cannot be used changes nothing."""
        try:
            pointer = bundles.read_pointer(self._root)
            if pointer is None or pointer == self._seen:
                return
            before, self._engine = self._engine, self._load(self._engine)
        except OSError as error:
            logger.warning("cannot look at bundle %s, going on with the model in use: %s", self._root, error)
            return
        except (BundleMismatch, ValueError, *NO_MODEL) as error:  # damaged, of other features, no model
            progress.models_refused += 1
            logger.error("bundle %s is refused, going on with the model in use: %s", pointer, error)
        else:
            logger.warning("model %s takes over from %s", self._engine.model_version, before.model_version)
        self._seen = pointer

    def _load(self, before: Engine | None = None) -> Engine:
        loaded = bundles.load(self._root)
        engine = Engine.of(self._use_case, loaded, self._store, self._prefix)
        engine.scorer.score(
            np.zeros((1, len(self._use_case.features)), np.float32)
        )  # or say now what is wrong
        progress.model = engine.model_version
        self.drift = Drift(loaded)
        # What was recommended within the last hour was, whatever model said so.
        return replace(engine, breaker=before.breaker) if before else engine
