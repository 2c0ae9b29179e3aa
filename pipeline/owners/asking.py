"""The asking side: a batch's events at other entities' records, sent to the workers that own these.

A worker's own share is folded here, in the thread that assesses. An owner that does not answer in time, or takes
no requests, is left alone for a while; the worker folds its events by itself.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from features.events import Batch
from pipeline.owners.answers import COLUMNS, OwnerAnswers
from pipeline.owners.exchange import Exchange, Reply
from pipeline.owners.membership import owner_of_slot, slots
from pipeline.owners.messages import (
    UNANSWERED,
    EntityEvents,
    OwnerAnswer,
    OwnerRequest,
    answer_row,
    decode_answer,
    encode,
    packed,
)
from pipeline.owners.owner import Owner
from pipeline.runtime.errors import StoreUnavailable
from pipeline.runtime.process_metrics import progress

TIMEOUT_S = 0.5  # an owner answers within some ms; a busy machine or a collection of garbage may take 0.1 s
# Other workers may write a subject while its worker waits for answers. If many do, subjects are read once more then:
# that costs less than to do their events again. These are shares of events that lost a race, lately.
LOSSES_MANY, LOSSES_FEW = 0.05, 0.01
LATELY = 0.1  # the weight of the latest batch in that share
SILENCE_S = 5.0  # a silent owner is not asked for so long: by then its lease has ended, or it is back

Mask = NDArray[np.bool_]
logger = logging.getLogger(__name__)


@dataclass
class _Question:
    """One owner's events: what it is sent, and the rows of the batch that its answer is about, by entity."""

    entities: list[EntityEvents] = field(default_factory=list)
    rows: list[NDArray[np.intp]] = field(default_factory=list)


class RecordOwners:
    """The owners of the records beside the subjects', as one worker sees them. Safe for threads."""

    def __init__(
        self,
        member: str,
        owner: Owner,
        exchange: Exchange,
        members: Callable[[], tuple[str, ...]],
        timeout_s: float = TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`owner` is this worker's side that answers, `members` tells who is there, in order."""
        self.member, self._owner, self._exchange, self._members = member, owner, exchange, members
        self._timeout_s, self._clock = timeout_s, clock
        self._silent_until_s: dict[str, float] = {}
        self._losses, self.reads_subjects_late = 0.0, False

    @property
    def is_shared(self) -> bool:
        """Tell whether other workers share the records. If not, owners are a detour."""
        return len(self._members()) > 1

    def note_losses(self, share: float) -> None:
        """Note the share of a batch's events that lost a race for their subject."""
        self._losses += LATELY * (share - self._losses)
        bound = LOSSES_FEW if self.reads_subjects_late else LOSSES_MANY
        self.reads_subjects_late = self._losses > bound

    def ask(
        self, batch: Batch, wanted: Mapping[str, Mask], known: Mask, answers: Mapping[str, OwnerAnswers]
    ) -> None:
        """Ask about the `wanted` events [n] of each entity and enter what is answered into `answers`.

        `known` [n] are the events that their subject has stored. Events without an answer stay as they are.
        """
        questions = self._questions(batch, wanted, known)
        progress.owners_asked += sum(len(rows) for each in questions.values() for rows in each.rows)
        try:
            self._leave_alone(self._exchanged(batch, questions, answers))
        except StoreUnavailable as error:
            logger.info("cannot ask the owners of records, going on without them: %s", error)
        missing = [mask & ~answers[entity].is_answered for entity, mask in wanted.items()]
        progress.owners_unanswered += sum(map(np.count_nonzero, missing))

    def _exchanged(
        self, batch: Batch, questions: Mapping[str, _Question], answers: Mapping[str, OwnerAnswers]
    ) -> set[str]:
        """Put the questions and enter the answers; return the members that gave none. Raises StoreUnavailable."""
        others = {member: each for member, each in questions.items() if member != self.member}
        address, asked = self._exchange.address(), list(others)
        self._send(address, others)
        if self.member in questions:
            mine = questions[self.member]
            _enter(batch, [(mine, self._owner.fold([OwnerRequest("", 0, 0, mine.entities)])[0])], answers)
        answered = {asked[answer.number]: answer for answer in self._collect(address, len(asked))}
        _enter(batch, [(others[member], answer) for member, answer in answered.items()], answers)
        return set(asked) - set(answered)

    def _questions(self, batch: Batch, wanted: Mapping[str, Mask], known: Mask) -> dict[str, _Question]:
        """Return the events by the member that owns their record, each member's in order of arrival."""
        members, questions = self._members(), dict[str, _Question]()
        if not members:  # Redis was away for longer than a lease
            return {}
        owners = owner_of_slot(members)
        for entity, mask in wanted.items():
            arrivals, rows = batch.arrivals[entity], np.flatnonzero(mask)
            if not len(rows):
                continue
            owner = owners[slots(entity, arrivals.ids)]  # of each record
            place, ids = _by_owner(owner, arrivals.ids)
            rows = rows[np.argsort(owner[arrivals.record[rows]], kind="stable")]
            events = packed(batch.use_case.plans[entity], arrivals, rows, known)
            events["record"] = place[arrivals.record[rows]]
            ends = np.cumsum(np.bincount(owner[arrivals.record[rows]], minlength=len(members))).tolist()
            for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
                if start < end:
                    question = questions.setdefault(members[number], _Question())
                    question.entities.append(EntityEvents(entity, ids[number], events[start:end].tobytes()))
                    question.rows.append(rows[start:end])
        return {member: each for member, each in questions.items() if not self._is_silent(member)}

    def _send(self, address: str, questions: Mapping[str, _Question]) -> None:
        """Send the questions; for whoever takes none, answer with nothing, because all answers are waited for."""
        if not questions:
            return
        expected = len(questions)
        requests = {
            member: encode(OwnerRequest(address, number, expected, each.entities))
            for number, (member, each) in enumerate(questions.items())
        }
        taken = self._exchange.send(requests)
        if len(taken) < expected:
            self._exchange.reply([Reply(address, expected, b"")] * (expected - len(taken)))

    def _collect(self, address: str, expected: int) -> list[OwnerAnswer]:
        if not expected:
            return []
        bodies = self._exchange.collect(address, expected, self._timeout_s)
        return [decode_answer(body) for body in bodies if body]

    def _is_silent(self, member: str) -> bool:
        return self._silent_until_s.get(member, 0.0) > self._clock()

    def _leave_alone(self, silent: set[str]) -> None:
        for member in silent:
            self._silent_until_s[member] = self._clock() + SILENCE_S


def _enter(
    batch: Batch, answered: Sequence[tuple[_Question, OwnerAnswer]], answers: Mapping[str, OwnerAnswers]
) -> None:
    """Enter what several owners have answered."""
    rows: dict[str, list[NDArray[np.intp]]] = {}
    bodies: dict[str, list[bytes]] = {}
    for question, answer in answered:
        for each, places, body in zip(question.entities, question.rows, answer.entities, strict=True):
            rows.setdefault(each.entity, []).append(places)
            bodies.setdefault(each.entity, []).append(body)
    for entity, some in rows.items():
        place = np.concatenate(some)
        answer_rows = np.frombuffer(b"".join(bodies[entity]), answer_row(batch.use_case.plans[entity]))
        is_answered = answer_rows["disposition"] != UNANSWERED
        if not is_answered.all():
            place, answer_rows = place[is_answered], answer_rows[is_answered]
        for name in COLUMNS:
            getattr(answers[entity], name)[place] = answer_rows[name]
        answers[entity].is_answered[place] = True


def _by_owner(owner: NDArray[np.intp], ids: tuple[str, ...]) -> tuple[NDArray[np.intp], dict[int, list[str]]]:
    """Return the place of each record among those of its owner, and the ids of each owner's records."""
    order = np.argsort(owner, kind="stable")
    numbers, first, sizes = np.unique(owner[order], return_index=True, return_counts=True)
    place = np.empty(len(ids), np.intp)
    place[order] = np.arange(len(ids)) - np.repeat(first, sizes)
    chosen = [
        [ids[r] for r in order[start : start + size].tolist()]
        for start, size in zip(first, sizes, strict=True)
    ]
    return place, dict(zip(numbers.tolist(), chosen, strict=True))
