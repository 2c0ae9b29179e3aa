"""The outcome of making topics, subscriptions, datasets, tables and views."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Provisioned:
    """One topic, subscription, dataset, table or view, and what was done with it.

    `kind` is topic, subscription, dataset, table or view; `action` is created, kept, extended, described or replaced.
    """

    kind: str
    name: str
    action: str
