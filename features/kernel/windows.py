"""Windows: the buckets of one track that the events of a run see, and the statistics of its cells.

`sums` are those buckets: first the tiles that are reached, then what the ring and the run add, always at the end. A
bucket that is no longer the last of them does not change, so each window adds it once.
"""

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
    mark_of,
    merge_spread,
    sketch_at,
    value_of,
)
from features.kernel.jit import compiled
from features.kernel.statistics import C_DISTINCT, distinct, figure


@compiled
def _take_tiles(p, w, f, k, after, head):
    """Set sums to the tiles of track k later than `after` and up to `head`; return their number."""
    buckets, figures, needs = bucket_at(p, k), figures_at(p, k), p[p[at.TRACK_NEEDS] + k]
    sums, target, n = p[at.W_SUMS], p[at.F_SUMS], 0
    for i in range(w[length_at(p, k)]):
        if after < w[buckets + i] <= head:
            w[sums + n] = w[buckets + i]
            for number in range(at.FIGURES):
                f[target + n * at.FIGURES + number] = f[figures + i * at.FIGURES + number]
            if needs & at.NEEDS_SKETCH:
                a, b = sketch_at(p, k) + i * at.SKETCH_WORDS, p[at.W_SUMS_SKETCH] + n * at.SKETCH_WORDS
                for word in range(at.SKETCH_WORDS):
                    w[b + word] = w[a + word]
            n += 1
    return n


@compiled
def _open_sum(p, w, f, n, bucket, needs):
    """Append an empty bucket to sums, which are `n`."""
    w[p[at.W_SUMS] + n] = bucket
    empty_figures(f, p[at.F_SUMS] + n * at.FIGURES)
    if needs & at.NEEDS_SKETCH:
        place = p[at.W_SUMS_SKETCH] + n * at.SKETCH_WORDS
        for word in range(at.SKETCH_WORDS):
            w[place + word] = 0


@compiled
def _add_to_last(p, w, f, lane, needs, n, slot):
    """Add the event at `slot` to the last of `n` sums."""
    add_value(f, p[at.F_SUMS] + (n - 1) * at.FIGURES, needs, value_of(p, f, lane, slot))
    if needs & at.NEEDS_SKETCH:
        add_mark(w, p[at.W_SUMS_SKETCH] + (n - 1) * at.SKETCH_WORDS, mark_of(p, w, lane, slot))


@compiled
def _take_ring(p, w, f, lane, k, since, members, n):
    """Add the lane's events in the ring from `since` on, which are among `members`; return the number of sums."""
    hop, needs, first = p[p[at.TRACK_HOP_US] + k], p[p[at.TRACK_NEEDS] + k], members
    while first > 0 and w[at.RING_TIME + w[at.MEMBER + first - 1]] >= since:
        first -= 1
    begin = w[p[at.W_SUMS] + n - 1] * hop if n else since - hop
    for m in range(first, members):
        slot = w[at.MEMBER + m]
        time = w[at.RING_TIME + slot]
        if time - begin >= hop or n == 0:
            bucket = time // hop
            begin = bucket * hop
            _open_sum(p, w, f, n, bucket, needs)
            n += 1
        _add_to_last(p, w, f, lane, needs, n, slot)
    return n


@compiled
def _note_head(p, w, f, needs, n, e):
    """Keep the last of `n` sums as event e of the run sees it."""
    w[at.HEAD_LENGTH + e] = n
    if n == 0:
        return
    a, b = p[at.F_SUMS] + (n - 1) * at.FIGURES, at.HEAD_FIGURES + e * at.FIGURES
    for number in range(at.FIGURES):
        f[b + number] = f[a + number]
    if needs & at.NEEDS_SKETCH:
        a, b = p[at.W_SUMS_SKETCH] + (n - 1) * at.SKETCH_WORDS, at.HEAD_SKETCH + e * at.SKETCH_WORDS
        for word in range(at.SKETCH_WORDS):
            w[b + word] = w[a + word]


@compiled
def _take_run(p, w, f, lane, k, first, end, n):
    """Add the run's events, slots first to end, to sums, and keep what each of them sees."""
    hop, needs = p[p[at.TRACK_HOP_US] + k], p[p[at.TRACK_NEEDS] + k]
    head = w[at.RING_TIME + first] // hop
    begin = head * hop
    for slot in range(first, end):
        e, time = slot - first, w[at.RING_TIME + slot]
        if time - begin >= hop:
            head = time // hop
            begin = head * hop
        if (w[at.RING_LANES + slot] >> lane) & 1:
            if n == 0 or w[p[at.W_SUMS] + n - 1] != head:
                _open_sum(p, w, f, n, head, needs)
                n += 1
            _add_to_last(p, w, f, lane, needs, n, slot)
        w[at.HEAD + e] = head
        _note_head(p, w, f, needs, n, e)


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
def _write_figures(p, f, c, figures, row):
    """Write the statistics of cell c, but for DISTINCT, into the vector at `row`."""
    count, total, spread, low, high = figures
    for o in range(p[p[at.CELL_OUTPUTS] + c], p[p[at.CELL_OUTPUTS] + c + 1]):
        statistic = p[p[at.OUTPUT_STATISTIC] + o]
        if statistic != C_DISTINCT:
            f[row + p[p[at.OUTPUT_COLUMN] + o]] = figure(statistic, count, total, spread, low, high)


@compiled
def _read_cell(p, w, f, k, c, events):
    """Write the statistics of cell c of track k, but for DISTINCT, into the vectors of the run's `events`."""
    buckets, sums, columns, needs = p[at.W_SUMS], p[at.F_SUMS], p[at.COLUMNS], p[p[at.TRACK_NEEDS] + k]
    span, row, first, folded, nothing = (
        p[p[at.CELL_SPAN] + c],
        p[at.F_VECTOR],
        0,
        0,
        (0.0, 0.0, 0.0, np.inf, -np.inf),
    )
    figures = nothing
    for e in range(events):
        if w[at.RUN_SCORED + e]:
            end, before = w[at.HEAD_LENGTH + e], first
            first = _first_after(w, buckets, first, end, w[at.HEAD + e] - span)
            if first > before:
                figures, folded = nothing, first
            while folded < end - 1:
                figures = _with_bucket(f, sums + folded * at.FIGURES, needs, figures)
                folded += 1
            whole = figures
            if folded < end:
                whole = _with_bucket(f, at.HEAD_FIGURES + e * at.FIGURES, needs, figures)
            _write_figures(p, f, c, whole, row + e * columns)


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
def _read_distinct(p, w, f, c, column, events):
    """Write the DISTINCT of cell c into a column of the vectors of the run's `events`."""
    buckets, sketches, none = p[at.W_SUMS], p[at.W_SUMS_SKETCH], np.uint64(0)
    span, first, folded, nothing = p[p[at.CELL_SPAN] + c], 0, 0, (none, none, none, none)
    sketch = nothing
    for e in range(events):
        if w[at.RUN_SCORED + e]:
            end, before = w[at.HEAD_LENGTH + e], first
            first = _first_after(w, buckets, first, end, w[at.HEAD + e] - span)
            if first > before:
                sketch, folded = nothing, first
            while folded < end - 1:
                sketch = _with_sketch(w, sketches + folded * at.SKETCH_WORDS, sketch)
                folded += 1
            whole = sketch
            if folded < end:
                whole = _with_sketch(w, at.HEAD_SKETCH + e * at.SKETCH_WORDS, sketch)
            f[p[at.F_VECTOR] + e * p[at.COLUMNS] + column] = distinct(*whole)


@compiled
def read_track(p, w, f, lane, k, members, first, end, floor):
    """Write the statistics of track k into the vectors of the run in slots first to end.

    `members` is the number of earlier events that count; `floor` is the time of the newest event in the tiles.
    """
    hop, time = p[p[at.TRACK_HOP_US] + k], w[at.RING_TIME + first]
    head = time // hop
    after = head - p[p[at.TRACK_SPAN] + k]
    n = _take_tiles(p, w, f, k, after if time >= floor else max(after, expired(p, w, k)), head)
    n = _take_ring(p, w, f, lane, k, (after + 1) * hop, members, n)
    _take_run(p, w, f, lane, k, first, end, n)
    for c in range(p[p[at.TRACK_CELLS] + k], p[p[at.TRACK_CELLS] + k + 1]):
        _read_cell(p, w, f, k, c, end - first)
        for o in range(p[p[at.CELL_OUTPUTS] + c], p[p[at.CELL_OUTPUTS] + c + 1]):
            if p[p[at.OUTPUT_STATISTIC] + o] == C_DISTINCT:
                _read_distinct(p, w, f, c, p[p[at.OUTPUT_COLUMN] + o], end - first)
