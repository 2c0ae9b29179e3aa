"""The Beam graph: one stage on every runner, without shuffle, state or windows.

Batches in, so that columns are columns from decode to encode. Step labels are a golden file: renaming one
breaks the in-place update of a running job.
"""

import apache_beam as beam
from apache_beam.pvalue import PCollection

from pipeline.job import coders, source
from pipeline.job.beam_options import DATAFLOW, LOCAL
from pipeline.job.job import Job
from pipeline.job.sinks import Outgoing
from pipeline.job.source import Messages
from pipeline.job.steps import Assess, Decode, Send

SOURCES = {LOCAL: source.pull, DATAFLOW: source.read}  # another runner: `source.pull_apart`


def stream(pipeline: beam.Pipeline, job: Job, runner: str) -> PCollection[None]:
    """Build the whole job: messages in; assessments, alerts and dead letters out."""
    messages = SOURCES.get(runner, source.pull_apart)(job)
    outgoing = assessed(pipeline | "Messages" >> messages, job)
    sent: PCollection[None] = outgoing | "Send" >> beam.ParDo(Send(job))
    return sent


def assessed(messages: PCollection[Messages], job: Job) -> PCollection[Outgoing]:
    """Turn batches of messages into what leaves the job. What comes out is committed."""
    coders.register()
    outgoing: PCollection[Outgoing] = (
        messages | "Decode" >> beam.ParDo(Decode(job)) | "Assess" >> beam.ParDo(Assess(job))
    )
    return outgoing
