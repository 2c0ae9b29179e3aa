"""Basis of the log: the records that a backfill left, made again from its history.

A backfill's own assessments are not in the log. They follow from the history and the model alone, whatever the batches
were, so they are not kept but computed: the same events through the same `assess`, into a store in memory. Memory: all
records of the history, and one batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from export.policy import Breaker
from features.errors import BadInput
from pipeline.batch.backfill import assessed
from pipeline.engine.engine import Engine
from pipeline.files.history import History, Progress, quiet
from pipeline.stores.readiness import Marker
from pipeline.stores.store import MemoryStore

Records = Mapping[str, bytes]  # by the entity's id


class WrongHistory(BadInput):
    """The history given is not the one that filled the store."""


@dataclass(frozen=True)
class Basis:
    """The records before the first event of the log, by entity."""

    records: Mapping[str, Records] = field(default_factory=dict)

    def of(self, entity: str) -> Records:
        return self.records.get(entity, {})


NOTHING = Basis()


def check(history: History, marker: Marker | None) -> None:
    """Check that this is the history that filled the store. Raises WrongHistory.

    Without a marker, as after the loss of all that was stored, nothing speaks against it.
    """
    if marker is None or not marker.digest:
        return
    if marker.digest != history.digest:
        raise WrongHistory(
            f"--history: found {len(history):,} events with digest {history.digest}, expected those of the backfill of "
            f"{marker.at} with digest {marker.digest}: give the same files in the same order, "
            "with the same --default-event-time"
        )
    if marker.earlier:
        raise WrongHistory(
            f"--history: found that {marker.earlier + 1} different histories filled the store, expected one; their "
            "order and limits are not known, so the records cannot be made again"
        )


def basis(engine: Engine, history: History, progress: Progress = quiet) -> Basis:
    """Return the records that a backfill of this history with this engine's model leaves in an empty store."""
    store, use_case, done = MemoryStore(), engine.use_case, 0
    empty = replace(engine, store=store, breaker=Breaker.of(engine.policy))
    for assessments in assessed(empty, history):
        done += len(assessments.batch)
        progress("replaying history", done, len(history))
    stem = f"{engine.prefix}:{use_case.name}:{use_case.fingerprint}:".encode()
    records: dict[str, dict[str, bytes]] = {entity: {} for entity in use_case.entities}
    for key, blob in store.records.items():
        entity, _, id = key.removeprefix(stem).decode().partition(":")
        records[entity][id] = blob
    return Basis(records)
