"""Spans of what an agent does, by OpenTelemetry's conventions for generative AI.

A run is an `invoke_agent` span; inside it each generation is a `chat` span, each tool call an
`execute_tool` span. A step that a crash interrupted has a span each time it is carried out, one
that is taken from its checkpoint has none. Prompts, answers, arguments, results and the texts of
errors are in no span. Without the extra `gesso[otel]`, or where nobody asked for it, a span is a
thing that does nothing.

The names are those of opentelemetry.io/docs/specs/semconv/gen-ai, which may still change; what they
have no name for is `gesso.…`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode

from ..engine import AnswerError, Request, Result, Usage
from ..tools.tool import PersonNeeded
from .log import current_run

log = logging.getLogger("gesso")

SERVICE = "gesso"
_PROVIDER = {"gen_ai.provider.name": "gesso"}
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


@contextmanager
def run_span(model: str) -> Iterator[Span]:
    """The run that this thread carries out, or the stretch of it that it does in one go; say how it
    ended with `record_state`."""
    _, agent = current_run() or ("", "")
    with _span("invoke_agent", agent, {**_PROVIDER, "gen_ai.request.model": model}) as span:
        yield span


def record_state(span: Span, state: str) -> None:
    span.set_attribute("gesso.run.state", state)
    if state in ("failed", "retrying"):
        span.set_attribute("error.type", "_OTHER")
        span.set_status(StatusCode.ERROR)


@contextmanager
def generation_span(model: str, request: Request) -> Iterator[Span]:
    """One generation; say what came of it with `record_result`."""
    attributes: dict[str, Any] = {**_PROVIDER, "gen_ai.request.model": model}
    if request.seed is not None:
        attributes["gen_ai.request.seed"] = request.seed
    if request.max_tokens is not None:
        attributes["gen_ai.request.max_tokens"] = request.max_tokens
    with _span("chat", model, attributes) as span:
        try:
            yield span
        except AnswerError as error:
            span.set_attributes(_usage(error.usage))
            raise


def record_result(span: Span, result: Result) -> None:
    span.set_attribute("gen_ai.response.finish_reasons", [result.finish_reason])
    span.set_attributes(_usage(result.usage))


@contextmanager
def tool_span(tool: str, key: str) -> Iterator[Span]:
    """One tool call that is carried out; `key` is the call's."""
    attributes = {
        "gen_ai.tool.name": tool,
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": key,
    }
    with _span("execute_tool", tool, attributes) as span:
        yield span


@contextmanager
def exporting(environment: Mapping[str, str]) -> Iterator[None]:
    """Send the spans that are made inside to where the usual `OTEL_…` variables say, by OTLP over
    HTTP; what is left is sent at the end. Nothing is sent where they name no endpoint."""
    if (
        not any(environment.get(name) for name in ENDPOINTS)
        or environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or environment.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp"
    ):
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("an OTEL_… endpoint is set: `pip install 'gesso[otel]'` to send it spans")
        yield
        return
    named = "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    named = named or bool(environment.get("OTEL_SERVICE_NAME"))
    resource = Resource.create({} if named else {"service.name": SERVICE})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()


@contextmanager
def _span(operation: str, what: str, attributes: Mapping[str, Any]) -> Iterator[Span]:
    attributes = {"gen_ai.operation.name": operation, **attributes}
    if (work := current_run()) is not None:
        attributes |= {"gen_ai.conversation.id": work[0], "gen_ai.agent.name": work[1]}
    with trace.get_tracer("gesso").start_as_current_span(
        f"{operation} {what}".rstrip(),
        kind=SpanKind.INTERNAL,  # the model and the tools are in this process
        attributes=attributes,
        record_exception=False,  # its text may be a document's
        set_status_on_exception=False,
    ) as span:
        try:
            yield span
        except PersonNeeded:
            raise  # a question is no error
        except Exception as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(StatusCode.ERROR)
            raise


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gesso.usage.canvases": usage.canvases,
        "gesso.usage.denoising_steps": usage.denoising_steps,
    }
