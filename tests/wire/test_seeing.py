"""What can be seen of calls: log lines, traces, and who is calling."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import pytest
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from synapse_sdk import exceptions
from synapse_sdk._version import __version__
from synapse_sdk.clients.agent import RetryPolicy

from tests.wire.faults import RELEASE, hang_up, reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.wire.conftest import OpenClient, OpenServer

FAST = RetryPolicy(backoff=0.001, reconnect=0.05)


def test_a_retry_is_one_line(
    open_client: OpenClient, open_server: OpenServer, caplog: pytest.LogCaptureFixture
) -> None:
    """At INFO there is one line a retry, with the reason and the wait, and none for calls that just work."""
    caplog.set_level(logging.INFO)
    server = open_server(reply({}, 503), hang_up, reply(RELEASE))
    open_client(server.url, retry=FAST).get_plugin_release(7)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert re.fullmatch(r"GET /plugin_releases/7: 503, trying again in 0\.00 s", lines[0])
    assert re.fullmatch(r"GET /plugin_releases/7: \w+Error, trying again in 0\.00 s", lines[1])
    assert {record.name for record in caplog.records} == {"synapse_sdk"}


def test_a_call_is_one_line(open_client: OpenClient, open_server: OpenServer, caplog: pytest.LogCaptureFixture) -> None:
    """At DEBUG there is one line an answer: method, path, status, milliseconds and attempt."""
    caplog.set_level(logging.DEBUG, logger="synapse_sdk")
    server = open_server(reply({}, 503), reply(RELEASE))
    open_client(server.url, retry=FAST).list_plugin_releases({"secret": "hidden"})
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.DEBUG]
    assert re.fullmatch(r"GET /plugin_releases/: 503 in \d+\.\d ms, attempt 1", lines[0])
    assert re.fullmatch(r"GET /plugin_releases/: 200 in \d+\.\d ms, attempt 2", lines[1])
    assert "hidden" not in caplog.text


def test_nothing_is_printed_unasked(
    open_client: OpenClient, open_server: OpenServer, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without logging set up nothing is printed."""
    open_client(open_server(reply({}, 503), reply(RELEASE)).url, retry=FAST).get_plugin_release(7)
    assert capfd.readouterr() == ("", "")


def test_the_user_agent_names_the_sdk(open_client: OpenClient, open_server: OpenServer) -> None:
    """The User-Agent names the SDK and its version."""
    server = open_server()
    open_client(server.url).get_plugin_release(7)
    assert server.requests[0].headers["user-agent"] == f"synapse-agent-sdk/{__version__}"


def test_errors_carry_the_answers_headers(open_client: OpenClient, open_server: OpenServer) -> None:
    """An error carries the answer's headers, its request id, and how many attempts were made."""
    server = open_server(reply({"detail": "no"}, 503, {"X-Request-ID": "r-1", "X-Other": "1"}))
    with pytest.raises(exceptions.ServerError) as caught:
        open_client(server.url, retry=FAST).get_plugin_release(7)
    assert (caught.value.request_id, caught.value.headers["x-other"], caught.value.attempts) == ("r-1", "1", 3)


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """OpenTelemetry's instrumentation of httpx, and what it exports."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = HTTPXClientInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    yield exporter
    instrumentor.uninstrument()
    provider.shutdown()


def test_every_attempt_is_a_span(open_client: OpenClient, open_server: OpenServer, spans: InMemorySpanExporter) -> None:
    """With OpenTelemetry's httpx instrumentation every attempt is a span, which travels to the agent."""
    server = open_server(reply({}, 503), reply(RELEASE))
    open_client(server.url, retry=FAST).get_plugin_release(7)
    finished = spans.get_finished_spans()
    assert [dict(span.attributes or {})["http.status_code"] for span in finished] == [503, 200]
    sent = [request.headers["traceparent"].split("-")[2] for request in server.requests]
    assert sent == [f"{span.context.span_id:016x}" for span in finished if span.context]
