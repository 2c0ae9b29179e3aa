"""The `policy:` section of a use case, checked. Durations are int64 microseconds (`_us`).

    policy: {medium: {recall: 0.8}, high: {precision: 0.9}, exit_ratio: 0.8, cooldown: 24h,
             recommend: {in_a_row: 3, min_events: 5}, max_per_hour: 20}

`medium` and `high` are scores, or what training must reach with them on customers it has not seen (`Target`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from export.policy.keys import COSTS, POLICY, RECOMMEND, TARGET
from features.usecase import BadUseCase, Node, need, section

HOUR_US = 3_600_000_000
FALLING = ("recall", "share", "f_beta", "per_week")  # the more of it is asked for, the lower the threshold


@dataclass(frozen=True)
class Target:
    """The aim of a threshold: `value` of `kind`, or the least expected cost.

    Kinds: score; precision and recall at least, share (of all customers) and per_week (customers, on average) at most;
    f_beta the best there is, `value` being beta; expected_cost the least there is. `miss` is what a missed positive
    costs, or the feature that says so of each customer; `false_alarm` what a false alarm costs, in the same unit.
    """

    kind: str
    value: float = 0.0
    miss: float | str = 0.0
    false_alarm: float = 0.0

    @property
    def asked(self) -> dict[str, Any]:
        """The target as the use case has it."""
        if self.kind == "expected_cost":
            return {self.kind: {"miss": self.miss, "false_alarm": self.false_alarm}}
        return {self.kind: self.value}


@dataclass(frozen=True)
class Terms:
    """A policy without its thresholds."""

    medium: Target = Target("recall", 0.8)
    high: Target = Target("precision", 0.8)
    exit_ratio: float = 0.8  # a level is kept down to this part of its threshold
    cooldown_us: int = 24 * HOUR_US  # from the last score that reached the level
    in_a_row: int = 3  # scored assessments for it before off-boarding is recommended
    min_events: int = 5  # of the subject, whatever their kind
    max_per_hour: int = 0  # recommendations of one worker; 0: no breaker


def terms(policy: Mapping[str, Any], file: str = "use case", features: Sequence[str] | None = None) -> Terms:
    """Reads a use case's `policy`. Raises BadUseCase with every fault of it.

    A cost may be the value of one of `features`; None: they are not known, and any name is taken.
    """
    return section(file, "policy", policy).whole(lambda node: _terms(node, features))


def _terms(node: Node, features: Sequence[str] | None) -> Terms:
    parts = node.section(POLICY)
    values: dict[str, Any] = {
        level: node.attempt(_target, parts[level], features) for level in ("medium", "high") if level in parts
    }
    node.attempt(_check_order, node, **({"medium": Terms.medium, "high": Terms.high} | values))
    values |= {READ[key][0]: node.attempt(READ[key][1], part) for key, part in parts.items() if key in READ}
    if "recommend" in parts:
        values |= node.attempt(_recommend, parts["recommend"])
    return Terms(**values)


def _recommend(node: Node) -> dict[str, int]:
    parts = node.section(RECOMMEND)
    return {name: node.attempt(whole, part, int(name == "in_a_row")) for name, part in parts.items()}


def _check_order(node: Node, medium: Target, high: Target) -> None:
    """Refuse two targets in the wrong order, where both are measured alike and it is known before training."""
    need(medium, high)
    if medium.kind != high.kind or medium.value == high.value:
        return  # costs have no value: which of two lies higher is known after training
    if (medium.value > high.value) != (high.kind in FALLING):
        node.blame(
            f"high at {high.kind} {high.value:g} lies below medium at {medium.kind} {medium.value:g}, so that nobody "
            "could be MEDIUM; exchange them, or make them equal if there is to be no MEDIUM"
        )


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


def positive(node: Node) -> float:
    """A number above 0."""
    if not node.number() > 0:
        node.fail("a number above 0")
    return node.number()


def _target(node: Node, features: Sequence[str] | None) -> Target:
    if not isinstance(node.value, dict):
        return Target("score", _share(node))
    parts = node.section(TARGET)
    if len(node.entries()) != 1:
        node.fail(f"a number, or one of {', '.join((*TARGETS, 'expected_cost'))} with what is asked for")
    if not parts:
        raise BadUseCase  # the unknown name is a fault already
    ((kind, value),) = parts.items()
    return _costs(value, features) if kind == "expected_cost" else Target(kind, TARGETS[kind](value))


def _costs(node: Node, features: Sequence[str] | None) -> Target:
    parts = node.section(COSTS)
    miss = node.attempt(_miss, parts["miss"], features)
    false_alarm = node.attempt(positive, parts["false_alarm"])
    need(miss, false_alarm)
    return Target("expected_cost", miss=miss, false_alarm=false_alarm)


def _miss(node: Node, features: Sequence[str] | None) -> float | str:
    """A number, or a feature whose value is the amount at risk."""
    if not isinstance(node.value, str):
        return positive(node)
    return node.text() if features is None else node.choice(features)


# kind of target with one number: how it is read. share: of all customers, those who reach the level
TARGETS: Mapping[str, Callable[[Node], float]] = {
    "score": _share,
    "precision": _share,
    "recall": _share,
    "share": _share,
    "f_beta": positive,
    "per_week": positive,
}
# key: the term that it sets, and how it is read
READ: Mapping[str, tuple[str, Callable[[Node], Any]]] = {
    "exit_ratio": ("exit_ratio", _share),
    "cooldown": ("cooldown_us", Node.duration_us),
    "max_per_hour": ("max_per_hour", lambda node: whole(node, 0)),
}
