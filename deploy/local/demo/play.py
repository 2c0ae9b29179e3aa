"""The demo from start to end: a stack, data, a model, the job, a stream, the reconciliation.

It uses nothing that exists already, neither servers named in the environment nor data of an earlier demo, and stops
what it started, however it ends, unless `keep` is set.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console

import usecases
from deploy.local import processes, stack
from deploy.local.demo import data
from deploy.local.demo.alerts import Alerts, collecting
from deploy.local.demo.interrupts import ending_on_signals, uninterrupted
from deploy.local.demo.job import DemoFailed, DemoJob, running, stop_earlier, wait_until
from deploy.local.demo.rest_service import Answers, answering, ask
from deploy.local.demo.screen import Screen, Streaming
from deploy.local.demo.summary import DemoSummary, percentile
from deploy.local.services import SERVICES
from export.registry import tracking
from export.registry.versions import Registry
from features.usecase import UseCase, load
from pipeline.bigquery import tables
from pipeline.bigquery.client import query_client
from pipeline.operations.publish_file import Published, publish
from pipeline.operations.status import backlog
from pipeline.pubsub.client import Publication, Publisher
from pipeline.pubsub.topics import Names, create
from pipeline.reconciliation.published import PublishedMessages, audit_subscription, collect
from pipeline.reconciliation.reconcile import Reconciliation, reconcile
from pipeline.runtime.folder_lock import claimed
from pipeline.stores.population import Population, population
from pipeline.stores.redis_client import Reach
from pipeline.stores.redis_store import RedisStore
from training.data import files
from training.data.replaying import replay_rows
from training.steps import TrainingOptions
from training.train import train

__all__ = ["DemoFailed", "DemoSettings", "play"]

FOLDERS = ("stack", "history", "stream", "bundles", "job")  # of the demo, made anew each time
DATASET, PREFIX = "riskstream", "riskstream"
DRAIN_TIMEOUT_S = 120.0
SEED = 1
HOUR_US = timedelta(hours=1) // timedelta(microseconds=1)


@dataclass(frozen=True)
class DemoSettings:
    """Size, pace and place of a demo; `rate` is in events a second."""

    use_case: Path = field(default_factory=lambda: usecases.find(usecases.DEFAULT))
    customers: int = 1_500
    events: int = 50_000
    rate: float = 2_500.0
    folder: Path = Path("build/demo")
    keep: bool = False


@dataclass(frozen=True)
class Stage:
    """The parts that the stream runs on."""

    settings: DemoSettings
    use_case: UseCase
    names: Names
    redis_url: str

    @property
    def bundles(self) -> Path:
        return self.settings.folder / "bundles"


def play(settings: DemoSettings, console: Console) -> DemoSummary:
    """Run the demo and return its summary.

    Raises FolderInUse, DemoFailed, StackError, and what its parts raise; everything is stopped then as well.
    """
    screen, began_s = Screen(console), time.monotonic()
    with (
        claimed(settings.folder, "demo", "wait for its end, or give this demo another --folder"),
        ending_on_signals(),
        ExitStack() as at_end,
    ):
        clear_folder(settings.folder)
        kernel = at_end.enter_context(compiling())
        with screen.step("starting Redis, Pub/Sub and BigQuery on this machine"):
            environment = at_end.enter_context(separate_stack(settings.folder / "stack", settings.keep))
        use_case, project = load(settings.use_case), environment["GOOGLE_CLOUD_PROJECT"]
        stage = Stage(settings, use_case, Names(project, use_case.name), environment["REDIS_URL"])
        learn(stage, kernel, screen)
        with screen.step("making topics, subscriptions, tables and views"):
            create(stage.names)
            tables.create(query_client(project), DATASET)
        with screen.step("starting the job: riskstream run"):
            folder = settings.folder / "job"
            job = at_end.enter_context(running(folder, settings.use_case, stage.bundles, settings.keep))
        return stream(stage, job, screen, began_s)


def clear_folder(folder: Path) -> None:
    """Stop and remove an earlier demo."""
    stop_earlier(folder / "job")
    stack.down(folder / "stack")
    for name in FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)


@contextmanager
def separate_stack(folder: Path, keep: bool) -> Iterator[dict[str, str]]:
    """Start a new stack for this process and those that it starts, whatever the environment named before."""
    before = dict(os.environ)
    os.environ.pop(tracking.URI, None)
    for service in SERVICES:
        for name in service.environment((0,) * service.ports):
            os.environ.pop(name, None)
    try:
        with uninterrupted():
            environment = dict(stack.up(folder).environment)
        os.environ.update(environment)
        yield environment
    finally:
        if not keep:
            with uninterrupted():
                stack.down(folder)
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def compiling() -> Iterator[subprocess.Popen[bytes]]:
    """Compile the kernel in the background: that takes a minute the first time, and nothing later."""
    command = processes.python_module("features.kernel")
    with subprocess.Popen(command, cwd=processes.ROOT) as compiler:
        try:
            yield compiler
        finally:
            compiler.kill()


def learn(stage: Stage, kernel: subprocess.Popen[bytes], screen: Screen) -> None:
    """Train the first bundle on customers who lived before the stream."""
    use_case, settings = stage.use_case, stage.settings
    with screen.step("generating customers and their history to learn from"):
        history = data.make_history(settings.folder / "history", settings.customers)
        rows = files.read_all(use_case, history, time.time_ns() // 1_000)
    with screen.step("compiling the feature kernel (the first time a minute)"):
        kernel.wait()
    with screen.step("computing their features"):
        replayed = list(replay_rows(use_case, rows))
    with screen.step(f"a model of {len(rows):,} events, its thresholds, its ONNX"):
        registry = Registry(str(stage.bundles), use_case.name, new=True)
        options = TrainingOptions(seed=SEED, created_at=datetime.now(UTC))
        train(
            use_case, replayed, registry, options, allow_no_signal=True
        )  # a demo of few customers streams too


def stream(stage: Stage, job: DemoJob, screen: Screen, began_s: float) -> DemoSummary:
    """Publish the stream, wait until everything is assessed, reconcile, and return the summary."""
    settings, names = stage.settings, stage.names
    with screen.step("generating the stream"):
        files = data.make_stream(settings.folder / "stream", settings.customers, settings.events)
    with (
        audit_subscription(names.project, names.events) as events_seen,
        audit_subscription(names.project, names.alerts) as alerts_seen,
        collecting(alerts_seen) as alerts,
        ExitStack() as at_end,
    ):
        with screen.step("publishing the customers' profiles"):
            publish_profiles(stage, files)
            drain(stage, job, "the profiles are not assessed")
        view = Streaming(job, alerts, total=files.rows)
        with (
            screen.step(f"streaming {files.rows:,} events, {settings.rate:,.0f} a second"),
            screen.live(view),
        ):
            published = publish_transactions(stage, files, view, screen)
            drain(stage, job, "its last events are not assessed")
            publish_last(stage, files, alerts)
            drain(stage, job, "the last messages are not dealt with")
        with screen.step("starting the REST service: riskstream serve"):
            service = at_end.enter_context(
                answering(settings.folder / "job", settings.use_case, stage.bundles)
            )
        with screen.step("asking it for the stream's last events, one by one"):
            answers = ask(service, stage.use_case, files.asked)
            drain(stage, job, "events that the REST service has assessed are not in the log")
        with screen.step("collecting what was published"):
            sent = PublishedMessages.of(stage.use_case, collect(events_seen))
        with screen.step("reconciling Pub/Sub, BigQuery and Redis"):
            reconciliation = reconciled(stage, sent)
    customers = redis_population(stage)
    return summary(sent, reconciliation, alerts, published, answers, customers, time.monotonic() - began_s)


def publish_profiles(stage: Stage, files: data.StreamFiles) -> None:
    """Publish the profiles of all customers."""
    topic, project = stage.names.events, stage.names.project
    publish(stage.use_case, [files.users], topic, project, dated_us=files.profiles_us)


def publish_transactions(stage: Stage, files: data.StreamFiles, view: Streaming, screen: Screen) -> Published:
    """Publish the transactions in the order of the file, which is not quite that of their times."""

    def progress(_stage: str, done: int, _total: int | None) -> None:
        view.published = done
        screen.show(view)

    return publish(
        stage.use_case, [files.transactions], stage.names.events, stage.names.project,
        rate=stage.settings.rate, in_file_order=True, progress=progress,
    )  # fmt: skip


def publish_last(stage: Stage, files: data.StreamFiles, alerts: Alerts) -> None:
    """Publish unusable messages, and an analyst's override of a customer who has just been alerted."""
    messages: list[Publication] = data.bad_messages(files)
    high = [seen.alert for seen in alerts.latest(len(alerts.by_id)) if seen.alert.level == "HIGH"]
    if high:
        at_us = int(datetime.fromisoformat(high[-1].event_time).timestamp() * 1e6) + HOUR_US
        messages.append(data.override(high[-1].customer, at_us))
    publisher = Publisher()
    publisher.publish(stage.names.events, messages)
    publisher.close()


def drain(stage: Stage, job: DemoJob, otherwise: str) -> None:
    """Wait until the job has acknowledged everything. Raises DemoFailed."""
    reader = stage.names.reader(stage.names.events).rpartition("/")[2]

    def is_drained() -> bool:
        job.status()
        waiting = backlog(stage.names.project, stage.use_case.name)
        return all(each.messages == 0 for each in waiting if each.subscription == reader)

    wait_until(is_drained, DRAIN_TIMEOUT_S, f"{otherwise}; see {job.log}")


def reconciled(stage: Stage, sent: PublishedMessages) -> Reconciliation:
    """Compare what was published with BigQuery and Redis."""
    store = RedisStore(stage.redis_url)
    try:
        return reconcile(
            stage.use_case, project=stage.names.project, dataset=DATASET, bundle=str(stage.bundles), store=store,
            prefix=PREFIX, sent=sent,
        )  # fmt: skip
    finally:
        store.close()


def redis_population(stage: Stage) -> Population:
    """Return how many customers Redis holds, and their size."""
    use_case = stage.use_case
    stem = f"{PREFIX}:{use_case.name}:{use_case.fingerprint}:{use_case.subject}:"
    return population(Reach(stage.redis_url), stem)


def summary(
    sent: PublishedMessages,
    reconciliation: Reconciliation,
    alerts: Alerts,
    published: Published,
    answers: Answers,
    customers: Population,
    seconds: float,
) -> DemoSummary:
    """Put the figures of a demo together."""
    after_ms = [seen.after_ms for seen in alerts.by_id.values()]
    return DemoSummary(
        messages=sent.messages,
        events=len(sent.events),
        assessments=reconciliation.events,
        repeated_rows=reconciliation.rows - reconciliation.events,
        alerts=alerts.kinds,
        dead_letters=reconciliation.dead_letters,
        events_per_s=published.events_per_s,
        alert_p50_ms=percentile(after_ms, 0.5),
        alert_p99_ms=percentile(after_ms, 0.99),
        answers=len(answers.after_ms),
        answer_p50_ms=percentile(answers.after_ms, 0.5),
        answer_p99_ms=percentile(answers.after_ms, 0.99),
        highest_answer=str(answers),
        customers=customers.looked_at,
        redis_bytes_per_customer=customers.bytes_per_customer,
        model=alerts.latest(1)[0].alert.model if alerts.by_id else "",
        seconds=seconds,
        reconciliation=reconciliation,
    )
