"""Attributes: the entity's profile, in the versions that events still in the ring were scored with.

An event sets all columns of its source when it arrives, unless that source has spoken of a later time already.
Columns that the source does not own wait as KEEP in the staged event.
"""

import numpy as np

from features.kernel.jit import compiled
from features.kernel.layout import (
    ATTRIBUTES,
    F_STAGED,
    F_VERSION,
    LENGTH,
    LOST,
    RING_SEQ,
    RING_TIME,
    SEQ,
    SOURCE,
    SOURCES,
    STAGED,
    START,
    VERSION_SEQ,
    VERSIONS,
    VERSIONS_LIMIT,
    W_VERSION_TIME,
)
from features.kernel.packing import fill

NEVER = np.iinfo(np.int64).min
KEEP = np.inf  # no attribute is infinite


@compiled
def _copy_version(p, w, f, source, target):
    w[VERSION_SEQ + target] = w[VERSION_SEQ + source]
    for s in range(p[SOURCES]):
        w[p[W_VERSION_TIME] + target * p[SOURCES] + s] = w[p[W_VERSION_TIME] + source * p[SOURCES] + s]
    for a in range(p[ATTRIBUTES]):
        f[p[F_VERSION] + target * p[ATTRIBUTES] + a] = f[p[F_VERSION] + source * p[ATTRIBUTES] + a]


@compiled
def _drop_versions(p, w, f, count):
    for i in range(count, w[VERSIONS]):
        _copy_version(p, w, f, i, i - count)
    w[VERSIONS] -= count


@compiled
def forget_versions(p, w, f):
    """Drop the versions that no event in the ring was scored with."""
    if w[VERSIONS] < 2:
        return
    oldest = w[SEQ]
    for i in range(w[START], w[START] + w[LENGTH]):
        oldest = min(oldest, w[RING_SEQ + i])
    unused = 0
    while unused + 1 < w[VERSIONS] and w[VERSION_SEQ + unused + 1] <= oldest:
        unused += 1
    if unused:
        _drop_versions(p, w, f, unused)


@compiled
def _open_version(p, w, f):
    """A copy of the newest version (or an empty one) behind it; returns its number."""
    new = w[VERSIONS]
    if new:
        _copy_version(p, w, f, new - 1, new)
    else:
        fill(w[p[W_VERSION_TIME] : p[W_VERSION_TIME] + p[SOURCES]], NEVER)
        fill(f[p[F_VERSION] : p[F_VERSION] + p[ATTRIBUTES]], np.nan)
    w[VERSION_SEQ + new] = w[SEQ]
    w[VERSIONS] = new + 1
    return new


@compiled
def set_attributes(p, w, f):
    """Take the staged event's attributes, if it has any and they are news."""
    source, time, newest = w[SOURCE], w[RING_TIME + STAGED], w[VERSIONS] - 1
    if source < 0 or (newest >= 0 and time < w[p[W_VERSION_TIME] + newest * p[SOURCES] + source]):
        return
    forget_versions(p, w, f)
    if w[VERSIONS] == VERSIONS_LIMIT:
        _drop_versions(p, w, f, 1)
        w[LOST] = 1
    new = _open_version(p, w, f)
    w[p[W_VERSION_TIME] + new * p[SOURCES] + source] = time
    for a in range(p[ATTRIBUTES]):
        if f[p[F_STAGED] + a] != KEEP:
            f[p[F_VERSION] + new * p[ATTRIBUTES] + a] = f[p[F_STAGED] + a]


@compiled
def read_attributes(p, w, f, seq, row):
    """Attributes as of `seq` into the last columns of `row`; False if that version is no longer known."""
    version = w[VERSIONS] - 1
    while version >= 0 and w[VERSION_SEQ + version] > seq:
        version -= 1
    first = len(row) - p[ATTRIBUTES]
    for a in range(p[ATTRIBUTES]):
        row[first + a] = f[p[F_VERSION] + version * p[ATTRIBUTES] + a] if version >= 0 else np.nan
    return version >= 0 or w[LOST] == 0
