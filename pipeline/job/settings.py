"""Settings of a job: one frozen value, which travels with the pipeline to its workers, and Beam's own options."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions, StandardOptions

from features.usecase import UseCase, parse
from pipeline.job.flink import FLINK, with_checkpoints

DATAFLOW = "DataflowRunner"
LOCAL = "FnApiRunner"
RUNNERS = {name.lower(): name for name in StandardOptions.KNOWN_RUNNER_NAMES}


@dataclass(frozen=True)
class Job:
    """The settings of a streaming job. Topics and the subscription may be short names or whole paths."""

    use_case_text: str  # the file's text travels, because workers may not see the file
    use_case_file: str  # what messages call it
    bundle: str  # root with a promoted bundle, or one bundle's folder; local or gs://
    redis_url: str
    project: str
    subscription: str = "events-riskstream"
    alerts_topic: str = "alerts"
    dead_letters_topic: str = "dead-letters"
    dataset: str = "riskstream"
    redis_secret: str = ""  # name in Secret Manager; the password itself is never in the job
    redis_ca_file: str | None = None  # local or gs://
    redis_cluster: bool = False
    redis_cert_file: str | None = None  # this client's certificate and its key; local or gs://
    redis_key_file: str | None = None
    redis_replicas: int = 0  # that must have a commit before it counts
    allow_eviction: bool = False  # Redis may drop records when it is full
    prefix: str = "riskstream"  # of keys in Redis
    batch: int = 16_000  # messages at most; the more, the more share the reading and writing of a record
    workers: int = 1  # processes on this machine; on another runner, pullers
    generation_s: float = 300.0  # how long one pipeline runs locally: Beam's runner grows with every bundle
    state: str = ".riskstream"  # folder for job.json
    metrics_port: int | None = None  # for Prometheus; each process takes the first free port from there on
    metrics_host: str = "127.0.0.1"  # where the port is opened
    allow_empty_store: bool = False  # it may start on a store that nothing has filled

    @classmethod
    def load(cls, use_case: str | Path, **settings: Any) -> Self:
        """Read a use case file and make its job. Raises OSError, UnicodeDecodeError."""
        return cls(Path(use_case).read_text(encoding="utf-8"), str(use_case), **settings)

    @property
    def use_case(self) -> UseCase:
        """The use case that the text declares. Raises BadUseCase."""
        return parse(self.use_case_text, self.use_case_file)

    def with_paths(self) -> Self:
        """Return the job with whole paths: a worker elsewhere has another working folder."""
        return replace(
            self,
            bundle=_whole(self.bundle),
            redis_ca_file=self.redis_ca_file and _whole(self.redis_ca_file),
            redis_cert_file=self.redis_cert_file and _whole(self.redis_cert_file),
            redis_key_file=self.redis_key_file and _whole(self.redis_key_file),
            subscription=_path(self.project, "subscriptions", self.subscription),
            alerts_topic=_path(self.project, "topics", self.alerts_topic),
            dead_letters_topic=_path(self.project, "topics", self.dead_letters_topic),
        )


def _whole(path: str) -> str:
    return path if "://" in path else str(Path(path).absolute())


def _path(project: str, kind: str, name: str) -> str:
    return name if "/" in name else f"projects/{project}/{kind}/{name}"


def beam_options(beam_args: Sequence[str]) -> PipelineOptions:
    """Return Beam's options for a streaming pipeline, run locally unless another runner is named."""
    options = PipelineOptions(list(beam_args))
    if runner_of(options) == FLINK:
        options = PipelineOptions(with_checkpoints(beam_args))
    standard = options.view_as(StandardOptions)
    standard.streaming = True
    standard.runner = standard.runner or LOCAL
    options.view_as(SetupOptions).save_main_session = False  # steps are in modules
    return options


def runner_of(options: PipelineOptions) -> str:
    """Return the runner's plain name, however Beam lets it be written: `flink` is FlinkRunner."""
    name = str(options.view_as(StandardOptions).runner).rpartition(".")[2]
    return RUNNERS.get(name.lower()) or RUNNERS.get(f"{name.lower()}runner") or name
