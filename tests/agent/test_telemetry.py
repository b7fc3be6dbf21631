"""Spans of a run, as OpenTelemetry's own SDK collects them."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from gesso.agent import Runtime
from gesso.engine import AnswerError, EngineError, Request, Result
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from scripted import USAGE, calls, engine, says


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """A process has one provider for good."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans_of(
    project: Path, exporter: InMemorySpanExporter
) -> Iterator[Callable[..., tuple[ReadableSpan, ...]]]:
    """Run the project's agent on scripted turns; the spans that this made, in their order."""

    def run(*turns: Result | Callable[[Request], Result]) -> tuple[ReadableSpan, ...]:
        exporter.clear()
        with Runtime(project, engine=engine(*turns), listen=False) as runtime:
            runtime.load()
            runtime.run("clerk", "a private question")
        return tuple(sorted(exporter.get_finished_spans(), key=lambda span: span.start_time or 0))

    yield run
    exporter.clear()


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_run_is_a_tree_of_spans(
    spans_of: Callable[..., tuple[ReadableSpan, ...]], project: Path
) -> None:
    (project / "inbox" / "a.txt").write_text("a private document")
    read = calls(("read_file", {"path": "inbox/a.txt"}))
    save = calls(("save_record", {"company": "Brandt"}))
    run, *inside = spans_of(read, save, says("a private answer"))
    assert [span.name for span in inside] == [
        "chat scripted",
        "execute_tool read_file",
        "chat scripted",
        "execute_tool save_record",
        "chat scripted",
    ]
    assert run.name == "invoke_agent clerk"
    assert run.parent is None
    assert all(span.parent == run.context for span in inside)
    name = attributes(run)["gen_ai.conversation.id"]
    for span in (run, *inside):
        assert span.kind == SpanKind.INTERNAL
        assert span.status.status_code == StatusCode.UNSET
        assert attributes(span)["gen_ai.conversation.id"] == name
        assert attributes(span)["gen_ai.agent.name"] == "clerk"
        assert "private" not in span.to_json()
    assert attributes(run)["gen_ai.operation.name"] == "invoke_agent"
    assert attributes(run)["gen_ai.request.model"] == "scripted"
    assert attributes(run)["gesso.run.state"] == "done"
    chat = attributes(inside[0])
    assert chat["gen_ai.operation.name"] == "chat"
    assert chat["gen_ai.provider.name"] == "gesso"
    assert chat["gen_ai.request.max_tokens"] == 200_000
    assert chat["gen_ai.response.finish_reasons"] == ("tool_calls",)
    assert chat["gen_ai.usage.input_tokens"] == USAGE.prompt_tokens
    assert chat["gen_ai.usage.cache_read.input_tokens"] == USAGE.cached_tokens
    assert chat["gen_ai.usage.output_tokens"] == USAGE.output_tokens
    assert chat["gesso.usage.denoising_steps"] == USAGE.denoising_steps
    call = attributes(inside[1])
    assert call["gen_ai.operation.name"] == "execute_tool"
    assert call["gen_ai.tool.name"] == "read_file"
    assert call["gen_ai.tool.call.id"] == f"{name}/0/0"


def test_what_fails_is_an_error_without_its_text(
    spans_of: Callable[..., tuple[ReadableSpan, ...]],
) -> None:
    def broken(request: Request) -> Result:
        raise EngineError("a private prompt is too long")

    run, _, call, chat = spans_of(calls(("read_file", {"path": "private.txt"})), broken)
    for span, kind in ((run, "_OTHER"), (call, "WorkspaceError"), (chat, "EngineError")):
        assert span.status.status_code == StatusCode.ERROR
        assert attributes(span)["error.type"] == kind
        assert "private" not in span.to_json()
    assert attributes(run)["gesso.run.state"] == "failed"


def test_a_refused_answer_has_its_usage(
    spans_of: Callable[..., tuple[ReadableSpan, ...]],
) -> None:
    def refused(request: Request) -> Result:
        raise AnswerError("the answer is not valid", USAGE)

    _, chat = spans_of(refused)
    assert attributes(chat)["error.type"] == "AnswerError"
    assert attributes(chat)["gen_ai.usage.output_tokens"] == USAGE.output_tokens


def test_a_call_that_is_not_permitted_has_no_span(
    spans_of: Callable[..., tuple[ReadableSpan, ...]], write_agent: Callable[..., Path]
) -> None:
    write_agent("name: clerk\ntools: [read_file]\npermissions: {deny: [read_file]}")
    run, *chats = spans_of(calls(("read_file", {"path": "inbox/a.txt"})), says("No."))
    assert [span.name for span in chats] == ["chat scripted", "chat scripted"]
    assert attributes(run)["gesso.run.state"] == "done"


SENDER = """
import os, sys
from gesso.agent.log import in_run
from gesso.agent.telemetry import exporting, run_span
if "without" in sys.argv:
    sys.modules["opentelemetry.sdk.trace"] = None
with exporting(os.environ), in_run("clerk-1", "clerk"), run_span("sketch"):
    pass
"""


def send(*arguments: str, **variables: str) -> str:
    """What a process that makes one span says on standard error."""
    environment = {"PYTHONPATH": ":".join(sys.path), **variables}
    command = [sys.executable, "-c", SENDER, *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=True
    ).stderr


def test_spans_are_sent_to_the_endpoint_that_the_environment_names() -> None:
    received: list[ExportTraceServiceRequest] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        assert send(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) == ""
        assert send(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_TRACES_EXPORTER="none") == ""
        assert send() == ""
        without = send("without", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
        server.shutdown()
    assert "pip install 'gesso[otel]'" in without
    ((spans,),) = [request.resource_spans for request in received]
    named = {one.key: one.value.string_value for one in spans.resource.attributes}
    assert named["service.name"] == "gesso"
    assert [one.name for one in spans.scope_spans[0].spans] == ["invoke_agent clerk"]
