"""Compatibility of graphs as Dataflow sees them: whether a new one can take over from a running one.

A step is known by its label; what waits between two steps is in the coder of the first. So labels and coders
must stay, or be mapped, for an update in place; anything else about a step may change.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.options.pipeline_options import TestOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner
from google.cloud import dataflow

from export import storage
from pipeline.job.beam_options import DATAFLOW, beam_options
from pipeline.job.graph import stream
from pipeline.job.job import Job

Steps = Mapping[str, str | None]  # label -> digest of the coders of what leaves it; None: not known


@dataclass(frozen=True)
class Built:
    """A graph as the runner has translated it."""

    pipeline: beam_runner_api_pb2.Pipeline
    job: dataflow.Job

    @property
    def steps(self) -> Steps:
        return steps_of(self.pipeline)


def build(job: Job, beam_args: Sequence[str]) -> Built:
    """Translate the graph as the runner would, without submitting. Raises ValueError for wrong options of Beam."""
    options = beam_options([*beam_args])
    options.view_as(TestOptions).dry_run = True
    runner = DataflowRunner()
    pipeline = beam.Pipeline(runner=runner, options=options)
    stream(pipeline, job, DATAFLOW)
    runner.run_pipeline(pipeline, options)
    return Built(runner.proto_pipeline, runner.job.proto)


def steps_of(pipeline: beam_runner_api_pb2.Pipeline) -> Steps:
    """Return the labels of all transforms, with their coders."""
    parts = pipeline.components

    def coders(transform: beam_runner_api_pb2.PTransform) -> str:
        outputs = sorted(transform.outputs.items())
        return " ".join(f"{tag}:{_coder(parts, parts.pcollections[id].coder_id)}" for tag, id in outputs)

    labelled = [each for each in parts.transforms.values() if is_label(each.unique_name)]
    return {each.unique_name: coders(each) for each in labelled}


def is_label(unique_name: str) -> bool:
    """Tell whether the name is a step's; Beam also lists the whole pipeline as one, with a numbered name."""
    return bool(unique_name) and not unique_name.startswith("ref_")


def _coder(parts: beam_runner_api_pb2.Components, id: str) -> str:
    """Return a digest of a coder and its components, whatever ids they have."""
    coder = parts.coders[id]
    inner = "".join(_coder(parts, each) for each in coder.component_coder_ids)
    return hashlib.sha256(coder.spec.SerializeToString() + inner.encode()).hexdigest()[:12]


def running_steps(job: dataflow.Job) -> Steps:
    """Return the steps of a running job: of its staged pipeline, or without coders if that is gone.

    Raises OSError when Cloud Storage cannot be asked.
    """
    options = job.environment.sdk_pipeline_options or {}
    try:
        staged = storage.read(options["options"]["pipelineUrl"])
    except (KeyError, FileNotFoundError):
        labels = [each.name for each in job.pipeline_description.original_pipeline_transform]
        return dict.fromkeys(labels or [each.properties["user_name"] for each in job.steps])
    return steps_of(beam_runner_api_pb2.Pipeline.FromString(staged))


def differences(old: Steps, new: Steps, mapping: Mapping[str, str]) -> Iterator[str]:
    """Yield why the new graph cannot take over from the old one. `mapping` renames steps of the old one."""
    for prefix, other in mapping.items():
        if not any(_is_in(name, prefix) for name in old):
            yield f"--map {prefix}={other}: the running job has no step {prefix}, only {', '.join(sorted(old))}"
        elif other and not any(_is_in(name, other) for name in new):
            yield f"--map {prefix}={other}: the new graph has no step {other}, only {', '.join(sorted(new))}"
    for name, coders in old.items():
        renamed = _renamed(name, mapping)
        if renamed and renamed not in new:
            yield (
                f"step {name} of the running job is not in the new graph: keep its label, or say what it is called "
                f"now: --map {name}=NEW"
            )
        elif renamed and coders is not None and new[renamed] != coders:
            yield (
                f"what leaves step {name} is encoded in another way than in the running job: what waits there could "
                "not be read. Drain the job and launch the new one instead"
            )


def _is_in(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}/")


def _renamed(name: str, mapping: Mapping[str, str]) -> str:
    """Return the present name of a step; empty if it was removed on purpose."""
    for prefix, other in mapping.items():
        if _is_in(name, prefix):
            return other + name[len(prefix) :] if other else ""
    return name
