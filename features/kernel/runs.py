"""Runs: events that came one after another behind all others of the ring, whose statistics are read together.

Reading goes lane by lane and track by track, so that what belongs to a track is looked up once for the run. Until then
the events wait at the end of the ring, and what the ring evicts waits before its beginning: tiles change afterwards.
"""

import numpy as np

from features.kernel import layout as at
from features.kernel.buckets import ever_at, value_of
from features.kernel.jit import compiled
from features.kernel.packing import fill
from features.kernel.ring import fold_evicted
from features.kernel.statistics import ever_figure
from features.kernel.windows import read_track


@compiled
def _list_members(w, lane, end, seq):
    """List the lane's events before slot `end` with numbers up to `seq` that are not in the tiles; return how many."""
    members = 0
    for slot in range(w[at.UNFOLDED], end):
        w[at.MEMBER + members] = slot
        members += ((w[at.RING_LANES + slot] >> lane) & 1) & (w[at.RING_SEQ + slot] <= seq)
    return members


@compiled
def _with_event(state, time, value):
    """Return what a lane keeps over EVER together with one more event."""
    count, first, last, _, latest = state
    if count == 0:
        first = last = time
    if time >= last:
        return count + 1, min(first, time), time, last, value
    return count + 1, min(first, time), last, last, latest


@compiled
def _read_ever(p, w, f, lane, members, first, end):
    """Write the statistics of a lane over EVER into the vectors of the run in slots first to end."""
    kept, begin, stop = ever_at(p, lane), p[p[at.LANE_EVER] + lane], p[p[at.LANE_EVER] + lane + 1]
    last = w[kept + at.EVER_LAST]
    state = (w[kept + at.EVER_COUNT], w[kept + at.EVER_FIRST], last, last, f[p[at.F_EVER] + lane])
    for m in range(members):
        slot = w[at.MEMBER + m]
        state = _with_event(state, w[at.RING_TIME + slot], value_of(p, f, lane, slot))
    for slot in range(first, end):
        time, is_member = w[at.RING_TIME + slot], (w[at.RING_LANES + slot] >> lane) & 1
        if is_member:
            state = _with_event(state, time, value_of(p, f, lane, slot))
        row = p[at.F_VECTOR] + (slot - first) * p[at.COLUMNS]
        for o in range(begin, stop):
            f[row + p[p[at.EVER_COLUMN] + o]] = ever_figure(
                p[p[at.EVER_STATISTIC] + o], *state, time, is_member
            )


@compiled
def read_vectors(p, w, f, end_of_ring, first, end, seq, floor):
    """Write the statistics of the events in slots first to end into the vectors of the run.

    They see the tiles, whose newest event is at `floor`, and the ring before `end_of_ring` with numbers up to `seq`.
    """
    for lane in range(p[at.LANES]):
        tracks, stop = p[p[at.LANE_TRACKS] + lane], p[p[at.LANE_TRACKS] + lane + 1]
        has_ever = p[p[at.LANE_EVER] + lane] < p[p[at.LANE_EVER] + lane + 1]
        if tracks < stop or has_ever:
            members = _list_members(w, lane, end_of_ring, seq)
            for k in range(tracks, stop):
                read_track(p, w, f, lane, k, members, first, end, floor)
            if has_ever:
                _read_ever(p, w, f, lane, members, first, end)


@compiled
def put_vector(p, f, e, row):
    """Copy the vector of event e of the run into its row of the result."""
    place = p[at.F_VECTOR] + e * p[at.COLUMNS]
    for column in range(p[at.COLUMNS]):
        row[column] = f[place + column]


@compiled
def end_run(p, w, f, order, raw):
    """Read the vectors of the run, if there is one, into their rows of `raw`, and bring the tiles up to date."""
    events, scored = w[at.RUN], 0
    if events == 0:
        return
    end = w[at.START] + w[at.LENGTH]
    first = end - events
    for e in range(events):
        scored += w[at.RUN_SCORED + e]
    if scored:
        read_vectors(p, w, f, first, first, end, w[at.SEQ], w[at.RING_TIME + first])
    fold_evicted(p, w, f)
    for e in range(events):
        row = order[w[at.RING_ORIGIN + first + e]]
        if w[at.RUN_SCORED + e]:
            put_vector(p, f, e, raw[row])
        else:
            fill(raw[row], np.nan)
    w[at.RUN] = 0
