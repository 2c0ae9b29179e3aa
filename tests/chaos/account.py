"""The account of every event: one assessment or one dead letter, numbered without a gap, and told to everybody.

Counted here from what a reader of the views and topics sees. `pipeline.reconciliation.reconcile` then rebuilds
every record and
result from the log.
"""

from collections import Counter
from contextlib import closing
from dataclasses import dataclass

from pipeline.pubsub.client import Subscription
from pipeline.pubsub.message import Message
from pipeline.reconciliation.reconcile import Reconciliation, reconcile
from tests.chaos.job import Place
from tests.chaos.stream import Stream

ASSESSED = "SELECT event_type, event_id, customer, seq FROM `{dataset}.assessments_unique`"
REFUSED = "SELECT event_type, event_id, reason, message_id FROM `{dataset}.dead_letters_unique`"
CHANGED = """
SELECT customer, seq FROM `{dataset}.assessments_unique` WHERE level != level_before OR transition IS NOT NULL
"""


@dataclass(frozen=True)
class Account:
    """Figures of a stream that came through whole."""

    assessed: int
    refused: int
    alerts: int
    rows: int  # as appended, at least once
    without_vector: int  # assessed, but told only when it came again too late to make its vector again


def settle(place: Place, stream: Stream) -> Account:
    """Holds everything to account. The job has stopped."""
    dataset = f"{place.project}.{place.dataset}"
    assessed = [tuple(row) for row in place.query(ASSESSED.format(dataset=dataset))]
    refused = [tuple(row) for row in place.query(REFUSED.format(dataset=dataset))]
    ids = Counter((event_type, event_id) for event_type, event_id, _, _ in assessed)
    letters = {(event_type, event_id) for event_type, event_id, _, _ in refused}
    assert max(ids.values()) == 1, f"numbered twice: {[id for id, n in ids.items() if n > 1][:3]}"
    assert not ids.keys() & letters, f"assessed and refused: {sorted(ids.keys() & letters)[:3]}"
    assert ids.keys() | letters == stream.event_ids, "lost, or never published"
    assert {reason for _, _, reason, _ in refused} <= {"too_late"}
    numbers_have_no_gap([(customer, seq) for _, _, customer, seq in assessed])
    changes = {tuple(row) for row in place.query(CHANGED.format(dataset=dataset))}
    alerts = {message.attributes["id"] for message in everything(place, place.names.alerts)}
    stem = f"{place.use_case.name}:{place.use_case.fingerprint}"
    assert alerts == {f"{stem}:{customer}:{seq}" for customer, seq in changes}
    told = {m.attributes["dead_letter_message_id"] for m in everything(place, place.names.dead_letters)}
    assert told == {message_id for _, _, _, message_id in refused}
    found = reconciled(place)
    wrong = [check for check in found.checks if not check.holds]
    assert found.holds, "\n".join(map(str, wrong))
    return Account(len(ids), len(letters), len(alerts), place.rows(), found.without_vector)


def reconciled(place: Place) -> Reconciliation:
    with closing(place.store()) as store:
        return reconcile(
            place.use_case, project=place.project, dataset=place.dataset, bundle=place.bundles,
            store=store, prefix=place.project,
        )  # fmt: skip


def numbers_have_no_gap(numbered: list[tuple[str, int]]) -> None:
    """A customer's events are 1, 2, 3 ... : none was counted that nobody has heard of."""
    counts = Counter(customer for customer, _ in numbered)
    last = Counter[str]()
    for customer, seq in numbered:
        last[customer] = max(last[customer], seq)
    assert last == counts
    assert len(set(numbered)) == len(numbered)


def everything(place: Place, topic: str) -> list[Message]:
    """All messages in a topic's first subscription, acknowledged."""
    source = Subscription(place.names.reader(topic))
    found: list[Message] = []
    while place.unacknowledged(topic):
        received = source.received(source.pulling())
        source.acknowledge([one.ack_id for one in received])
        found += [one.message for one in received]
    source.close()
    return found
