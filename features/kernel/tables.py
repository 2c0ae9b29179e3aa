"""A plan as the arrays that compiled code walks, and the scratch memory it works in.

A *track* is one lane in buckets of one hop; a *cell* is a track over one window. Tracks are sparse:
only buckets in which something happened, oldest first.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.plan import EVER, SLOTS, EntityPlan, Output, Statistic

RING_KEEP = 64  # events always kept whole: enough to tell a re-delivery from news
RING_LIMIT = 1024  # events kept whole at most, however much happens within the lateness
RING_SPACE = 4 * RING_LIMIT  # room to slide in before the ring is moved back to the front
VERSIONS_LIMIT = 8  # attribute versions kept for re-deliveries
SKETCH_WORDS = SLOTS // 64

NEEDS_SUM, NEEDS_SPREAD, NEEDS_EXTREMES, NEEDS_SKETCH = 1, 2, 4, 8
NEEDS = {
    Statistic.SUM: NEEDS_SUM,
    Statistic.MEAN: NEEDS_SUM,
    Statistic.STD: NEEDS_SUM | NEEDS_SPREAD,
    Statistic.MIN: NEEDS_EXTREMES,
    Statistic.MAX: NEEDS_EXTREMES,
    Statistic.DISTINCT: NEEDS_SKETCH,
}
# columns of a bucket's figures; SPREAD is the sum of squared deviations from the bucket's mean
COUNT, SUM, SPREAD, LOW, HIGH, FIGURES = 0, 1, 2, 3, 4, 5
# places in Scratch.head
START, LENGTH, SEQ, FLOOR, EVICTED, VERSIONS, LOST, TANGLED, HEAD = 0, 1, 2, 3, 4, 5, 6, 7, 8
STATUS_BYTES = 32

Int = NDArray[np.int64]


class Tables(NamedTuple):
    """L lanes, H hops, T tracks, C cells; outputs are grouped by cell."""

    fingerprint: NDArray[np.uint64]  # [1]
    size: Int  # [7]: lanes, values, distincts, attributes, sources, is_subject, lateness_us
    lane_value: Int  # [L]
    lane_distinct: Int  # [L]
    ever_lanes: Int  # lanes asked for something over EVER
    ever_mask: NDArray[np.uint64]  # [1] the same as bits
    hop_us: Int  # [H]
    hop_lanes: NDArray[np.uint64]  # [H] lanes with a track of this hop, as bits
    hop_span: Int  # [H] longest window of the hop, in buckets
    lane_track: Int  # [L, H] track; -1: none
    track_lane: Int  # [T]
    track_hop: Int  # [T]
    track_span: Int  # [T] longest window of the track, in buckets
    track_needs: Int  # [T] NEEDS_* bits
    track_sketch: Int  # [T] row in the sketches; -1: none
    cell_track: Int  # [C]
    cell_span: Int  # [C] window in buckets
    cell_outputs: Int  # [C + 1] where each cell's outputs start
    output_statistic: Int
    output_column: Int
    ever_outputs: Int  # [E, 3] lane, statistic, column


class Tracks(NamedTuple):
    length: Int  # [T] buckets in use
    bucket: Int  # [T, space] ascending
    figures: NDArray[np.float64]  # [T, space, FIGURES]
    sketch: NDArray[np.uint64]  # [tracks with a sketch, space, SKETCH_WORDS]


class Ever(NamedTuple):
    """What a lane remembers without a window: number, first and last time, last value."""

    count: Int
    first: Int
    last: Int
    previous: Int  # last before the latest addition (only while working)
    value: NDArray[np.float64]


class Ring(NamedTuple):
    key: NDArray[np.uint64]
    time: Int
    seq: Int
    lanes: NDArray[np.uint64]
    values: NDArray[np.float64]  # [space, values]
    slots: NDArray[np.uint8]  # [space, distincts]
    score: NDArray[np.float32]
    outcome: NDArray[np.uint8]
    origin: Int  # index in the batch; -1: came with the record


class Scratch(NamedTuple):
    """One record, unpacked, and the sums over it that vectors are read from (`sums`, `sum_ever`)."""

    head: Int  # [HEAD]
    status: NDArray[np.uint8]  # [STATUS_BYTES]
    version_seq: Int  # [VERSIONS_LIMIT + 1]
    version_time: Int  # [VERSIONS_LIMIT + 1, sources]
    version_values: NDArray[np.float64]  # [VERSIONS_LIMIT + 1, attributes]
    ring: Ring
    tiles: Tracks  # what the ring evicted
    ever: Ever
    sums: Tracks  # tiles and ring together, as of one event
    sum_ever: Ever


def _cells(plan: EntityPlan) -> dict[tuple[int, int, int], list[tuple[Output, int]]]:
    cells: dict[tuple[int, int, int], list[tuple[Output, int]]] = {}
    for column, output in enumerate(plan.outputs):
        if output.window_us != EVER:
            cells.setdefault((output.lane, output.hop_us, output.window_us), []).append((output, column))
    return cells


def _bits(lanes: list[int]) -> np.uint64:
    return np.uint64(sum(1 << lane for lane in set(lanes)))


def _ints(values: list[int]) -> Int:
    return np.array(values, dtype=np.int64)


@lru_cache(maxsize=64)
def tables(plan: EntityPlan) -> Tables:
    """The plan's arrays. Tracks are ordered by lane, then hop; cells by track, then window."""
    cells = dict(sorted(_cells(plan).items()))
    hops = sorted({hop for _, hop, _ in cells})
    tracks = sorted({(lane, hop) for lane, hop, _ in cells})
    spans = {track: max(w // track[1] for lane, hop, w in cells if (lane, hop) == track) for track in tracks}
    needs = {track: 0 for track in tracks}
    for (lane, hop, _), outputs in cells.items():
        for output, _ in outputs:
            needs[lane, hop] |= NEEDS.get(output.statistic, 0)
    sketched = [track for track in tracks if needs[track] & NEEDS_SKETCH]
    ever = [(o.lane, int(o.statistic), column) for column, o in enumerate(plan.outputs) if o.window_us == EVER]
    by_cell = list(cells.values())
    return Tables(
        fingerprint=np.array([plan.fingerprint], dtype=np.uint64),
        size=_ints([len(plan.lanes), plan.values, plan.distincts, plan.attributes, plan.sources,
                    int(plan.is_subject), plan.lateness_us]),
        lane_value=_ints([lane.value for lane in plan.lanes]),
        lane_distinct=_ints([lane.distinct for lane in plan.lanes]),
        ever_lanes=_ints(sorted({lane for lane, _, _ in ever})),
        ever_mask=np.array([_bits([lane for lane, _, _ in ever])]),
        hop_us=_ints(hops),
        hop_lanes=np.array([_bits([lane for lane, h in tracks if h == hop]) for hop in hops], dtype=np.uint64),
        hop_span=_ints([max(spans[lane, h] for lane, h in tracks if h == hop) for hop in hops]),
        lane_track=np.array(
            [[tracks.index((lane, hop)) if (lane, hop) in spans else -1 for hop in hops]
             for lane in range(len(plan.lanes))], dtype=np.int64).reshape(len(plan.lanes), len(hops)),
        track_lane=_ints([lane for lane, _ in tracks]),
        track_hop=_ints([hops.index(hop) for _, hop in tracks]),
        track_span=_ints([spans[track] for track in tracks]),
        track_needs=_ints([needs[track] for track in tracks]),
        track_sketch=_ints([sketched.index(track) if track in sketched else -1 for track in tracks]),
        cell_track=_ints([tracks.index((lane, hop)) for lane, hop, _ in cells]),
        cell_span=_ints([window // hop for _, hop, window in cells]),
        cell_outputs=_ints([0, *np.cumsum([len(outputs) for outputs in by_cell]).tolist()]),
        output_statistic=_ints([int(output.statistic) for outputs in by_cell for output, _ in outputs]),
        output_column=_ints([column for outputs in by_cell for _, column in outputs]),
        ever_outputs=np.array(ever, dtype=np.int64).reshape(len(ever), 3),
    )


def _tracks(table: Tables, space: int) -> Tracks:
    tracks = len(table.track_span)
    sketches = int((table.track_sketch >= 0).sum())
    return Tracks(
        length=np.zeros(tracks, np.int64),
        bucket=np.zeros((tracks, space), np.int64),
        figures=np.zeros((tracks, space, FIGURES)),
        sketch=np.zeros((sketches, space, SKETCH_WORDS), np.uint64),
    )


def _ever(lanes: int) -> Ever:
    columns = [np.zeros(lanes, np.int64) for _ in range(4)]
    return Ever(*columns, value=np.zeros(lanes))


def scratch(table: Tables) -> Scratch:
    """Fresh working memory for one plan. Reused from record to record; never shared by threads."""
    lanes, values, distincts, attributes, sources = (int(n) for n in table.size[:5])
    space = 2 * int(table.track_span.max(initial=1)) + 2  # a full track drops its expired half
    return Scratch(
        head=np.zeros(HEAD, np.int64),
        status=np.zeros(STATUS_BYTES, np.uint8),
        version_seq=np.zeros(VERSIONS_LIMIT + 1, np.int64),
        version_time=np.zeros((VERSIONS_LIMIT + 1, sources), np.int64),
        version_values=np.zeros((VERSIONS_LIMIT + 1, attributes)),
        ring=Ring(
            key=np.zeros(RING_SPACE, np.uint64),
            time=np.zeros(RING_SPACE, np.int64),
            seq=np.zeros(RING_SPACE, np.int64),
            lanes=np.zeros(RING_SPACE, np.uint64),
            values=np.zeros((RING_SPACE, values)),
            slots=np.zeros((RING_SPACE, distincts), np.uint8),
            score=np.zeros(RING_SPACE, np.float32),
            outcome=np.zeros(RING_SPACE, np.uint8),
            origin=np.zeros(RING_SPACE, np.int64),
        ),
        tiles=_tracks(table, space),
        ever=_ever(lanes),
        sums=_tracks(table, space),
        sum_ever=_ever(lanes),
    )
