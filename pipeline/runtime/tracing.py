"""Traces: which one a message belongs to, and a span for some batches with a child for each stage.

OpenTelemetry's own variables decide: without OTEL_EXPORTER_OTLP_ENDPOINT nothing is recorded; OTEL_TRACES_SAMPLER
and its _ARG say how many batches are, one in a hundred if not set. Spans say how many and how long, never who.
"""

import os
import re
import time
from collections.abc import Iterable, Mapping
from functools import cache

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

ENDPOINT, SAMPLER = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_SAMPLER"
RATIO = 0.01  # of the batches: a few a minute
LINKS = 32  # of a span, at most
ATTRIBUTES = ("traceparent", "googclient_traceparent")  # W3C's, and what Pub/Sub's own clients write
PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
SECOND_NS = 1_000_000_000


@cache
def start() -> None:
    """Once a process: spans go where the environment says, if it says so. Raises ModuleNotFoundError."""
    if not os.environ.get(ENDPOINT):
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    sampler: Sampler | None = None if SAMPLER in os.environ else ParentBased(TraceIdRatioBased(RATIO))
    provider = TracerProvider(sampler, Resource.create({"service.name": "riskstream"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def parent_of(attributes: Mapping[str, str]) -> str:
    """A message's traceparent; empty: it has none, or not one as W3C has it."""
    header = next((attributes[name] for name in ATTRIBUTES if name in attributes), "")
    return header if PARENT.fullmatch(header) else ""


def trace_id(traceparent: str) -> str:
    """Return the trace id of a traceparent, 32 hexadecimal digits; empty for none."""
    return traceparent[3:35]


def batch(
    began_ns: int, stages: Mapping[str, tuple[int, float]], parents: Iterable[str], **facts: str | int
) -> str:
    """Record a batch that ends now; `stages` are begin (ns since 1970) and seconds by name.

    It is linked with the messages of `parents`. The traceparent of the span; empty: this batch is not recorded.
    """
    tracer = trace.get_tracer("riskstream")
    span = tracer.start_span("batch", start_time=began_ns)
    if not span.is_recording():
        return ""
    span.set_attributes(facts)
    for _, parent in zip(range(LINKS), parents, strict=False):
        span.add_link(_context(parent))
    context = trace.set_span_in_context(span)
    for name, (from_ns, spent_s) in stages.items():
        tracer.start_span(name, context, start_time=from_ns).end(from_ns + round(spent_s * SECOND_NS))
    span.end(time.time_ns())
    own = span.get_span_context()
    return f"00-{own.trace_id:032x}-{own.span_id:016x}-{own.trace_flags:02x}"


def emitted(traceparent: str, began_ns: int) -> None:
    """Record that the outputs of this span's batch have been delivered."""
    if traceparent:
        parent = trace.set_span_in_context(NonRecordingSpan(_context(traceparent)))
        trace.get_tracer("riskstream").start_span("emit", parent, start_time=began_ns).end()


def answered(parent: str, began_ns: int, status: int) -> None:
    """Record a request to the REST service that is answered now, within its caller's trace."""
    context = trace.set_span_in_context(NonRecordingSpan(_context(parent))) if parent else None
    span = trace.get_tracer("riskstream").start_span("request", context, start_time=began_ns)
    span.set_attribute("http.response.status_code", status)
    span.end()


def _context(traceparent: str) -> SpanContext:
    _, of_trace, span, flags = traceparent.split("-")
    return SpanContext(
        int(of_trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16))
    )
