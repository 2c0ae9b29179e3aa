"""Checks before a job is submitted or replaced: each part with its result, all at once.

Nothing is taken for granted but what is asked for: --skip-redis-check, --allow-empty-store.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from google.cloud.storage import Client

from export import storage
from export.bundle import Bundle
from features.usecase import UseCase
from pipeline.dataflow import jobs, update_compatibility
from pipeline.dataflow.jobs import Facts, Place
from pipeline.dataflow.settings import DataflowSettings
from pipeline.dataflow.update_compatibility import Built
from pipeline.engine import preflight
from pipeline.job.job import Job
from pipeline.job.preflight import log_end_of
from pipeline.runtime.checks import OK, SKIPPED, Check, CheckResult, run_checks

TIMEOUT_S = 20.0  # for all together; BigQuery and Dataflow take a second or two
# Beam looks for the job to replace, for ever if it has ended.
OF_UPDATE = ("--update", "--transform_name_mapping")


@dataclass(frozen=True)
class Replacement:
    """The running job that a launch replaces, and the way in which it does."""

    old: Facts
    mapping: Mapping[str, str]  # new labels of the running job's steps
    overlap: str = ""  # how long both jobs run, such as 10m; empty: the new one takes over in place


@dataclass(frozen=True)
class Launch:
    """A job to launch, or to put in the place of a running one."""

    settings: DataflowSettings
    job: Job
    use_case: UseCase
    beam_args: tuple[str, ...]
    replaces: Replacement | None = None

    @property
    def place(self) -> Place:
        return Place(self.settings.project, self.settings.region)


@dataclass(frozen=True)
class Preflight:
    """The results of all checks, the pipeline that was built for them, and the id of the bundle in use.

    `model` is empty if the bundle could not be loaded.
    """

    checks: tuple[CheckResult, ...]
    built: Built | None
    model: str


@dataclass
class Findings:
    """Values that a check leaves for others."""

    model: str = ""
    built: Built | None = None


def look(launch: Launch) -> Preflight:
    """Check everything that can be seen from here. A part that is wrong is in the results, and raises nothing."""
    findings = Findings()
    results = [CheckResult("use case", OK, _words(launch.use_case))]
    checks = _resources(launch, findings) + _of_job(launch, findings)
    if launch.settings.skip_redis_check:
        results.append(
            CheckResult("Redis", SKIPPED, "--skip-redis-check: neither reached nor known to be filled")
        )
    results += run_checks(checks, TIMEOUT_S)
    return Preflight(tuple(results), findings.built, findings.model)


def _words(use_case: UseCase) -> str:
    return f"{use_case.name}: {len(use_case.features)} features, fingerprint {use_case.fingerprint}"


def _resources(launch: Launch, findings: Findings) -> list[Check]:
    """Return the checks of what must exist already."""
    job = launch.job

    def note(bundle: Bundle) -> None:
        findings.model = bundle.manifest.id

    checks = [
        preflight.bundle(launch.use_case, job.bundle, note),
        preflight.subscription(job.subscription),
        preflight.topic(job.alerts_topic, "alerts"),
        preflight.topic(job.dead_letters_topic, "dead letters"),
        preflight.tables(job.project, job.dataset),
    ]
    if not launch.settings.skip_redis_check:
        checks.append(preflight.redis(job, launch.use_case, job.allow_empty_store, log_end_of(job)))
    return [*checks, Check("staging", lambda: _staging(launch.settings))]


def _staging(settings: DataflowSettings) -> str:
    """Check that the bucket exists: Beam would silently make another one."""
    name = settings.staging.removeprefix("gs://").partition("/")[0]
    client = Client.create_anonymous_client() if storage.is_local() else Client(project=settings.project)
    if client.lookup_bucket(name, timeout=TIMEOUT_S, retry=None) is None:
        raise ValueError(f"found no bucket {name}; make it, or name another one with --staging")
    return settings.staging


def _of_job(launch: Launch, findings: Findings) -> list[Check]:
    """Return the checks that the job may begin, or take over from the one that runs."""

    def steps() -> str:
        built = update_compatibility.build(
            launch.job, [each for each in launch.beam_args if not each.startswith(OF_UPDATE)]
        )
        findings.built = built
        replaces = launch.replaces
        if replaces is None:
            return f"{len(built.steps)}, Beam takes the options"
        if replaces.overlap:
            return f"{len(built.steps)}, not compared: nothing passes from the running job to the new one"
        old = update_compatibility.running_steps(jobs.whole(launch.place, replaces.old.id))
        wrong = list(update_compatibility.differences(old, built.steps, replaces.mapping))
        if wrong:
            raise ValueError("; ".join(wrong))
        unknown = (
            ""
            if all(old.values())
            else "; coders not compared: the running job's pipeline is gone from staging"
        )
        return f"{len(built.steps)}, as in the running job{unknown}"

    replaces = launch.replaces
    if replaces is None:
        return [Check("job name", lambda: _name_is_free(launch)), Check("steps", steps)]
    return [
        Check("running job", lambda: _is_ours(launch, replaces.old)),
        Check("features", lambda: _features(launch, replaces)),
        Check("steps", steps),
    ]


def _name_is_free(launch: Launch) -> str:
    other = jobs.running(launch.place, launch.settings.name)
    if other:
        raise ValueError(
            f"{other.name} ({other.id}) is {other.state} already: replace it with `riskstream update`, end it with "
            "`riskstream drain`, or give --job-name"
        )
    return f"{launch.settings.name}: free in {launch.settings.region}"


def _is_ours(launch: Launch, old: Facts) -> str:
    """Check that the job to be replaced runs, and runs the same use case."""
    if old.state != "RUNNING":
        raise ValueError(f"{old.name} ({old.id}) is {old.state}, expected RUNNING: wait, or launch anew")
    if old.use_case != launch.use_case.name:
        raise ValueError(
            f"{old.name} ({old.id}) runs use case {old.use_case or '(none)'}, expected {launch.use_case.name}"
        )
    return f"{old.name} ({old.id}), since {old.created_at}, started with model {old.model}"


def _features(launch: Launch, replaces: Replacement) -> str:
    """Check that other features have records: their keys in Redis are others, without the counts so far."""
    before, after = replaces.old.fingerprint, launch.use_case.fingerprint
    if before == after:
        return f"the same, fingerprint {after}: records stay in use"
    change = f"fingerprint {before} becomes {after}, whose records are others"
    if replaces.overlap:
        raise ValueError(
            f"{change}: two jobs on one subscription share its events, so both families of records would miss some. "
            "Leave out --parallel, or launch the new features on a subscription of their own (docs/release.md)"
        )
    if launch.settings.allow_empty_store:
        return f"{change}; --allow-empty-store: every customer begins anew"
    if launch.settings.skip_redis_check:
        raise ValueError(
            f"{change}, and with --skip-redis-check nobody knows whether they are filled: fill them with "
            "`riskstream backfill` and update from where Redis can be reached, or begin anew with --allow-empty-store"
        )
    return f"{change}; they must be filled: see Redis"
