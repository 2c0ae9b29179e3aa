"""One event, one record, one batch: folds events into records and reads their vectors, in arrival order."""

from enum import IntEnum

import numpy as np

from features.kernel.attributes import KEEP, forget_versions, read_attributes, set_attributes
from features.kernel.buckets import add, gather
from features.kernel.changes import keep_changes, leave_watches
from features.kernel.codec import (
    clear,
    pack,
    ring_length,
    size_bound,
    unpack,
)
from features.kernel.forgetting import begin, is_over, is_too_old
from features.kernel.jit import compiled, inlined, outermost
from features.kernel.layout import (
    ANSWER_ORIGIN,
    ANSWER_OUTCOME,
    ANSWER_SCORE,
    ANSWER_SEQ,
    ATTRIBUTES,
    COLUMN,
    DISPOSITION,
    DISTINCTS,
    EVICTED,
    EXACT,
    F_STAGED,
    F_VALUES,
    FORGET_US,
    FRESH,
    IS_SUBJECT,
    LENGTH,
    RING_KEY,
    RING_LANES,
    RING_ORIGIN,
    RING_OUTCOME,
    RING_SCORE,
    RING_SEQ,
    RING_TIME,
    SCORED,
    SEQ,
    SOURCE,
    STAGED,
    START,
    STATUS_AT,
    STATUS_BYTES,
    SUMS,
    VALUES,
    W_SLOTS,
)
from features.kernel.packing import fill
from features.kernel.ring import INEXACT, end_of, evict, find, fold, insert, is_too_late
from features.kernel.statistics import read_vector


class Disposition(IntEnum):
    """What became of an event in one record."""

    ABSENT = 0  # the event names no such entity, or the entity's record cannot be read
    APPLIED = 1
    DUPLICATE = 2  # found in the ring: nothing applied, vector as of itself
    TOO_LATE = 3  # subject: refused, it could be a duplicate of something folded
    FOLDED = 4  # other entities: counted in its bucket, a duplicate can no longer be told


ABSENT, APPLIED, DUPLICATE, TOO_LATE, FOLDED = (int(disposition) for disposition in Disposition)


@compiled
def _answer_duplicate(p, w, f, found, row):
    """Nothing is applied; the vector is recomputed as of the event itself."""
    seq, time = w[RING_SEQ + found], w[RING_TIME + found]
    w[DISPOSITION], w[ANSWER_SEQ], w[ANSWER_ORIGIN] = DUPLICATE, seq, w[RING_ORIGIN + found]
    w[ANSWER_OUTCOME], f[ANSWER_SCORE] = w[RING_OUTCOME + found] & ~INEXACT, f[RING_SCORE + found]
    is_known = read_attributes(p, w, f, seq, row)
    w[EXACT] = is_known and not w[RING_OUTCOME + found] & INEXACT
    if w[EXACT] and w[SCORED]:
        gather(p, w, f, time, found + 1, seq)
        w[FRESH] = 0
        read_vector(p, w, f, found, time, row)
    else:
        fill(row, np.nan)


@compiled
def _apply(p, w, f, row):
    """Insert an event that is new. FRESH says whether SUMS holds the whole ring, before and after."""
    time = w[RING_TIME + STAGED]
    w[SEQ] += 1
    w[DISPOSITION], w[ANSWER_SEQ] = APPLIED, w[SEQ]
    set_attributes(p, w, f)
    keep_changes(p, w, f)
    slot = insert(p, w, f)
    is_newest = slot == w[START] + w[LENGTH] - 1
    if is_newest and w[FRESH]:
        add(p, w, f, SUMS, slot)
    elif w[SCORED]:
        gather(p, w, f, time, slot + 1, w[SEQ])
    if w[SCORED]:
        read_vector(p, w, f, slot, time, row)
        read_attributes(p, w, f, w[SEQ], row)
    w[FRESH] = is_newest and (w[FRESH] or w[SCORED])
    evict(p, w, f)


@compiled
def _apply_too_late(p, w, f, row):
    """The subject refuses the event; other entities count it by its bucket."""
    time = w[RING_TIME + STAGED]
    if p[IS_SUBJECT]:
        w[DISPOSITION] = TOO_LATE
        return
    w[SEQ] += 1
    w[DISPOSITION], w[ANSWER_SEQ], w[FRESH] = FOLDED, w[SEQ], 0
    set_attributes(p, w, f)
    leave_watches(p, w)
    if w[SCORED]:
        gather(p, w, f, time, end_of(w, time), w[SEQ])
        add(p, w, f, SUMS, STAGED)
        read_vector(p, w, f, STAGED, time, row)
        read_attributes(p, w, f, w[SEQ], row)
    fold(p, w, f)


@inlined
def _take(p, w, f, row):
    """The staged event: known, too late, or new; the first of a new life if the record is forgotten."""
    time = w[RING_TIME + STAGED]
    if is_over(p, w, time):
        begin(p, w, time)
    w[DISPOSITION], w[ANSWER_SEQ], w[ANSWER_ORIGIN], w[ANSWER_OUTCOME], w[EXACT] = ABSENT, 0, -1, 0, 1
    f[ANSWER_SCORE] = np.nan
    found = find(w, w[RING_KEY + STAGED])
    if found >= 0:
        _answer_duplicate(p, w, f, found, row)
    elif is_too_late(p, w, time) or is_too_old(p, w, time):
        _apply_too_late(p, w, f, row)
    else:
        _apply(p, w, f, row)


@inlined
def _stage(p, w, f, arrivals, j):
    w[RING_KEY + STAGED], w[RING_TIME + STAGED] = arrivals.key[j], arrivals.time_us[j]
    w[RING_LANES + STAGED], w[RING_ORIGIN + STAGED] = arrivals.lanes[j], j
    w[RING_OUTCOME + STAGED], f[RING_SCORE + STAGED] = 0, np.nan
    w[SOURCE], w[SCORED] = arrivals.source[j], arrivals.scored[j]
    for value in range(p[VALUES]):
        f[p[F_VALUES] + value * COLUMN + STAGED] = arrivals.values[j, value]
    for distinct in range(p[DISTINCTS]):
        w[p[W_SLOTS] + distinct * COLUMN + STAGED] = arrivals.slots[j, distinct]
    if w[SOURCE] >= 0:
        for a in range(p[ATTRIBUTES]):
            is_own = arrivals.attribute_source[a] == w[SOURCE]
            f[p[F_STAGED] + a] = arrivals.attributes[arrivals.attribute_row[j], a] if is_own else KEEP


@inlined
def _answer(p, w, f, said, former, j):
    said.disposition[j], said.seq[j], said.exact[j] = w[DISPOSITION], w[ANSWER_SEQ], w[EXACT]
    said.original[j], said.seen_outcome[j], said.seen_score[j] = (
        w[ANSWER_ORIGIN],
        w[ANSWER_OUTCOME],
        f[ANSWER_SCORE],
    )
    if p[FORGET_US] and w[ANSWER_SEQ]:
        former[j] = w[SEQ] - w[EVICTED] - w[LENGTH]


@compiled
def _note_places(w, places, score_at, outcome_at):
    """Where the outcomes of this batch's events go in the packed record."""
    for i in range(w[LENGTH]):
        j = w[RING_ORIGIN + w[START] + i]
        if j >= 0:
            places.score_at[j], places.outcome_at[j] = score_at + 4 * i, outcome_at + i


@outermost
def advance_all(
    p, w, f, arrivals, starts, read, read_at, written, written_at, order, raw, said, former, places, known
):
    """Record by record: unpack, take its events (those from starts[r] to starts[r + 1]), pack.

    Event j arrived as order[j]: its vector goes to that row of `raw`, which saves a copy of the largest array.
    Returns -1, or the first record that cannot be unpacked; then nothing that was written is of use.
    """
    starts_at = np.zeros(2, np.int64)
    at = 0
    for r in range(len(starts) - 1):
        is_new = read_at[r] == read_at[r + 1]
        if is_new:
            clear(p, w)
        elif not unpack(p, w, f, read, read_at[r]):
            return r
        known.before[r] = w[SEQ]
        if p[IS_SUBJECT]:
            known.status[r] = w[STATUS_AT : STATUS_AT + STATUS_BYTES // 8]
        if p[FORGET_US] and is_new and starts[r] < starts[r + 1]:
            begin(p, w, arrivals.time_us[starts[r]])
        for j in range(starts[r], starts[r + 1]):
            _stage(p, w, f, arrivals, j)
            _take(p, w, f, raw[order[j]])
            _answer(p, w, f, said, former, j)
        forget_versions(p, w, f)
        known.after[r], written_at[r] = w[SEQ], at
        at = pack(p, w, f, written, at, starts_at)
        if p[IS_SUBJECT]:
            _note_places(w, places, starts_at[0], starts_at[1])
    written_at[len(starts) - 1] = at
    return -1


@compiled
def capacity(p, read, read_at, starts):
    """Most bytes that the packed records can take together."""
    capacity = 0
    for r in range(len(starts) - 1):
        size = read_at[r + 1] - read_at[r]
        ring = ring_length(read, read_at[r]) if size else 0
        capacity += size_bound(p, ring, size, starts[r + 1] - starts[r])
    return capacity
