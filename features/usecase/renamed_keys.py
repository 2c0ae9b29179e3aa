"""Keys of use case files that were renamed before the first release.

An old key is a fault that names the new one and its line; what it holds is read all the same, so that one run shows
every other fault of the file.
"""

from collections.abc import Iterable, Mapping

# old key: new keys, of which the first that the section has is meant
RENAMED: Mapping[str, tuple[str, ...]] = {
    "lateness": ("allowed_lateness",),
    "tolerance": ("max_clock_skew", "max_regression"),
    "after": ("time_offset",),
    "missing": ("missing_values",),
    "true": ("true_values",),
    "false": ("false_values",),
    "longest": ("max_duration",),
    "because": ("reason",),
    "of": ("event", "numerator", "value", "per"),
    "over": ("denominator",),
    "by": ("event_id",),
    "learn": ("train",),
    "without_known": ("exclude_known_positives",),
    "margin": ("min_improvement",),
    "unfair": ("on_unfair",),
    "drifted": ("max_drifted_share",),
    "approval": ("require_approval",),
    "fall": ("exit_ratio",),
}


def renamed(key: str, known: Iterable[str]) -> str:
    """Return the new name of a key in a section that knows these keys; empty if it has none."""
    known = tuple(known)
    return next((new for new in RENAMED.get(key, ()) if new in known), "")
