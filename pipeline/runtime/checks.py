"""Checks of several parts at once, each of which may be missing, wrong or silent."""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError

from features.errors import RiskstreamError
from pipeline.runtime.errors import CannotStart

OK, FAILED, SKIPPED = "ok", "failed", "skipped"
FAULTS = (RiskstreamError, GoogleAPIError, GoogleAuthError, OSError, ValueError)


@dataclass(frozen=True)
class Check:
    """One part to look at. `look` returns the detail to report, if any, and raises one of FAULTS if it is at fault."""

    name: str
    look: Callable[[], object]


@dataclass(frozen=True)
class CheckResult:
    """The result of one check: ok, failed or skipped, with the detail or the reason."""

    name: str
    result: str
    detail: str


def run_checks(checks: Sequence[Check], timeout_s: float) -> list[CheckResult]:
    """Run all checks side by side and return their results in the same order.

    A check without an answer in time has failed; its client may go on in its thread.
    """
    answers: queue.SimpleQueue[tuple[int, CheckResult]] = queue.SimpleQueue()

    def attempt(place: int, check: Check) -> None:
        try:
            answers.put((place, CheckResult(check.name, OK, str(check.look() or ""))))
        except FAULTS as error:
            answers.put((place, CheckResult(check.name, FAILED, str(error))))

    for numbered in enumerate(checks):
        threading.Thread(target=attempt, args=numbered, daemon=True).start()
    until_s = time.monotonic() + timeout_s
    silent = f"no answer within {timeout_s:g} s; is it running, and can it be reached from here?"
    results = [CheckResult(check.name, FAILED, silent) for check in checks]
    for _ in checks:
        try:
            place, result = answers.get(timeout=max(0.0, until_s - time.monotonic()))
        except queue.Empty:
            break
        results[place] = result
    return results


def demand(results: Iterable[CheckResult]) -> None:
    """Raise CannotStart, with a line for each failed check, if there is one."""
    reasons = [f"{each.name}: {each.detail}" for each in results if each.result == FAILED]
    if reasons:
        raise CannotStart("\n".join(reasons))
