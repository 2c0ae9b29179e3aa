"""Beam's own options for a streaming job."""

from collections.abc import Sequence

from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions, StandardOptions

from pipeline.job.flink import FLINK, with_checkpoints

DATAFLOW = "DataflowRunner"
LOCAL = "FnApiRunner"
RUNNERS = {name.lower(): name for name in StandardOptions.KNOWN_RUNNER_NAMES}


def beam_options(beam_args: Sequence[str]) -> PipelineOptions:
    """Return Beam's options: a streaming pipeline, locally unless another runner is named."""
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
