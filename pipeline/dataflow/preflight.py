"""What is looked at before a job is submitted or replaced: each part with its result, all at once.

Nothing is taken for granted but what is asked for: --skip-redis-check, --allow-empty-store.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass

from google.cloud import storage as cloud_storage

from export import storage
from features.usecase import UseCase
from pipeline.bigquery import tables
from pipeline.bigquery.client import query_client
from pipeline.dataflow import jobs, update_compatibility
from pipeline.dataflow.jobs import Facts, Place
from pipeline.dataflow.settings import DataflowSettings
from pipeline.dataflow.update_compatibility import Built
from pipeline.engine.live_model import check_bundle
from pipeline.engine.start_check import check_store
from pipeline.job.job import Job
from pipeline.job.preflight import tail_of
from pipeline.pubsub.client import Publisher, Subscription
from pipeline.runtime.errors import CannotStart
from pipeline.runtime.probe import outcomes
from pipeline.stores.connect import store_of
from pipeline.stores.readiness import Warmth

TIMEOUT_S = 20.0  # for all together; BigQuery and Dataflow take a second or two
OK, FAILED, SKIPPED = "ok", "failed", "skipped"
OF_UPDATE = (
    "--update",
    "--transform_name_mapping",
)  # Beam looks for the job to replace, for ever if it has ended
Part = Callable[[], object]


@dataclass(frozen=True)
class Check:
    """What came of one part."""

    name: str
    result: str  # ok, failed, skipped
    detail: str


@dataclass(frozen=True)
class Launch:
    """All that is known of a job when it is looked at; `old` is the job it is to replace, `mapping` renames steps."""

    settings: DataflowSettings
    job: Job
    use_case: UseCase
    beam_args: tuple[str, ...]
    old: Facts | None = None
    mapping: Mapping[str, str] | None = None

    @property
    def place(self) -> Place:
        return Place(self.settings.project, self.settings.region)


@dataclass(frozen=True)
class Looked:
    """The checks, and what they found on the way."""

    checks: tuple[Check, ...]
    built: Built | None
    model: str  # the bundle in use, empty if it could not be had

    def demand(self) -> None:
        """Raises CannotStart unless all is well."""
        wrong = [f"{each.name}: {each.detail}" for each in self.checks if each.result == FAILED]
        if wrong:
            raise CannotStart("\n".join(wrong))


def look(launch: Launch) -> Looked:
    """Looks at everything that can be seen from here. Raises nothing because a part is wrong."""
    found: dict[str, object] = {}
    parts: dict[str, Part] = {**_resources(launch, found), **_of_job(launch, found)}
    checks = [Check("use case", OK, _words(launch.use_case))]
    if launch.settings.skip_redis_check:
        parts.pop("Redis")
        checks.append(Check("Redis", SKIPPED, "--skip-redis-check: neither reached nor known to be filled"))
    for each in outcomes(parts, TIMEOUT_S):
        checks.append(Check(each.name, FAILED if each.fault else OK, each.fault or each.detail))
    built = found.get("built")
    return Looked(tuple(checks), built if isinstance(built, Built) else None, str(found.get("model", "")))


def _words(use_case: UseCase) -> str:
    return f"{use_case.name}: {len(use_case.features)} features, fingerprint {use_case.fingerprint}"


def _resources(launch: Launch, found: dict[str, object]) -> dict[str, Part]:
    """What must be there already."""
    job = launch.job

    def bundle() -> str:
        loaded = check_bundle(launch.use_case, job.bundle)
        found["model"] = loaded.manifest.id
        return f"{loaded.manifest.id}, of these features"

    def topic(path: str) -> Part:
        return lambda: (Publisher().check(path), path)[1]

    return {
        "bundle": bundle,
        "subscription": lambda: (Subscription(job.subscription).check(), job.subscription)[1],
        "alerts": topic(job.alerts_topic),
        "dead letters": topic(job.dead_letters_topic),
        "tables": lambda: _tables(job),
        "Redis": lambda: _redis(launch),
        "staging": lambda: _staging(launch.settings),
    }


def _tables(job: Job) -> str:
    tables.check(query_client(job.project), job.dataset)
    return f"{job.dataset}: {', '.join(table.name for table in tables.OF_JOB)}"


def _redis(launch: Launch) -> str:
    """It can be reached from here, and has the records of these features, or is to start without."""
    job, fingerprint = launch.job, launch.use_case.fingerprint
    with closing(store_of(job)) as store:
        store.check(job.allow_eviction)
        check_store(store, launch.use_case, job.prefix, job.allow_empty_store, tail_of(job))
        filled = Warmth(store, job.prefix, launch.use_case.name).markers().get(fingerprint)
    return f"{store.address}: " + (f"has records ({filled.how}, {filled.at})" if filled else "to start cold")


def _staging(settings: DataflowSettings) -> str:
    """The bucket is there; Beam would make another one without a word."""
    name = settings.staging.removeprefix("gs://").partition("/")[0]
    if storage.is_local():
        client = cloud_storage.Client.create_anonymous_client()
    else:
        client = cloud_storage.Client(project=settings.project)
    if client.lookup_bucket(name, timeout=TIMEOUT_S, retry=None) is None:
        raise ValueError(f"found no bucket {name}; make it, or name another one with --staging")
    return settings.staging


def _of_job(launch: Launch, found: dict[str, object]) -> dict[str, Part]:
    """Whether the job may begin, or take over from the one that runs."""

    def steps() -> str:
        built = update_compatibility.build(
            launch.job, [each for each in launch.beam_args if not each.startswith(OF_UPDATE)]
        )
        found["built"] = built
        if launch.old is None:
            return f"{len(built.steps)}, Beam takes the options"
        old = update_compatibility.running_steps(jobs.whole(launch.place, launch.old.id))
        wrong = list(update_compatibility.differences(old, built.steps, launch.mapping or {}))
        if wrong:
            raise ValueError("; ".join(wrong))
        unknown = (
            ""
            if all(old.values())
            else "; coders not compared: the running job's pipeline is gone from staging"
        )
        return f"{len(built.steps)}, as in the running job{unknown}"

    if launch.old is None:
        return {"job name": lambda: _name_is_free(launch), "steps": steps}
    return {"running job": lambda: _is_ours(launch), "features": lambda: _features(launch), "steps": steps}


def _name_is_free(launch: Launch) -> str:
    other = jobs.running(launch.place, launch.settings.name)
    if other:
        raise ValueError(
            f"{other.name} ({other.id}) is {other.state} already: replace it with `riskstream update`, end it with "
            "`riskstream drain`, or give --job-name"
        )
    return f"{launch.settings.name}: free in {launch.settings.region}"


def _is_ours(launch: Launch) -> str:
    old = launch.old
    assert old is not None
    if old.state != "RUNNING":
        raise ValueError(f"{old.name} ({old.id}) is {old.state}, expected RUNNING: wait, or launch anew")
    if old.use_case != launch.use_case.name:
        raise ValueError(
            f"{old.name} ({old.id}) runs use case {old.use_case or '(none)'}, expected {launch.use_case.name}"
        )
    return f"{old.name} ({old.id}), since {old.created_at}, started with model {old.model}"


def _features(launch: Launch) -> str:
    """Other features are other keys in Redis: what the running job has counted is not in them."""
    assert launch.old is not None
    before, after = launch.old.fingerprint, launch.use_case.fingerprint
    if before == after:
        return f"the same, fingerprint {after}: records stay in use"
    change = f"fingerprint {before} becomes {after}, whose records are others"
    if launch.settings.allow_empty_store:
        return f"{change}; --allow-empty-store: every customer begins anew"
    if launch.settings.skip_redis_check:
        raise ValueError(
            f"{change}, and with --skip-redis-check nobody knows whether they are filled: fill them with "
            "`riskstream backfill` and update from where Redis can be reached, or begin anew with --allow-empty-store"
        )
    return f"{change}; they must be filled: see Redis"
