"""The account of a stream: one assessment or one dead letter for each event, numbered without a gap, and told to all.

It is counted here from what readers of the views and the topics see, and shares no code with the job;
`pipeline.reconciliation.reconcile` rebuilds every record and result from the log beside it.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence, Set
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from google.cloud import bigquery

from features.usecase import UseCase
from pipeline.certification.job_process import PATIENCE_S, wait_for
from pipeline.outputs.publications import Alert
from pipeline.pubsub.client import Subscription
from pipeline.pubsub.message import Message
from pipeline.pubsub.reading import pull_within
from pipeline.reconciliation.compare import Invariant, invariant
from pipeline.runtime.metrics import OF_EVENTS

QUIET_S = 2.0  # nothing for so long: there is nothing more
ASSESSED = """
SELECT event_type, event_id, customer, seq, score, level_before, level, transition, model
FROM `{dataset}.assessments_unique`
"""
REFUSED = "SELECT event_type, event_id, reason, message_id FROM `{dataset}.dead_letters_unique`"
EventName = tuple[str, str]  # event type and id


class LoggedAssessment(NamedTuple):
    """A row of the view of assessments."""

    event_type: str
    event_id: str
    customer: str
    seq: int
    score: float | None
    level_before: str
    level: str
    transition: str | None
    model: str

    @property
    def is_change(self) -> bool:
        """True if the event changed its customer, so that there must be an alert."""
        return self.level != self.level_before or self.transition is not None


class LoggedLetter(NamedTuple):
    """A row of the view of dead letters."""

    event_type: str | None
    event_id: str | None
    reason: str
    message_id: str


@dataclass(frozen=True)
class StreamEvidence:
    """The assessments and dead letters in the views, and the messages in the topics."""

    assessed: Sequence[LoggedAssessment]
    refused: Sequence[LoggedLetter]
    alerts: Sequence[Message]
    letters: Sequence[Message]


def read_views(client: bigquery.Client, dataset: str) -> tuple[list[LoggedAssessment], list[LoggedLetter]]:
    """Read both views of a dataset, given with its project. Raises GoogleAPICallError."""
    rows = client.query_and_wait(ASSESSED.format(dataset=dataset))
    letters = client.query_and_wait(REFUSED.format(dataset=dataset))
    return [LoggedAssessment(*row) for row in rows], [LoggedLetter(*row) for row in letters]


def read_to_the_end(
    subscription: str,
    is_enough: Callable[[Sequence[Message]], bool],
    patience_s: float = PATIENCE_S,
    quiet_s: float = QUIET_S,
) -> list[Message]:
    """Take messages out of a subscription, given by its path, until they are enough and no more come.

    Raises NotInTime, PubSubUnavailable, PubSubRefused.
    """
    messages: list[Message] = []
    with closing(Subscription(subscription)) as source:

        def is_read() -> bool:
            received = pull_within(source, quiet_s)
            source.acknowledge([one.ack_id for one in received])
            messages.extend(one.message for one in received)
            return not received and is_enough(messages)

        wait_for(is_read, f"all messages of {subscription}", patience_s)
    return messages


def account(
    use_case: UseCase, evidence: StreamEvidence, published: Set[EventName], may_refuse: Container[str]
) -> tuple[Invariant, ...]:
    """Hold a stream that has come to rest to account for all that was published.

    `may_refuse` are the reasons for which an event of this stream may become a dead letter.
    """
    return (
        *_events(evidence, published, may_refuse),
        *_numbers(evidence.assessed),
        *_alerts(use_case, evidence),
        _letters(evidence),
    )


def _events(
    evidence: StreamEvidence, published: Set[EventName], may_refuse: Container[str]
) -> Iterator[Invariant]:
    counts = Counter((each.event_type, each.event_id) for each in evidence.assessed)
    letters = {
        (each.event_type or "", each.event_id or "")
        for each in evidence.refused
        if each.reason in OF_EVENTS  # the others are no events
    }
    seen = counts.keys() | letters
    twice = (f"{_name(event)}: {n} numbers" for event, n in counts.items() if n > 1)
    yield invariant("no event was counted twice", len(counts), twice)
    both = (f"{_name(event)}: also refused" for event in counts.keys() & letters)
    yield invariant("no event is both assessed and a dead letter", len(counts), both)
    lost = (f"{_name(event)}: neither assessed nor refused" for event in published - seen)
    yield invariant("no event was lost", len(published), lost)
    unknown = (f"{_name(event)}: never published" for event in seen - published)
    yield invariant("no event was made up", len(seen), unknown)
    wrong = (
        f"message {one.message_id}: {one.reason}" for one in evidence.refused if one.reason not in may_refuse
    )
    yield invariant("dead letters have a reason that this stream gives", len(evidence.refused), wrong)


def _numbers(assessed: Sequence[LoggedAssessment]) -> Iterator[Invariant]:
    """Check that a customer's events are 1, 2, 3 ...: none was counted that nobody has heard of."""
    numbers: dict[str, list[int]] = {}
    for each in assessed:
        numbers.setdefault(each.customer, []).append(each.seq)
    wrong = (
        f"customer {customer}: {len(seqs)} events, the last is number {max(seqs)}"
        for customer, seqs in numbers.items()
        if sorted(seqs) != list(range(1, len(seqs) + 1))
    )
    yield invariant("the events of each customer are numbered without a gap", len(numbers), wrong)


def changes_of(use_case: UseCase, assessed: Iterable[LoggedAssessment]) -> dict[str, LoggedAssessment]:
    """Return the assessments that changed their customer, by the ids of their alerts."""
    stem = f"{use_case.name}:{use_case.fingerprint}"
    return {f"{stem}:{each.customer}:{each.seq}": each for each in assessed if each.is_change}


def _alerts(use_case: UseCase, evidence: StreamEvidence) -> Iterator[Invariant]:
    changes = changes_of(use_case, evidence.assessed)
    sent = {message.attributes.get("id", ""): message for message in evidence.alerts}
    missing = (f"{id}: no alert" for id in changes.keys() - sent.keys())
    yield invariant("every change of a customer has its alert", len(changes), missing)
    false = (f"{id}: no such change" for id in sent.keys() - changes.keys())
    yield invariant("no alert is false", len(sent), false)
    differing = (
        f"{id}: {message.data.decode(errors='replace')}"
        for message in evidence.alerts
        if (id := message.attributes.get("id", "")) in changes and not _is_alert_of(message, changes[id])
    )
    yield invariant("every copy of an alert says what the log says", len(evidence.alerts), differing)


def _is_alert_of(message: Message, row: LoggedAssessment) -> bool:
    try:
        alert = msgspec.json.decode(message.data, type=Alert)
    except msgspec.MsgspecError:
        return False
    return row[1:] == (
        alert.event_id, alert.customer, alert.seq, alert.score, alert.level_before, alert.level, alert.transition,
        alert.model,
    )  # fmt: skip


def _letters(evidence: StreamEvidence) -> Invariant:
    sent = {message.attributes.get("dead_letter_message_id", "") for message in evidence.letters}
    logged = {each.message_id for each in evidence.refused}
    wrong = (f"message {id}: only in the {'table' if id in logged else 'topic'}" for id in sent ^ logged)
    return invariant("dead letters are the same in table and topic", len(logged), wrong)


def _name(event: EventName) -> str:
    return " ".join(event)


def failed(checks: Iterable[Invariant]) -> list[Invariant]:
    """Return the checks that do not hold."""
    return [check for check in checks if not check.holds]
