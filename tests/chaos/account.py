"""A stream of a test held to account, and its figures."""

from contextlib import closing
from dataclasses import dataclass

from pipeline.bigquery.client import query_client
from pipeline.certification.account import StreamEvidence, account, failed, read_to_the_end, read_views
from pipeline.pubsub.message import Message
from pipeline.reconciliation.compare import report_lines
from pipeline.reconciliation.reconcile import Reconciliation, reconcile
from tests.chaos.job import Place
from tests.chaos.stream import Stream


@dataclass(frozen=True)
class Account:
    """Figures of a stream that came through whole."""

    assessed: int
    refused: int
    alerts: int
    rows: int  # as appended, at least once
    without_vector: int  # assessed, but its row came too late to make its vector again


def settle(place: Place, stream: Stream) -> Account:
    """Hold everything to account. The job has stopped."""
    assessed, refused = read_views(query_client(place.project), f"{place.project}.{place.dataset}")
    names = place.names
    alerts, letters = (everything(place, topic) for topic in (names.alerts, names.dead_letters))
    evidence = StreamEvidence(assessed, refused, alerts, letters)
    done = reconciled(place)
    wrong = failed((*account(place.use_case, evidence, stream.event_ids, {"too_late"}), *done.checks))
    assert not wrong, "\n".join(report_lines(wrong))
    ids = {message.attributes["id"] for message in alerts}
    return Account(len(assessed), len(refused), len(ids), place.rows(), done.without_vector)


def reconciled(place: Place) -> Reconciliation:
    with closing(place.store()) as store:
        return reconcile(
            place.use_case, project=place.project, dataset=place.dataset, bundle=place.bundles,
            store=store, prefix=place.project,
        )  # fmt: skip


def everything(place: Place, topic: str) -> list[Message]:
    """All messages in a topic's first subscription."""
    waiting = place.unacknowledged(topic)
    return read_to_the_end(place.names.reader(topic), lambda messages: len(messages) >= waiting, quiet_s=0.2)
