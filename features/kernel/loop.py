"""The compiled loop: a batch of events folded into records, in arrival order, and their vectors read."""

from enum import IntEnum

import numpy as np

from features.kernel import layout as at
from features.kernel.attributes import KEEP, forget_versions, read_attributes, set_attributes
from features.kernel.changes import keep_changes, leave_watches
from features.kernel.checks import ring_length
from features.kernel.codec import clear, pack, size_bound, unpack
from features.kernel.forgetting import begin, is_over, is_too_old
from features.kernel.jit import compiled, inlined, outermost
from features.kernel.packing import fill
from features.kernel.ring import (
    end_of,
    evict,
    find,
    fold,
    fold_evicted,
    insert,
    is_full,
    is_newest,
    is_too_late,
)
from features.kernel.runs import end_run, put_vector, read_vectors


class Disposition(IntEnum):
    """An event's fate in one record."""

    ABSENT = 0  # the event names no such entity, or the entity's record cannot be read
    APPLIED = 1
    DUPLICATE = 2  # known to the ring: nothing applied, vector as of itself
    TOO_LATE = 3  # subject: refused, since it could be a duplicate of an evicted event
    FOLDED = 4  # other entities: counted in its bucket; a duplicate of it is no longer recognised


ABSENT, APPLIED, DUPLICATE, TOO_LATE, FOLDED = (int(disposition) for disposition in Disposition)


@compiled
def _read_alone(p, w, f, end_of_ring, slot, seq):
    """Read the vector of the event at `slot`, which is no part of a run."""
    w[at.RUN_SCORED] = 1
    read_vectors(p, w, f, end_of_ring, slot, slot + 1, seq, w[at.FLOOR])


@compiled
def _answer_duplicate(p, w, f, slot, row):
    """Apply nothing; recompute the vector of the event at `slot` as of itself."""
    seq, outcome = w[at.RING_SEQ + slot], w[at.RING_OUTCOME + slot]
    w[at.DISPOSITION], w[at.ANSWER_SEQ], w[at.ANSWER_ORIGIN] = DUPLICATE, seq, w[at.RING_ORIGIN + slot]
    w[at.ANSWER_OUTCOME], f[at.ANSWER_SCORE] = outcome & ~at.INEXACT, f[at.RING_SCORE + slot]
    is_known = read_attributes(p, w, f, seq, 0)
    w[at.EXACT] = is_known and not outcome & at.INEXACT
    if w[at.EXACT] and w[at.SCORED]:
        _read_alone(p, w, f, slot, slot, seq)
        put_vector(p, f, 0, row)
    else:
        fill(row, np.nan)


@compiled
def _add_to_run(p, w, f):
    """Insert the staged event, which is new and the newest, and make it part of the run."""
    w[at.SEQ] += 1
    w[at.DISPOSITION], w[at.ANSWER_SEQ] = APPLIED, w[at.SEQ]
    set_attributes(p, w, f)
    keep_changes(p, w, f)
    insert(p, w, f)
    w[at.RUN_SCORED + w[at.RUN]] = w[at.SCORED]
    if w[at.SCORED]:
        read_attributes(p, w, f, w[at.SEQ], w[at.RUN])
    w[at.RUN] += 1
    evict(p, w)


@compiled
def _apply_late(p, w, f, row):
    """Insert the staged event, which is new and not the newest."""
    w[at.SEQ] += 1
    w[at.DISPOSITION], w[at.ANSWER_SEQ] = APPLIED, w[at.SEQ]
    set_attributes(p, w, f)
    keep_changes(p, w, f)
    slot = insert(p, w, f)
    if w[at.SCORED]:
        _read_alone(p, w, f, slot, slot, w[at.SEQ])
        read_attributes(p, w, f, w[at.SEQ], 0)
        put_vector(p, f, 0, row)
    else:
        fill(row, np.nan)
    evict(p, w)
    fold_evicted(p, w, f)


@compiled
def _apply_too_late(p, w, f, row):
    """Refuse the staged event if the record is a subject's; else count it by its bucket."""
    fill(row, np.nan)
    if p[at.IS_SUBJECT]:
        w[at.DISPOSITION] = TOO_LATE
        return
    w[at.SEQ] += 1
    w[at.DISPOSITION], w[at.ANSWER_SEQ] = FOLDED, w[at.SEQ]
    set_attributes(p, w, f)
    leave_watches(p, w)
    if w[at.SCORED]:
        _read_alone(p, w, f, end_of(w, w[at.RING_TIME + at.STAGED]), at.STAGED, w[at.SEQ])
        read_attributes(p, w, f, w[at.SEQ], 0)
        put_vector(p, f, 0, row)
    fold(p, w, f)


@inlined
def _take(p, w, f, order, raw, j):
    """Take the staged event j: known, too late or new. A record that is forgotten begins anew with it."""
    time = w[at.RING_TIME + at.STAGED]
    if is_over(p, w, time):
        end_run(p, w, f, order, raw)
        begin(p, w, time)
    w[at.DISPOSITION], w[at.ANSWER_SEQ], w[at.ANSWER_ORIGIN] = ABSENT, 0, -1
    w[at.ANSWER_OUTCOME], f[at.ANSWER_SCORE], w[at.EXACT] = 0, np.nan, 1
    slot = find(w, w[at.RING_KEY + at.STAGED])
    is_refused = slot < 0 and (is_too_late(p, w, time) or is_too_old(p, w, time))
    goes_on = slot < 0 and not is_refused and is_newest(w, time)
    if not goes_on or is_full(w) or w[at.RUN] == at.RUN_LIMIT:
        end_run(p, w, f, order, raw)
    if goes_on:
        _add_to_run(p, w, f)
    elif slot >= 0:
        _answer_duplicate(p, w, f, slot, raw[order[j]])
    elif is_refused:
        _apply_too_late(p, w, f, raw[order[j]])
    else:
        _apply_late(p, w, f, raw[order[j]])


@inlined
def _stage(p, w, f, arrivals, j):
    """Put arrival j into the slot behind the ring."""
    w[at.RING_KEY + at.STAGED], w[at.RING_TIME + at.STAGED] = arrivals.key[j], arrivals.time_us[j]
    w[at.RING_LANES + at.STAGED], w[at.RING_ORIGIN + at.STAGED] = arrivals.lanes[j], j
    w[at.RING_OUTCOME + at.STAGED], f[at.RING_SCORE + at.STAGED] = 0, np.nan
    w[at.SOURCE], w[at.SCORED] = arrivals.source[j], arrivals.scored[j]
    for value in range(p[at.VALUES]):
        f[p[at.F_VALUES] + value * at.COLUMN + at.STAGED] = arrivals.values[j, value]
    for distinct in range(p[at.DISTINCTS]):
        w[p[at.W_SLOTS] + distinct * at.COLUMN + at.STAGED] = arrivals.slots[j, distinct]
    if w[at.SOURCE] >= 0:
        for a in range(p[at.ATTRIBUTES]):
            is_set = arrivals.attribute_source[a] == w[at.SOURCE]
            f[p[at.F_STAGED] + a] = arrivals.attributes[arrivals.attribute_row[j], a] if is_set else KEEP


@inlined
def _answer(p, w, f, answers, earlier, order, j):
    """Write the answer to event j; `earlier` is the number of events of the record's former lives."""
    row, origin = order[j], w[at.ANSWER_ORIGIN]
    answers.disposition[row], answers.seq[row] = w[at.DISPOSITION], w[at.ANSWER_SEQ]
    answers.exact[row], answers.original[row] = w[at.EXACT], order[origin] if origin >= 0 else -1
    answers.stored_outcome[row], answers.stored_score[row] = w[at.ANSWER_OUTCOME], f[at.ANSWER_SCORE]
    if p[at.FORGET_US] and w[at.ANSWER_SEQ]:
        earlier[row] = w[at.SEQ] - w[at.EVICTED] - w[at.LENGTH]


@compiled
def _note_places(w, places, score_at, outcome_at):
    """Note where the scores and outcomes of this batch's events go in the packed record."""
    for i in range(w[at.LENGTH]):
        j = w[at.RING_ORIGIN + w[at.START] + i]
        if j >= 0:
            places.score_at[j], places.outcome_at[j] = score_at + 4 * i, outcome_at + i


@outermost
def fold_batch(
    p, w, f, records, arrivals, starts, read, read_at, written, written_at, written_to, order, raw, answers, earlier,
    places, states,
):  # fmt: skip
    """Unpack each of `records`, take its events (those from starts[r] to starts[r + 1]) and pack it again.

    Event j arrived as order[j]: its vector and its answer go to that row, which saves copying the largest arrays.
    Record r is written from written_at[r], the first of `records` from where the caller says, to written_to[r].
    Returns -1, or the first record that cannot be unpacked; then nothing that was written is of use.
    """
    starts_at, end = np.zeros(2, np.int64), written_at[records[0]] if records[1] else 0
    for r in range(records[0], records[1]):
        is_new = read_at[r] == read_at[r + 1]
        if is_new:
            clear(p, w)
        elif not unpack(p, w, f, read, read_at[r]):
            return r
        states.before[r] = w[at.SEQ]
        if p[at.IS_SUBJECT]:
            states.status[r] = w[at.STATUS : at.STATUS + at.STATUS_WORDS]
        if p[at.FORGET_US] and is_new and starts[r] < starts[r + 1]:
            begin(p, w, arrivals.time_us[starts[r]])
        for j in range(starts[r], starts[r + 1]):
            _stage(p, w, f, arrivals, j)
            _take(p, w, f, order, raw, j)
            _answer(p, w, f, answers, earlier, order, j)
        end_run(p, w, f, order, raw)
        forget_versions(p, w, f)
        states.after[r], written_at[r] = w[at.SEQ], end
        end = pack(p, w, f, written, end, starts_at)
        written_to[r] = end
        if p[at.IS_SUBJECT]:
            _note_places(w, places, starts_at[0], starts_at[1])
    return -1


@compiled
def capacities(p, read, read_at, starts, most):
    """Set most[r] to the most bytes that the packed record r can take."""
    for r in range(len(starts) - 1):
        size = read_at[r + 1] - read_at[r]
        ring = ring_length(read, read_at[r]) if size else 0
        most[r] = (size_bound(p, ring, size, starts[r + 1] - starts[r]) + 7) & ~7
