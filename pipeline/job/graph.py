"""The Beam graph: one stage on every runner, without shuffle, state or windows.

Batches in, so that columns are columns from decode to encode. Step labels are a golden file: renaming one
breaks the in-place update of a running job.
"""

import apache_beam as beam

from pipeline.job import coders, source
from pipeline.job.settings import DATAFLOW, LOCAL, Job
from pipeline.job.steps import Assess, Decode, Send

SOURCES = {LOCAL: source.pull, DATAFLOW: source.read}  # another runner: `source.pull_apart`


def stream(pipeline: beam.Pipeline, job: Job, runner: str) -> beam.PCollection:
    """Messages in; assessments, alerts and dead letters out."""
    messages = SOURCES.get(runner, source.pull_apart)(job)
    return assessed(pipeline | "Messages" >> messages, job) | "Send" >> beam.ParDo(Send(job))


def assessed(messages: beam.PCollection, job: Job) -> beam.PCollection:
    """Batches of messages to what leaves the job of each; what is here is committed."""
    coders.register()
    return messages | "Decode" >> beam.ParDo(Decode(job)) | "Assess" >> beam.ParDo(Assess(job))
