"""Balances of payers and payees as anybody could read them at a moment, while the job is at work.

The job writes payees before payers, in two round trips. So what a payee received and what its payers paid are apart by
the events under way in between: at most a batch for each worker and, after a kill, those of the batch that was under
way, until Pub/Sub has delivered it again. A payer is never ahead of its payee.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from features.record import BadRecord, loads, seq_of
from features.usecase import UseCase
from pipeline.certification.workload import Workload
from pipeline.reconciliation.compare import Invariant, invariant
from pipeline.runtime.errors import StoreUnavailable
from pipeline.stores.redis_store import RedisStore
from pipeline.stores.store import record_keys

SAMPLE_S = 0.05  # between two looks
RecordName = tuple[str, str]  # entity and id


class Balance(NamedTuple):
    """The number of transfers in a record, and their sum."""

    events: int
    cents: int


NO_RECORD, UNREADABLE = Balance(0, 0), Balance(-1, 0)


class ApartFigures(NamedTuple):
    """Distance between the two sides of all transfers at one moment."""

    events: int  # received and not yet paid
    cents: int
    ahead: int  # paid and not yet received, which must not be


NOT_APART = ApartFigures(0, 0, 0)


@dataclass
class BalanceReader:
    """Reads all records at one moment, again and again in a thread; `reader` is a connection beside the job's."""

    reader: RedisStore
    use_case: UseCase
    prefix: str
    groups: Mapping[str, Sequence[str]]
    samples: int = 0
    most: ApartFigures = NOT_APART
    apart_samples: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        payers = [payer for payers in self.groups.values() for payer in payers]
        self.ids = [*(("payee", id) for id in self.groups), *(("payer", id) for id in payers)]
        name, fingerprint = self.use_case.name, self.use_case.fingerprint
        self.keys = [
            key
            for entity, ids in (("payee", list(self.groups)), ("payer", payers))
            for key in record_keys(self.prefix, name, fingerprint, entity, ids)
        ]

    def __enter__(self) -> "BalanceReader":
        self._thread = threading.Thread(target=self._run, name="balances", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def counted(self) -> int:
        """Return how many events the payers have. Raises StoreUnavailable."""
        return sum(self.reader.seqs(self.keys[len(self.groups) :]))

    def balances(self) -> dict[RecordName, Balance]:
        """Return the balance of each record. Raises StoreUnavailable."""
        return self._decoded(zip(self.ids, self.reader.read(self.keys), strict=True))

    def _decoded(self, records: Iterable[tuple[RecordName, bytes | None]]) -> dict[RecordName, Balance]:
        return {(entity, id): self._balance(entity, blob) for (entity, id), blob in records}

    def _balance(self, entity: str, blob: bytes | None) -> Balance:
        if blob is None:
            return NO_RECORD
        try:
            ring = loads(self.use_case.plans[entity], blob).ring
        except BadRecord:
            return UNREADABLE
        return Balance(seq_of(blob), sum(round(100 * event.values[0]) for event in ring))

    def _run(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            try:
                self.look()
            except StoreUnavailable:  # the server may fail over
                continue

    def look(self) -> ApartFigures:
        """Take a sample. Raises StoreUnavailable."""
        records = list(zip(self.ids, self.reader.read(self.keys), strict=True))
        counts = {name: seq_of(blob) if blob else 0 for name, blob in records}
        apart = {
            payee: counts["payee", payee] - sum(counts["payer", payer] for payer in payers)
            for payee, payers in self.groups.items()
        }
        unequal = [payee for payee, events in apart.items() if events]
        figures = ApartFigures(
            sum(n for n in apart.values() if n > 0),
            self._cents_apart(records, unequal) if unequal else 0,
            -sum(n for n in apart.values() if n < 0),
        )
        self.samples += 1
        self.apart_samples += bool(unequal)
        self.most = ApartFigures(*map(max, self.most, figures))
        return figures

    def _cents_apart(self, records: Sequence[tuple[RecordName, bytes | None]], payees: Sequence[str]) -> int:
        wanted = set(payees) | {payer for payee in payees for payer in self.groups[payee]}
        balances = self._decoded((name, blob) for name, blob in records if name[1] in wanted)
        return sum(
            abs(balances["payee", payee].cents - sum(balances["payer", p].cents for p in self.groups[payee]))
            for payee in payees
        )


def moving_checks(reader: BalanceReader, bound: int) -> tuple[Invariant, ...]:
    """Check what was seen while the job was at work; `bound` is the most events that may have been under way."""
    most = reader.most
    too_far = (
        [f"{most.events:,} events were apart, expected at most {bound:,}"] if most.events > bound else []
    )
    ahead = [f"{most.ahead:,} events were paid before they were received"] if most.ahead else []
    return (
        invariant("payees are ahead of payers by no more than the events under way", reader.samples, too_far),
        invariant("no payer is ahead of its payee", reader.samples, ahead),
    )


def resting_checks(balances: Mapping[RecordName, Balance], workload: Workload) -> tuple[Invariant, ...]:
    """Compare the records at rest with plain sums over what was published."""
    expected = dict.fromkeys(balances, NO_RECORD)
    for each in workload.transfers.values():
        for name in (("payer", each.payer), ("payee", each.payee)):
            expected[name] = Balance(expected[name].events + 1, expected[name].cents + each.cents)
    wrong = (
        f"{entity} {id}: found {balances[entity, id]}, expected {balance}"
        for (entity, id), balance in expected.items()
        if balances[entity, id] != balance
    )
    sums = {
        entity: sum(b.cents for (e, _), b in balances.items() if e == entity) for entity in ("payer", "payee")
    }
    apart = (
        [f"received {sums['payee']} cents, paid {sums['payer']}"] if sums["payee"] != sums["payer"] else []
    )
    return (
        invariant("every record holds the sums of what was published, each event once", len(expected), wrong),
        invariant("what was paid and what was received sum to nought", len(workload.transfers), apart),
    )
