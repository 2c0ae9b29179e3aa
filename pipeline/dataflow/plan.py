"""The plan of a launch: Beam's options, labels and checks, to read before anything happens."""

import json
import os
import platform
from dataclasses import asdict, dataclass, replace
from typing import Any

import apache_beam

from features.usecase import UseCase, kept
from pipeline.dataflow import jobs, preflight
from pipeline.dataflow.preflight import Launch, Preflight, Replacement
from pipeline.dataflow.settings import AT_LEAST_ONCE, MODES, DataflowSettings, TemplateSettings
from pipeline.job.beam_options import DATAFLOW
from pipeline.job.job import Job
from pipeline.job.settings import JobSettings
from pipeline.runtime.settings import declared


@dataclass(frozen=True)
class Plan:
    """A launch with the results of its checks."""

    launch: Launch
    preflight: Preflight

    def facts(self) -> dict[str, Any]:
        """Return the plan for JSON."""
        settings, built, replaces = self.launch.settings, self.preflight.built, self.launch.replaces
        return {
            "job_name": settings.name,
            "replaces": replaces and asdict(replaces.old),
            "overlap": replaces.overlap if replaces else "",
            "use_case": self.launch.use_case.name,
            "fingerprint": self.launch.use_case.fingerprint,
            "model": self.preflight.model,
            "settings": asdict(settings),
            "resources": {
                name: getattr(self.launch.job, name)
                for name in ("subscription", "alerts_topic", "dead_letters_topic")
            },
            "steps": sorted(built.steps) if built else [],
            "beam": list(self.launch.beam_args),
            "notes": self.notes(),
            "checks": [asdict(each) for each in self.preflight.checks],
        }

    def notes(self) -> dict[str, str]:
        """Return the consequences of the settings, without a price."""
        settings, replaces = self.launch.settings, self.launch.replaces
        overlap = replaces.overlap if replaces else ""
        return {
            **({"parallel": f"both jobs run for {overlap}, then the old one is drained"} if overlap else {}),
            "mode": f"{settings.mode}: {MODES[settings.mode]}",
            "workers": f"{settings.min_workers} to {settings.max_workers} of {settings.machine_type}, "
            + ("public addresses" if settings.public_ips else "private addresses only"),
            "records": ", ".join(
                f"{entity} {words}" for entity, words in kept(self.launch.use_case.plans).items()
            ),
            "image": f"must have Python {'.'.join(platform.python_version_tuple()[:2])} and Beam "
            f"{apache_beam.__version__}, as here",
        }


def launch_of(settings: DataflowSettings, replaces: Replacement | None = None) -> Launch:
    """Return the launch of a new job, or of one that replaces a running job. Raises BadUseCase."""
    job = job_of(settings)
    use_case = job.use_case
    return Launch(settings, job, use_case, beam_args(settings, use_case, replaces), replaces)


def job_of(settings: TemplateSettings) -> Job:
    """Return what travels to the workers, with whole paths. Raises BadUseCase, BadSettings."""
    given = {each.name: getattr(settings, each.name) for each in declared(JobSettings)}
    return Job.load(settings.use_case_file, **given).with_paths()


def plan(launch: Launch) -> Plan:
    """Check a launch, and give it the model's label."""
    checked = preflight.look(launch)
    label = f"--labels=model={checked.model.lower()}"
    return Plan(replace(launch, beam_args=(*launch.beam_args, label)), checked)


def beam_args(
    settings: DataflowSettings, use_case: UseCase, replaces: Replacement | None = None
) -> tuple[str, ...]:
    """Return Beam's options. Streaming Engine is named, although every streaming job in Python has it."""
    staging = settings.staging.rstrip("/")
    flags = {
        "runner": DATAFLOW, "project": settings.project, "region": settings.region, "job_name": settings.name,
        "staging_location": f"{staging}/staging", "temp_location": f"{staging}/temp",
        "service_account_email": settings.service_account, "network": settings.network,
        "subnetwork": _subnetwork(settings), "machine_type": settings.machine_type,
        "num_workers": settings.min_workers, "max_num_workers": settings.max_workers,
        "autoscaling_algorithm": "THROUGHPUT_BASED", "sdk_container_image": settings.image,
        "sdk_location": "container",
        "transform_name_mapping": json.dumps(dict(replaces.mapping)) if replaces and replaces.mapping else "",
    }  # fmt: skip
    labels = {**settings.labels, **own_labels(use_case)}
    return (
        *(f"--{name}={value}" for name, value in flags.items() if value),
        *(f"--dataflow_service_options={each}" for each in _service_options(settings, replaces)),
        *(f"--labels={key}={value}" for key, value in sorted(labels.items())),
        "--use_public_ips" if settings.public_ips else "--no_use_public_ips",
        "--enable_streaming_engine",
        "--experiments=disable_logging_submission_environment",  # the image has its own; listing ours takes seconds
        *(["--update"] if replaces else []),
        *_local(),
    )


def _service_options(settings: DataflowSettings, replaces: Replacement | None) -> list[str]:
    """Return the options of the Dataflow service, some of which have no flag of Beam's."""
    options = [f"min_num_workers={settings.min_workers}"]
    if settings.mode == AT_LEAST_ONCE:
        options.append("streaming_mode_at_least_once")
    if replaces and replaces.overlap:
        options += [
            "update_strategy_parallel_job_update",
            f"parallel_replace_job_min_parallel_pipelines_duration={replaces.overlap}",
        ]
    return options


def own_labels(use_case: UseCase) -> dict[str, str]:
    """Return the labels by which `riskstream jobs` knows a job."""
    return {"riskstream": "job", "use_case": use_case.name.lower(), "fingerprint": use_case.fingerprint}


def _subnetwork(settings: DataflowSettings) -> str:
    name = settings.subnetwork
    return name if "/" in name else f"regions/{settings.region}/subnetworks/{name}"


def _local() -> list[str]:
    """Return the options for a local Dataflow, which asks for no credentials."""
    url = os.environ.get(jobs.EMULATOR)
    return [f"--dataflow_endpoint={url}", "--no_auth"] if url else []
