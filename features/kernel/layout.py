"""The layout of the kernel's memory: the plan as one array of numbers, and the arrays that hold one unpacked record.

Compiled functions take three flat arrays: `p` (the plan, int64), `w` (whole numbers, int64) and `f` (real numbers,
float64). Handing on many arrays costs numba more than the work itself (docs/decisions/0002). A name in capitals is a
place, and modules read by place: `import layout as at`, then w[at.RING_TIME + i]. Fixed places index directly; those
that depend on the plan are looked up in `p` first: p[p[at.TRACK_SPAN] + k].

A *track* is one lane in buckets of one hop; a *cell* is a track over one window. Tracks are sparse: they have only
buckets in which something happened, oldest first. The record keeps the *tiles*: the buckets of what the ring evicted.
While a *run* of events is read (runs.py), *sums* are the buckets of one track, tiles and ring together.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.kernel.header import STATUS_BYTES
from features.kernel.plan import EVER, SLOTS, EntityPlan, Output, Statistic

RING_KEEP = 64  # events always kept whole: enough to tell a redelivery from a new event
RING_LIMIT = 1024  # events kept whole at most, however much happens within the lateness
RING_SPACE = 4 * RING_LIMIT  # room to slide in before the ring is moved back to the front
RUN_LIMIT = RING_KEEP  # events read together at most, so that none of them has been evicted
STAGED = RING_SPACE  # the slot behind the ring, where an arriving event waits
COLUMN = RING_SPACE + 1
VERSIONS_LIMIT = 8  # attribute versions kept for redeliveries
SKETCH_WORDS = SLOTS // 64
STATUS_WORDS = STATUS_BYTES // 8
INEXACT = 0x80  # the kernel's bit of an outcome: the vector can no longer be recomputed

NEEDS_SUM, NEEDS_SPREAD, NEEDS_EXTREMES, NEEDS_SKETCH = 1, 2, 4, 8
NEEDS = {
    Statistic.SUM: NEEDS_SUM,
    Statistic.MEAN: NEEDS_SUM,
    Statistic.STD: NEEDS_SUM | NEEDS_SPREAD,
    Statistic.MIN: NEEDS_EXTREMES,
    Statistic.MAX: NEEDS_EXTREMES,
    Statistic.DISTINCT: NEEDS_SKETCH,
}
# figures of a bucket; SPREAD is the sum of squared deviations from the bucket's mean
COUNT, SUM, SPREAD, LOW, HIGH, FIGURES = range(6)
EVER_COUNT, EVER_FIRST, EVER_LAST, EVER_FIELDS = range(
    4
)  # what a lane keeps over EVER, beside its last value

# --- places in p: sizes, then where each table starts -------------------------------------------------
(
    FINGERPRINT, LANES, VALUES, DISTINCTS, ATTRIBUTES, SOURCES, IS_SUBJECT, LATENESS_US, FORGET_US, TRACKS, COLUMNS,
    SKETCHES, TRACK_SPACE, EVER_LANES, WATCHES,
    LANE_VALUE, LANE_DISTINCT, LANE_TRACKS, LANE_EVER, EVER_LANE, TRACK_HOP_US, TRACK_SPAN, TRACK_NEEDS,
    TRACK_SKETCH, TRACK_CELLS, CELL_SPAN, CELL_OUTPUTS, OUTPUT_STATISTIC, OUTPUT_COLUMN, EVER_STATISTIC, EVER_COLUMN,
    WATCH,
    W_SLOTS, W_VERSION_TIME, W_LENGTH, W_BUCKET, W_SKETCH, W_EVER, W_SUMS, W_SUMS_SKETCH, F_VALUES, F_VERSION,
    F_STAGED, F_FIGURES, F_EVER, F_SUMS, F_VECTOR, PLACES,
) = range(48)  # fmt: skip

# --- fixed places in w and f ---------------------------------------------------------------------------
(
    START, LENGTH, SEQ, FLOOR, EVICTED, VERSIONS, LOST, TANGLED,  # the record
    UNFOLDED, RUN,  # the first slot that is not in the tiles, and the number of events in the run
    SOURCE, SCORED,  # the staged event
    DISPOSITION, ANSWER_SEQ, ANSWER_ORIGIN, ANSWER_OUTCOME, EXACT,  # the answer to it
) = range(17)  # fmt: skip
STATUS = 17
VERSION_SEQ = STATUS + STATUS_WORDS
RING_KEY = VERSION_SEQ + VERSIONS_LIMIT
RING_TIME, RING_SEQ, RING_LANES, RING_ORIGIN, RING_OUTCOME, MEMBER, RUN_SCORED = (
    RING_KEY + n * COLUMN for n in range(1, 8)
)  # MEMBER: the slots of one lane's events
HEAD, HEAD_LENGTH, HEAD_SKETCH = (
    RUN_SCORED + n * RUN_LIMIT for n in range(1, 4)
)  # of sums, as each event sees them
W_FREE = HEAD_SKETCH + RUN_LIMIT * SKETCH_WORDS
ANSWER_SCORE = 0
RING_SCORE = 1
STATISTICS = RING_SCORE + COLUMN  # of one cell, by Statistic
HEAD_FIGURES = STATISTICS + len(Statistic)
F_FREE = HEAD_FIGURES + RUN_LIMIT * FIGURES


class Memory(NamedTuple):
    """One record, unpacked. Reused from record to record; never shared by threads."""

    w: NDArray[np.int64]
    f: NDArray[np.float64]


def _cells(plan: EntityPlan) -> dict[tuple[int, int, int], list[tuple[Output, int]]]:
    """Return outputs and their columns by (lane, hop, window), ordered by lane, hop, window."""
    cells: dict[tuple[int, int, int], list[tuple[Output, int]]] = {}
    for column, output in enumerate(plan.outputs):
        if output.window_us != EVER:
            cells.setdefault((output.lane, output.hop_us, output.window_us), []).append((output, column))
    return dict(sorted(cells.items()))


def _signed(bits: int) -> int:
    """Return a uint64 as the int64 of the same bits."""
    return int(np.array(bits, dtype=np.uint64).view(np.int64))


def _track_tables(plan: EntityPlan) -> dict[int, list[int]]:
    cells = _cells(plan)
    tracks = sorted({(lane, hop) for lane, hop, _ in cells})
    needs = dict.fromkeys(tracks, 0)
    for (lane, hop, _), outputs in cells.items():
        for output, _ in outputs:
            needs[lane, hop] |= NEEDS.get(output.statistic, 0)
    sketched = [track for track in tracks if needs[track] & NEEDS_SKETCH]
    spans = {track: max(w // hop for lane, hop, w in cells if (lane, hop) == track) for track in tracks}
    return {
        LANE_TRACKS: _starts_by_lane(plan, [lane for lane, _ in tracks]),
        TRACK_HOP_US: [hop for _, hop in tracks],
        TRACK_SPAN: list(spans.values()),
        TRACK_NEEDS: list(needs.values()),
        TRACK_SKETCH: [sketched.index(track) if track in sketched else -1 for track in tracks],
        TRACK_CELLS: [sum(cell[:2] < track for cell in cells) for track in [*tracks, (len(plan.lanes), 0)]],
        CELL_SPAN: [window // hop for _, hop, window in cells],
        CELL_OUTPUTS: [0, *np.cumsum([len(outputs) for outputs in cells.values()], dtype=int).tolist()],
        OUTPUT_STATISTIC: [int(output.statistic) for outputs in cells.values() for output, _ in outputs],
        OUTPUT_COLUMN: [column for outputs in cells.values() for _, column in outputs],
    }


def _starts_by_lane(plan: EntityPlan, lanes: list[int]) -> list[int]:
    """Return where each lane begins in a sorted list of lanes, and where the last one ends."""
    return [sum(other < lane for other in lanes) for lane in range(len(plan.lanes) + 1)]


def _lane_tables(plan: EntityPlan) -> dict[int, list[int]]:
    ever = sorted(
        (o.lane, int(o.statistic), column) for column, o in enumerate(plan.outputs) if o.window_us == EVER
    )
    lanes = [lane for lane, _, _ in ever]
    return {
        LANE_VALUE: [lane.value for lane in plan.lanes],
        LANE_DISTINCT: [lane.distinct for lane in plan.lanes],
        LANE_EVER: _starts_by_lane(plan, lanes),
        EVER_LANE: sorted(set(lanes)),
        EVER_STATISTIC: [statistic for _, statistic, _ in ever],
        EVER_COLUMN: [column for _, _, column in ever],
        WATCH: [number for watch in plan.watches for number in (watch.lane, _signed(watch.gated))],
    }


def _sizes(plan: EntityPlan, listed: dict[int, list[int]]) -> dict[int, int]:
    return {
        FINGERPRINT: _signed(plan.fingerprint),
        LANES: len(plan.lanes),
        VALUES: plan.values,
        DISTINCTS: plan.distincts,
        ATTRIBUTES: plan.attributes,
        SOURCES: plan.sources,
        IS_SUBJECT: int(plan.is_subject),
        LATENESS_US: plan.lateness_us,
        FORGET_US: plan.forget_us,
        TRACKS: len(listed[TRACK_SPAN]),
        COLUMNS: plan.raw_columns,
        SKETCHES: sum(row >= 0 for row in listed[TRACK_SKETCH]),
        TRACK_SPACE: 2 * max(listed[TRACK_SPAN], default=1) + 2,  # a full track drops its expired half
        EVER_LANES: len(listed[EVER_LANE]),
        WATCHES: len(plan.watches),
    }


def _sections(sizes: dict[int, int]) -> tuple[dict[int, int], dict[int, int]]:
    """Return the lengths of the sections of w and of f that depend on the plan, in order."""
    tiles, sums = sizes[TRACKS] * sizes[TRACK_SPACE], sizes[TRACK_SPACE] + RUN_LIMIT
    whole = {
        W_SLOTS: sizes[DISTINCTS] * COLUMN,
        W_VERSION_TIME: VERSIONS_LIMIT * sizes[SOURCES],
        W_LENGTH: sizes[TRACKS],
        W_BUCKET: tiles,
        W_SKETCH: sizes[SKETCHES] * sizes[TRACK_SPACE] * SKETCH_WORDS,
        W_EVER: sizes[LANES] * EVER_FIELDS,
        W_SUMS: sums,
        W_SUMS_SKETCH: sums * SKETCH_WORDS,
    }
    real = {
        F_VALUES: sizes[VALUES] * COLUMN,
        F_VERSION: VERSIONS_LIMIT * sizes[ATTRIBUTES],
        F_STAGED: sizes[ATTRIBUTES],
        F_FIGURES: tiles * FIGURES,
        F_EVER: sizes[LANES],
        F_SUMS: sums * FIGURES,
        F_VECTOR: RUN_LIMIT * sizes[COLUMNS],
    }
    return whole, real


def _starts(sections: dict[int, int], start: int) -> dict[int, int]:
    starts = {}
    for place, length in sections.items():
        starts[place] = start
        start += length
    return starts


@lru_cache(maxsize=64)
def tables(plan: EntityPlan) -> NDArray[np.int64]:
    """Return the plan as `p`: sizes, starts of its tables and of the sections of w and f, then the tables."""
    listed = _track_tables(plan) | _lane_tables(plan)
    sizes = _sizes(plan, listed)
    whole, real = _sections(sizes)
    starts = _starts({place: len(numbers) for place, numbers in listed.items()}, PLACES)
    places = sizes | starts | _starts(whole, W_FREE) | _starts(real, F_FREE)
    head = [places[place] for place in range(PLACES)]
    return np.array(head + [number for numbers in listed.values() for number in numbers], dtype=np.int64)


def memory(p: NDArray[np.int64]) -> Memory:
    """Return fresh memory, `w` and `f`, for one plan."""
    whole, real = _sections({place: int(p[place]) for place in range(LANE_VALUE)})
    w = np.zeros(W_FREE + sum(whole.values()), np.int64)
    return Memory(w, np.zeros(F_FREE + sum(real.values())))
