"""Attributes: the entity's profile, in the versions that events of the ring were scored with.

An event sets all columns of its source, unless that source has already set them at a later event time. Columns of
other sources are KEEP in the staged event.
"""

import numpy as np

from features.kernel import layout as at
from features.kernel.jit import compiled
from features.kernel.packing import fill

NEVER = np.iinfo(np.int64).min
KEEP = np.inf  # no attribute is infinite


@compiled
def _copy_version(p, w, f, source, target):
    """Copy version number `source` to number `target`."""
    w[at.VERSION_SEQ + target] = w[at.VERSION_SEQ + source]
    for s in range(p[at.SOURCES]):
        w[p[at.W_VERSION_TIME] + target * p[at.SOURCES] + s] = w[
            p[at.W_VERSION_TIME] + source * p[at.SOURCES] + s
        ]
    for a in range(p[at.ATTRIBUTES]):
        f[p[at.F_VERSION] + target * p[at.ATTRIBUTES] + a] = f[
            p[at.F_VERSION] + source * p[at.ATTRIBUTES] + a
        ]


@compiled
def _drop_versions(p, w, f, count):
    """Drop the `count` oldest versions."""
    for i in range(count, w[at.VERSIONS]):
        _copy_version(p, w, f, i, i - count)
    w[at.VERSIONS] -= count


@compiled
def forget_versions(p, w, f):
    """Drop the versions that no event of the ring was scored with."""
    if w[at.VERSIONS] < 2:
        return
    oldest = w[at.SEQ]
    for i in range(w[at.START], w[at.START] + w[at.LENGTH]):
        oldest = min(oldest, w[at.RING_SEQ + i])
    unused = 0
    while unused + 1 < w[at.VERSIONS] and w[at.VERSION_SEQ + unused + 1] <= oldest:
        unused += 1
    if unused:
        _drop_versions(p, w, f, unused)


@compiled
def _open_version(p, w, f):
    """Append a copy of the newest version, or an empty one; return its number."""
    new = w[at.VERSIONS]
    if new:
        _copy_version(p, w, f, new - 1, new)
    else:
        fill(w[p[at.W_VERSION_TIME] : p[at.W_VERSION_TIME] + p[at.SOURCES]], NEVER)
        fill(f[p[at.F_VERSION] : p[at.F_VERSION] + p[at.ATTRIBUTES]], np.nan)
    w[at.VERSION_SEQ + new] = w[at.SEQ]
    w[at.VERSIONS] = new + 1
    return new


@compiled
def set_attributes(p, w, f):
    """Take the attributes of the staged event, if it has any and its source has no later ones."""
    source, time, newest = w[at.SOURCE], w[at.RING_TIME + at.STAGED], w[at.VERSIONS] - 1
    if source < 0 or (newest >= 0 and time < w[p[at.W_VERSION_TIME] + newest * p[at.SOURCES] + source]):
        return
    forget_versions(p, w, f)
    if w[at.VERSIONS] == at.VERSIONS_LIMIT:
        _drop_versions(p, w, f, 1)
        w[at.LOST] = 1
    new = _open_version(p, w, f)
    w[p[at.W_VERSION_TIME] + new * p[at.SOURCES] + source] = time
    for a in range(p[at.ATTRIBUTES]):
        if f[p[at.F_STAGED] + a] != KEEP:
            f[p[at.F_VERSION] + new * p[at.ATTRIBUTES] + a] = f[p[at.F_STAGED] + a]


@compiled
def read_attributes(p, w, f, seq, e):
    """Write the attributes as of `seq` into the vector of event e of the run; return whether they are still known."""
    version = w[at.VERSIONS] - 1
    while version >= 0 and w[at.VERSION_SEQ + version] > seq:
        version -= 1
    first = p[at.F_VECTOR] + (e + 1) * p[at.COLUMNS] - p[at.ATTRIBUTES]
    for a in range(p[at.ATTRIBUTES]):
        f[first + a] = f[p[at.F_VERSION] + version * p[at.ATTRIBUTES] + a] if version >= 0 else np.nan
    return version >= 0 or w[at.LOST] == 0
