"""Files to replayed vectors: what training learns from and what the stream has to equal, bit for bit."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from features.events import Batch, decode, make_batch
from features.replay import Replayed, replay
from features.usecase import UseCase
from pipeline.files import read

BATCH_EVENTS = 5_000
NOW_US = 1_735_689_600_000_000  # 2025-01-01, decades after the last event: nothing is from the future


class Told(NamedTuple):
    """One event of a file."""

    time_us: int
    event_type: str
    body: bytes


def replayed(use_case: UseCase, files: Sequence[tuple[str, Path]]) -> Iterator[Replayed]:
    """The files' events through the kernel, by event time; on one day in the order of the files given."""
    events = sorted(
        (told for each in files for told in events_of(use_case, *each)), key=lambda told: told.time_us
    )
    return replay(batches(use_case, events))


def events_of(use_case: UseCase, event_type: str, path: Path) -> Iterator[Told]:
    for chunk in read(use_case, event_type, path, NOW_US):
        assert not chunk.bad, f"{path}: {chunk.bad[:3]}"
        for time_us, body in zip(chunk.time_us.tolist(), chunk.bodies, strict=True):
            yield Told(time_us, event_type, body)


def batches(use_case: UseCase, events: Sequence[Told]) -> Iterator[Batch]:
    for first in range(0, len(events), BATCH_EVENTS):
        part = events[first : first + BATCH_EVENTS]
        decoded = [(told.event_type, decode(use_case, told.event_type, told.body)) for told in part]
        yield make_batch(use_case, decoded, [NOW_US] * len(part))
