"""The exercise: the stream is published part by part, each part meets a fault, and the job has to come through.

A fault has been recovered from when everything that was published by its end is in the records. What breaks the run
off is kept as a failure, not raised: the verdict says so.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np

from features.usecase import UseCase
from pipeline.bigquery.client import query_client
from pipeline.bigquery.schemas import ASSESSMENTS, DEAD_LETTERS
from pipeline.certification.account import (
    StreamEvidence,
    changes_of,
    read_to_the_end,
    read_views,
)
from pipeline.certification.balances import BalanceReader
from pipeline.certification.faults import FailoverFailed, FaultySystem, PlannedFault
from pipeline.certification.job_process import JobEnded, NotInTime, wait_for
from pipeline.certification.publishing import publish_over
from pipeline.certification.resources import CertificationRefused, RunPlace
from pipeline.certification.workload import NUMBER, Workload
from pipeline.pubsub.client import Publication
from pipeline.pubsub.message import Message
from pipeline.pubsub.ordered_publisher import Lanes
from pipeline.stores.integrity import DAMAGED, Integrity, described
from pipeline.stores.store import StoreDamaged

FLOW_S = 0.5  # that half of a part is published over, before its fault
LAST_LOOK_S = 60.0  # for what readers see of a run that was broken off
COUNT = "SELECT COUNT(*) FROM `{dataset}.{view}`"
BREAKS_OFF = (NotInTime, JobEnded, StoreDamaged, FailoverFailed)


@dataclass(frozen=True)
class FaultReport:
    """A fault that happened. `recovered_s` counts from its end, for a kill from the kill; None: it never did."""

    name: str
    began_at: str
    lasted_s: float
    recovered_s: float | None
    began_us: int
    ended_us: int  # of the disturbance, recovery included


@dataclass
class Exercise:
    """One run under way."""

    place: RunPlace
    use_case: UseCase
    workload: Workload
    system: FaultySystem
    balances: BalanceReader
    until_s: float  # by the monotonic clock
    progress: Callable[[str], None]
    published: int = 0
    starts: int = 1  # of the job, beside those after a kill
    faults: list[FaultReport] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _looked_s: float = 0.0

    def run(self, faults: Sequence[PlannedFault]) -> StreamEvidence:
        """Publish the stream through all faults, stop the job, and return what readers see."""
        bounds = np.linspace(0, len(self.workload.messages), len(faults) + 3).astype(int).tolist()
        parts = [self.workload.messages[first:last] for first, last in pairwise(bounds)]
        try:
            with Lanes(self.place.names.events, 1) as lanes, self.balances:
                self._begin(lanes, parts[0])
                for fault, part in zip(faults, parts[1:], strict=False):
                    self._through(fault, part, lanes)
                self._publish(lanes, parts[-1], FLOW_S)
                self._wait(self._is_counted, "all events are in the records")
            self._wait(self._is_logged, "all events are in the log")
            evidence = self._evidence(is_whole=True)
            self.system.job.stop()
            return evidence
        except BREAKS_OFF as error:
            self.failures.append(str(error))
            self.progress(f"broken off: {error}")
            self.system.job.end()
            return self._evidence(is_whole=False)

    def _begin(self, lanes: Lanes, part: Sequence[Publication]) -> None:
        self.progress("starting the job")
        self.system.job.start()
        try:
            self.system.job.wait_until_checked()
        except JobEnded as error:
            raise CertificationRefused(f"the job cannot start on these servers: {error}") from error
        self._publish(lanes, part, FLOW_S)
        self._wait(self._is_counted, "the job works")

    def _through(self, fault: PlannedFault, part: Sequence[Publication], lanes: Lanes) -> None:
        """Publish a part, half of it before the fault and half while it lasts, and wait for the recovery."""
        half = len(part) // 2
        self._publish(lanes, part[:half], FLOW_S)
        self.progress(f"{fault.name}: {fault.description}")
        duration_s = max(FLOW_S, self.system.settings.outage_s)
        rest = threading.Thread(target=self._publish, args=(lanes, part[half:], duration_s))
        began, began_s = datetime.now(UTC), time.monotonic()
        rest.start()
        try:
            with fault.inject(self.system):
                ended_s = began_s if fault.name == "kill" else time.monotonic()
        finally:
            rest.join()
        recovered_s = None
        try:
            self._wait(self._is_counted, f"{fault.name}: all events are in the records again")
            recovered_s = time.monotonic() - ended_s
            self.progress(f"{fault.name}: recovered {recovered_s:.1f} s after its end")
        finally:
            report = FaultReport(
                fault.name,
                began.isoformat(timespec="milliseconds"),
                round(ended_s - began_s, 3),
                None if recovered_s is None else round(recovered_s, 3),
                int(began.timestamp() * 1e6),
                time.time_ns() // 1_000,
            )
            self.faults.append(report)

    def _publish(self, lanes: Lanes, messages: Sequence[Publication], seconds: float) -> None:
        publish_over(lanes, messages, seconds)
        lanes.finish()
        self.published += len(messages)

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait within the run's time; the job must go on and the store be whole meanwhile. Raises BREAKS_OFF."""

        def is_met() -> bool:
            self._look_after()
            return condition()

        wait_for(is_met, what, max(0.0, self.until_s - time.monotonic()))

    def _look_after(self) -> None:
        """Start the job again if it could not start, as a supervisor does; look at the store once a second."""
        if self.system.job.has_refused():
            self.progress("the job could not start, and is started again")
            self.system.job.start()
            self.starts += 1
        self.system.job.running()
        if time.monotonic() - self._looked_s < 1.0:
            return
        self._looked_s = time.monotonic()
        use_case = self.use_case
        integrity = Integrity(self.system.store, self.place.prefix, use_case.name, use_case.fingerprint)
        state = integrity.state()
        if state and state.status == DAMAGED:
            raise StoreDamaged(f"{self.system.store.address}: {described(state)}")

    def _is_counted(self) -> bool:
        return self.balances.counted() >= self.workload.accepted(self.published)

    def _is_logged(self) -> bool:
        events, refusals = len(self.workload.transfers), len(self.workload.refusals)
        return self._rows(ASSESSMENTS.view) >= events and self._rows(DEAD_LETTERS.view) >= refusals

    def _rows(self, view: str) -> int:
        query = COUNT.format(dataset=self.place.dataset, view=view)
        ((count,),) = query_client(self.place.project).query_and_wait(query)
        return int(count)

    def _evidence(self, is_whole: bool) -> StreamEvidence:
        """Read views and topics; of a whole run until every change has its alert, and every refusal its letter."""
        self.progress("reading the log, the alerts and the dead letters")
        assessed, refused = read_views(query_client(self.place.project), self.place.dataset)
        changes, numbers = set(changes_of(self.use_case, assessed)), set(self.workload.refusals)
        names, left_s = self.place.names, self.until_s - time.monotonic()
        patience_s = max(left_s, 1.0) if is_whole else LAST_LOOK_S
        alerts = self._messages(names.alerts, "id", changes if is_whole else set(), patience_s)
        letters = self._messages(names.dead_letters, NUMBER, numbers if is_whole else set(), patience_s)
        return StreamEvidence(assessed, refused, alerts, letters)

    def _messages(self, topic: str, attribute: str, wanted: set[str], patience_s: float) -> list[Message]:
        def is_enough(messages: Sequence[Message]) -> bool:
            return wanted <= {each.attributes.get(attribute, "") for each in messages}

        return read_to_the_end(self.place.names.reader(topic), is_enough, patience_s)
