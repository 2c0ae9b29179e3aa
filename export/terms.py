"""What the `policy:` section of a use case says, checked. Durations are int64 microseconds (`_us`).

    policy: {medium: {recall: 0.8}, high: {precision: 0.9}, fall: 0.8, cooldown: 24h,
             recommend: {in_a_row: 3, min_events: 5}, max_per_hour: 20}

`medium` and `high` are scores, or what training must reach with them on customers it has not seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from features.document import Node

HOUR_US = 3_600_000_000
TARGETS = ("score", "precision", "recall", "share")  # share: of all customers, those who reach the level


@dataclass(frozen=True)
class Target:
    """How a threshold is chosen: `value` of `kind`, on customers' highest scores."""

    kind: str
    value: float


@dataclass(frozen=True)
class Terms:
    """Everything of a policy but the thresholds themselves."""

    medium: Target = Target("recall", 0.8)
    high: Target = Target("precision", 0.8)
    fall: float = 0.8  # a level is kept down to this part of its threshold
    cooldown_us: int = 24 * HOUR_US  # from the last score that reached the level
    in_a_row: int = 3  # scored assessments for it before off-boarding is recommended
    min_events: int = 5  # of the subject, whatever their kind
    max_per_hour: int = 0  # recommendations of one worker; 0: no breaker


def terms(section: Mapping[str, Any], file: str = "use case") -> Terms:
    """Reads a use case's `policy`. Raises BadUseCase."""
    parts = Node(file, "policy", section).record(
        (), ("medium", "high", "fall", "cooldown", "recommend", "max_per_hour")
    )
    found: dict[str, Any] = {level: _target(parts[level]) for level in ("medium", "high") if level in parts}
    if "fall" in parts:
        found["fall"] = _share(parts["fall"])
    if "cooldown" in parts:
        found["cooldown_us"] = parts["cooldown"].duration_us()
    counts = parts["recommend"].record((), ("in_a_row", "min_events")) if "recommend" in parts else {}
    counts |= {"max_per_hour": parts["max_per_hour"]} if "max_per_hour" in parts else {}
    found |= {name: whole(node, int(name == "in_a_row")) for name, node in counts.items()}
    return Terms(**found)


def whole(node: Node, least: int) -> int:
    """A whole number of at least `least`."""
    number = node.number()
    if number != int(number) or number < least:
        node.fail(f"a whole number of at least {least}")
    return int(number)


def _share(node: Node) -> float:
    share = node.number()
    if not 0 < share <= 1:
        node.fail("above 0 and at most 1")
    return share


def _target(node: Node) -> Target:
    if not isinstance(node.value, dict):
        return Target("score", _share(node))
    parts = node.record((), TARGETS)
    if len(parts) != 1:
        node.fail(f"a number, or one of {', '.join(TARGETS)} with a number")
    ((kind, value),) = parts.items()
    return Target(kind, _share(value))
