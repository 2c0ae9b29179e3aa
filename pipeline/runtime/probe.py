"""Looking at several parts at once, each of which may be away, wrong or silent."""

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError

from features.errors import RiskstreamError

FAULTS = (RiskstreamError, GoogleAPIError, GoogleAuthError, OSError, ValueError)


@dataclass(frozen=True)
class Outcome:
    """What a part said of itself when all is well; else what is at fault."""

    name: str
    detail: str = ""
    fault: str = ""


def outcomes(parts: Mapping[str, Callable[[], object]], timeout_s: float) -> list[Outcome]:
    """What comes of each part, tried all at once. The clients' own retries may go on in their threads."""
    answers: queue.SimpleQueue[Outcome] = queue.SimpleQueue()

    def attempt(name: str, part: Callable[[], object]) -> None:
        try:
            answers.put(Outcome(name, str(part() or "")))
        except FAULTS as error:
            answers.put(Outcome(name, fault=str(error)))

    for name, part in parts.items():
        threading.Thread(target=attempt, args=(name, part), daemon=True).start()
    until_s = time.monotonic() + timeout_s
    silent = f"no answer within {timeout_s:g} s; is it running, and can it be reached from here?"
    found = {name: Outcome(name, fault=silent) for name in parts}
    for _ in parts:
        try:
            answer = answers.get(timeout=max(0.0, until_s - time.monotonic()))
        except queue.Empty:
            break
        found[answer.name] = answer
    return list(found.values())
