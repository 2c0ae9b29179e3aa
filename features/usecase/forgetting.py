"""Lifetime of a record: it is kept until its entity has been silent, in event time, for longer than `forget_us`.

The subject is kept for ever unless the use case says otherwise (`forget_after`). Another entity whose features look
at windows only is kept as long as a window can still reach its events; one with attributes or features over `ever`
is kept for ever. The kernel applies the rule (kernel/lives.py); a store may drop no more than the kernel ignores.
"""

from collections.abc import Mapping

from features.kernel.plan import EVER, EntityPlan
from features.usecase.schema import EntityFeatures
from features.usecase.yaml_tree import MICROSECONDS, Node

NEVER = 0  # forget_us of a record that is kept for ever


def declared_us(
    node: Node, subject: str, by_entity: Mapping[str, EntityFeatures], lateness_us: int
) -> dict[str, int]:
    """The `forget_after` of a file by entity: a duration for the subject, or a mapping. Raises BadUseCase."""
    parts = node.record((), tuple(by_entity)) if isinstance(node.value, dict) else {subject: node}
    return {
        entity: node.attempt(_declared_us, part, by_entity[entity], lateness_us)
        for entity, part in parts.items()
    }


def _declared_us(node: Node, entity: EntityFeatures, lateness_us: int) -> int:
    forget_us, least_us = node.duration_us(), longest_window_us(entity) + lateness_us
    if forget_us < least_us:
        node.fail(
            f"at least {duration_words(least_us)}: the longest window of {entity.entity} "
            f"({duration_words(longest_window_us(entity))}) and the lateness ({duration_words(lateness_us)})"
        )
    return forget_us


def default_us(entity: EntityFeatures, is_subject: bool, lateness_us: int) -> int:
    """The silence after which a record is forgotten where the file does not say; NEVER: it is kept for ever."""
    keeps_more_than_windows = entity.attributes > 0 or any(w.length_us == EVER for _, _, w in entity.outputs)
    if is_subject or keeps_more_than_windows or not entity.outputs:
        return NEVER
    return longest_window_us(entity) + lateness_us


def longest_window_us(entity: EntityFeatures) -> int:
    """0 if the entity has no windows."""
    return max((window.length_us for _, _, window in entity.outputs), default=0)


def kept(plans: Mapping[str, EntityPlan]) -> dict[str, str]:
    """Return by entity, in words, how long a record is kept."""
    return {
        entity: f"until silent for more than {duration_words(plan.forget_us)}"
        if plan.forget_us
        else "for ever"
        for entity, plan in plans.items()
    }


def duration_words(duration_us: int) -> str:
    """A duration as a use case file writes it, in its largest units: 90d 1h."""
    parts, rest = [], duration_us
    for unit, unit_us in reversed(MICROSECONDS.items()):
        number, rest = divmod(rest, unit_us)
        parts += [f"{number}{unit}"] if number else []
    return " ".join(parts) or "0s"
