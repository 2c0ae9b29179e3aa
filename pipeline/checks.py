"""What is looked at before a pipeline is built: everything the job needs is there, reachable and of one kind.

All at once, so that it takes seconds whatever is wrong; `CannotStart` then says all of it.
"""

import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError

from export import bundle as bundles
from export.bundle import BundleMismatch
from features.usecase import BadUseCase, UseCase
from pipeline import exposition, tables
from pipeline.bigquery import query_client
from pipeline.connect import store_of
from pipeline.options import Job
from pipeline.pubsub import Publisher, PubSubRefused, PubSubUnavailable, Subscription
from pipeline.store import StoreUnavailable
from pipeline.warmth import ColdStore, Warmth

TIMEOUT_S = 6.0  # for all checks together; each answers within milliseconds when all is well

FAULTS = (
    BadUseCase,
    BundleMismatch,
    StoreUnavailable,
    ColdStore,
    PubSubUnavailable,
    PubSubRefused,
    tables.TableMismatch,
    GoogleAPIError,
    GoogleAuthError,
    OSError,
    ValueError,
)
# (setting, whether it will do, what is expected)
LIMITS: tuple[tuple[str, Callable[[Job], bool], str], ...] = (
    ("project", lambda job: bool(job.project), "the id of a Google Cloud project"),
    ("dataset", lambda job: bool(job.dataset), "the name of a BigQuery dataset"),
    ("prefix", lambda job: bool(job.prefix), "some text before keys in Redis"),
    ("batch", lambda job: 1 <= job.batch <= 20_000, "1 to 20000 messages"),
    ("workers", lambda job: 1 <= job.workers <= 64, "1 to 64 processes"),
    ("metrics_port", lambda job: job.metrics_port is None or 1 <= job.metrics_port <= 65_000, "1 to 65000"),
    ("generation_s", lambda job: job.generation_s >= 1, "at least 1 second"),
)


class CannotStart(Exception):
    """The job as told cannot run: one line for each thing that is wrong."""


@dataclass(frozen=True)
class Outcome:
    """What a part said of itself when all is well; else what is at fault."""

    name: str
    detail: str = ""
    fault: str = ""


def check(job: Job) -> None:
    """Raises CannotStart within seconds unless the job could run now."""
    wrong = [
        f"--{name.replace('_', '-')}: found {getattr(job, name)!r}, expected {expected}"
        for name, is_good, expected in LIMITS
        if not is_good(job)
    ]
    try:
        use_case = job.use_case
    except BadUseCase as error:
        wrong.append(str(error))
    if not wrong:
        found = outcomes(_parts(job.with_paths(), use_case), TIMEOUT_S)
        wrong = [f"{each.name}: {each.fault}" for each in found if each.fault]
    if wrong:
        raise CannotStart("\n".join(wrong))


def _parts(job: Job, use_case: UseCase) -> dict[str, Callable[[], object]]:
    """What to try, by what to call it."""
    parts: dict[str, Callable[[], object]] = {
        "bundle": lambda: bundles.check(bundles.load(job.bundle), use_case),
        "Redis": lambda: _check_store(job, use_case),
        "subscription": lambda: Subscription(job.subscription).check(),
        "tables": lambda: tables.check(query_client(job.project), job.dataset),
    }
    if job.metrics_port:
        host, port = job.metrics_host, job.metrics_port
        parts["metrics"] = lambda: exposition.check(host, port)
    for topic in (job.alerts_topic, job.dead_letters_topic):
        parts[f"topic {topic}"] = lambda topic=topic: Publisher().check(topic)
    return parts


def _check_store(job: Job, use_case: UseCase) -> None:
    """It can be reached, and it is not empty by mistake."""
    with closing(store_of(job, use_case)) as store:
        store.check()
        if not job.cold:
            Warmth(store, job.prefix, use_case.name).demand(use_case.fingerprint)


def note_start(job: Job) -> None:
    """A job that was told to start cold may later start again: by then there are records. Raises StoreUnavailable."""
    use_case = job.use_case
    with closing(store_of(job, use_case)) as store:
        warmth = Warmth(store, job.prefix, use_case.name)
        if use_case.fingerprint not in warmth.markers():
            warmth.mark(use_case.fingerprint, "cold", datetime.now(UTC))


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
