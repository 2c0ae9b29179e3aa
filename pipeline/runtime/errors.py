"""Errors of the parts that a job depends on; features/errors.py draws the whole family."""

from features.errors import BadInput, Mismatch, Refused, Unavailable


class PubSubUnavailable(Unavailable):
    """Pub/Sub cannot be used now."""


class PubSubRefused(Refused):
    """Pub/Sub will not do this: there is no such topic or subscription, or no permission."""


class SinkUnavailable(Unavailable):
    """BigQuery, or a push gateway, cannot be used now."""


class SinkRefused(Refused):
    """BigQuery will not take these rows: there is no such table, it has other columns, or there is no permission."""


class TableMismatch(Mismatch):
    """A table of this name exists, but is not the one declared: its rows would not fit."""


class StoreUnavailable(Unavailable):
    """The store of records cannot be used now."""


class CannotStart(Refused):
    """A job, service, repair or demo cannot start; the message has a line for each reason."""


class ColdStore(CannotStart):
    """The store has no records of these features, so a job would score every customer as a new one."""


class BadSettings(BadInput):
    """Flags or an environment file cannot be right; the message has a line for each reason."""
