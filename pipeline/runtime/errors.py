"""Errors of the parts that a job depends on, named by what has to be done about them."""


class PubSubUnavailable(Exception):
    """Pub/Sub cannot be reached now (infrastructure). Wait and try again: nothing is lost by that."""


class PubSubRefused(Exception):
    """Pub/Sub will never do this (deployment): no such topic or subscription, or no permission."""


class SinkUnavailable(Exception):
    """BigQuery cannot be reached now (infrastructure). Wait and try again: nothing is lost by that."""


class SinkRefused(Exception):
    """BigQuery will never take these rows (deployment): no such table, other columns, no permission."""


class TableMismatch(Exception):
    """A table of this name is there, but another one (deployment): its rows would not fit."""


class StoreUnavailable(Exception):
    """The store cannot be used now (infrastructure). Wait and try again: nothing is lost by that."""


class ColdStore(Exception):
    """The store has no records of these features, and a job would score every customer as a new one."""


class CannotStart(Exception):
    """The job as told cannot run: one line for each thing that is wrong."""


class BadSettings(Exception):
    """Flags or an environment file that cannot be right: one line for each thing that is wrong."""
