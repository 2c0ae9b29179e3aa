"""Windows: the buckets of one track that the events of a run see, and the statistics of its cells.

`sums` are those buckets: first the tiles that are reached, then what the ring and the run add, always at the end. A
bucket that is no longer the last of them does not change, so each window adds it once. What belongs to the track is
looked up once and handed on in `Track`: after every write compiled code would have to look it up again.
"""

from typing import NamedTuple

import numpy as np

from features.kernel import layout as at
from features.kernel.buckets import (
    add_mark,
    add_value,
    bucket_at,
    empty_figures,
    expired,
    figures_at,
    length_at,
    merge_spread,
    sketch_at,
)
from features.kernel.jit import compiled
from features.kernel.statistics import C_DISTINCT, distinct, put_statistics


class Track(NamedTuple):
    """Numbers of a track, and the places of its events' values and marks and of sums; -1: the lane has no values."""

    lane: int
    hop: int
    needs: int
    values: int
    marks: int
    buckets: int
    figures: int
    sketches: int


@compiled
def _track(p, lane, k):
    """Return what belongs to track k."""
    column = p[p[at.LANE_VALUE] + lane]
    return Track(
        lane,
        p[p[at.TRACK_HOP_US] + k],
        p[p[at.TRACK_NEEDS] + k],
        p[at.F_VALUES] + column * at.COLUMN if column >= 0 else -1,
        p[at.W_SLOTS] + p[p[at.LANE_DISTINCT] + lane] * at.COLUMN,
        p[at.W_SUMS],
        p[at.F_SUMS],
        p[at.W_SUMS_SKETCH],
    )


@compiled
def _take_tiles(p, w, f, t, k, after, head):
    """Set sums to the tiles of track k later than `after` and up to `head`; return their number."""
    buckets, figures, n = bucket_at(p, k), figures_at(p, k), 0
    sketches = sketch_at(p, k) if t.needs & at.NEEDS_SKETCH else 0
    for i in range(w[length_at(p, k)]):
        if after < w[buckets + i] <= head:
            w[t.buckets + n] = w[buckets + i]
            for number in range(at.FIGURES):
                f[t.figures + n * at.FIGURES + number] = f[figures + i * at.FIGURES + number]
            if t.needs & at.NEEDS_SKETCH:
                a, b = sketches + i * at.SKETCH_WORDS, t.sketches + n * at.SKETCH_WORDS
                for word in range(at.SKETCH_WORDS):
                    w[b + word] = w[a + word]
            n += 1
    return n


@compiled
def _open_sum(w, f, t, n, bucket):
    """Append an empty bucket to sums, which are `n`."""
    w[t.buckets + n] = bucket
    empty_figures(f, t.figures + n * at.FIGURES)
    if t.needs & at.NEEDS_SKETCH:
        place = t.sketches + n * at.SKETCH_WORDS
        for word in range(at.SKETCH_WORDS):
            w[place + word] = 0


@compiled
def _add_to_last(w, f, t, n, slot):
    """Add the event at `slot` to the last of `n` sums."""
    add_value(f, t.figures + (n - 1) * at.FIGURES, t.needs, f[t.values + slot] if t.values >= 0 else 0.0)
    if t.needs & at.NEEDS_SKETCH:
        add_mark(w, t.sketches + (n - 1) * at.SKETCH_WORDS, w[t.marks + slot])


@compiled
def _take_ring(w, f, t, since, members, n):
    """Add the lane's events in the ring from `since` on, which are among `members`; return the number of sums."""
    first, begin = members, w[t.buckets + n - 1] * t.hop if n else since - t.hop
    while first > 0 and w[at.RING_TIME + w[at.MEMBER + first - 1]] >= since:
        first -= 1
    for m in range(first, members):
        slot = w[at.MEMBER + m]
        time = w[at.RING_TIME + slot]
        if time - begin >= t.hop or n == 0:
            bucket = time // t.hop
            begin = bucket * t.hop
            _open_sum(w, f, t, n, bucket)
            n += 1
        _add_to_last(w, f, t, n, slot)
    return n


@compiled
def _note_head(w, f, t, n, e):
    """Keep the last of `n` sums as event e of the run sees it."""
    w[at.HEAD_LENGTH + e] = n
    if n == 0:
        return
    a, b = t.figures + (n - 1) * at.FIGURES, at.HEAD_FIGURES + e * at.FIGURES
    for number in range(at.FIGURES):
        f[b + number] = f[a + number]
    if t.needs & at.NEEDS_SKETCH:
        a, b = t.sketches + (n - 1) * at.SKETCH_WORDS, at.HEAD_SKETCH + e * at.SKETCH_WORDS
        for word in range(at.SKETCH_WORDS):
            w[b + word] = w[a + word]


@compiled
def _take_run(w, f, t, first, end, head, n):
    """Add the run, slots first to end, to sums, and keep what each event sees; `head` is the bucket of the first."""
    begin = head * t.hop
    for slot in range(first, end):
        time = w[at.RING_TIME + slot]
        if time - begin >= t.hop:
            head = time // t.hop
            begin = head * t.hop
        if (w[at.RING_LANES + slot] >> t.lane) & 1:
            if n == 0 or w[t.buckets + n - 1] != head:
                _open_sum(w, f, t, n, head)
                n += 1
            _add_to_last(w, f, t, n, slot)
        w[at.HEAD + slot - first] = head
        _note_head(w, f, t, n, slot - first)


@compiled
def _with_bucket(f, place, needs, figures):
    """Return the figures of some buckets together with the one at `place`, which follows them."""
    count, total, spread, low, high = figures
    if needs & at.NEEDS_SPREAD:
        spread = merge_spread(
            count, total, spread, f[place + at.COUNT], f[place + at.SUM], f[place + at.SPREAD]
        )
    if needs & at.NEEDS_EXTREMES:
        low, high = min(low, f[place + at.LOW]), max(high, f[place + at.HIGH])
    return count + f[place + at.COUNT], total + f[place + at.SUM], spread, low, high


@compiled
def _first_after(w, buckets, first, end, after):
    """Return the first of the sums, from `first` on, that is later than `after`."""
    while first < end and w[buckets + first] <= after:
        first += 1
    return first


@compiled
def _read_cell(p, w, f, t, c, events):
    """Write the statistics of cell c, but for DISTINCT, into the vectors of the run's `events`."""
    span, row, columns = p[p[at.CELL_SPAN] + c], p[at.F_VECTOR], p[at.COLUMNS]
    outputs, stop = p[p[at.CELL_OUTPUTS] + c], p[p[at.CELL_OUTPUTS] + c + 1]
    first, folded, nothing = 0, 0, (0.0, 0.0, 0.0, np.inf, -np.inf)
    figures = nothing
    for e in range(events):
        if w[at.RUN_SCORED + e]:
            end, before = w[at.HEAD_LENGTH + e], first
            first = _first_after(w, t.buckets, first, end, w[at.HEAD + e] - span)
            if first > before:
                figures, folded = nothing, first
            while folded < end - 1:
                figures = _with_bucket(f, t.figures + folded * at.FIGURES, t.needs, figures)
                folded += 1
            seen = figures
            if folded < end:
                seen = _with_bucket(f, at.HEAD_FIGURES + e * at.FIGURES, t.needs, figures)
            put_statistics(p, f, t.needs, seen, outputs, stop, row + e * columns)


@compiled
def _with_sketch(w, place, sketch):
    """Return a sketch together with the one at `place`."""
    a, b, c, d = sketch
    return (
        a | np.uint64(w[place]),
        b | np.uint64(w[place + 1]),
        c | np.uint64(w[place + 2]),
        d | np.uint64(w[place + 3]),
    )


@compiled
def _read_distinct(p, w, f, t, c, column, events):
    """Write the DISTINCT of cell c into a column of the vectors of the run's `events`."""
    span, row, columns, none = p[p[at.CELL_SPAN] + c], p[at.F_VECTOR] + column, p[at.COLUMNS], np.uint64(0)
    first, folded, nothing = 0, 0, (none, none, none, none)
    sketch = nothing
    for e in range(events):
        if w[at.RUN_SCORED + e]:
            end, before = w[at.HEAD_LENGTH + e], first
            first = _first_after(w, t.buckets, first, end, w[at.HEAD + e] - span)
            if first > before:
                sketch, folded = nothing, first
            while folded < end - 1:
                sketch = _with_sketch(w, t.sketches + folded * at.SKETCH_WORDS, sketch)
                folded += 1
            seen = sketch
            if folded < end:
                seen = _with_sketch(w, at.HEAD_SKETCH + e * at.SKETCH_WORDS, sketch)
            f[row + e * columns] = distinct(*seen)


@compiled
def read_track(p, w, f, lane, k, members, first, end, floor):
    """Write the statistics of track k into the vectors of the run in slots first to end.

    `members` is the number of earlier events that count; `floor` is the time of the newest event in the tiles.
    """
    t, time = _track(p, lane, k), w[at.RING_TIME + first]
    head = time // t.hop
    after = head - p[p[at.TRACK_SPAN] + k]
    n = _take_tiles(p, w, f, t, k, after if time >= floor else max(after, expired(p, w, k)), head)
    n = _take_ring(w, f, t, (after + 1) * t.hop, members, n)
    _take_run(w, f, t, first, end, head, n)
    for c in range(p[p[at.TRACK_CELLS] + k], p[p[at.TRACK_CELLS] + k + 1]):
        _read_cell(p, w, f, t, c, end - first)
        for o in range(p[p[at.CELL_OUTPUTS] + c], p[p[at.CELL_OUTPUTS] + c + 1]):
            if p[p[at.OUTPUT_STATISTIC] + o] == C_DISTINCT:
                _read_distinct(p, w, f, t, c, p[p[at.OUTPUT_COLUMN] + o], end - first)
