"""Logging: log lines, traces and SYNAPSE_LOG."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.wire.conftest import OpenServer, Serve, sync_only
from tests.wire.faults import FAST, RELEASE, hang_up, page, reply

if TYPE_CHECKING:
    from collections.abc import Iterator


CALL = r"GET /plugin_releases/: "
ANSWERED, AGAIN = rf"{CALL}503 in \d+\.\d ms, attempt 1", rf"{CALL}503, retrying in 0\.00 s"
BROKEN, AFRESH = rf"{CALL}\w+Error in \d+\.\d ms, attempt 2", rf"{CALL}\w+Error, retrying in 0\.00 s"


@sync_only
@pytest.mark.parametrize(
    ("level", "patterns"),
    [
        ("INFO", [AGAIN, AFRESH]),
        ("DEBUG", [ANSWERED, AGAIN, BROKEN, AFRESH, rf"{CALL}200 in \d+\.\d ms, attempt 3"]),
    ],
    ids=["info", "debug"],
)
def test_what_happens_is_a_line_each(
    serve: Serve, caplog: pytest.LogCaptureFixture, level: str, patterns: list[str]
) -> None:
    """INFO logs each retry with its reason and wait; DEBUG also logs each attempt."""
    caplog.set_level(level)
    _, client = serve(reply({}, 503), hang_up, reply(RELEASE), retry=FAST)
    client.list_plugin_releases({"secret": "hidden"})
    lines = [record.getMessage() for record in caplog.records if record.name == "synapse_agent_sdk"]
    for pattern, line in zip(patterns, lines, strict=True):
        assert re.fullmatch(pattern, line)
    assert "hidden" not in " ".join(lines)


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """OpenTelemetry's httpx instrumentation and its exporter."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = HTTPXClientInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    yield exporter
    instrumentor.uninstrument()
    provider.shutdown()


def test_every_attempt_is_a_span(serve: Serve, spans: InMemorySpanExporter) -> None:
    """With OpenTelemetry's httpx instrumentation, each attempt is a span that propagates to the agent."""
    server, client = serve(reply({}, 503), reply(RELEASE), retry=FAST)
    client.get_plugin_release(7)
    finished = spans.get_finished_spans()
    assert [dict(span.attributes or {})["http.status_code"] for span in finished] == [503, 200]
    sent = [request.headers["traceparent"].split("-")[2] for request in server.requests]
    assert sent == [f"{span.context.span_id:016x}" for span in finished if span.context]


PROGRAM = """
import io, logging, sys
from synapse_agent_sdk import AgentClient, RetryPolicy
{before}
for number in range(2):
    with AgentClient({url!r}, "agent-secret", user_token="user-secret", tenant="tenant-secret", trust_env=False,
                     retry=RetryPolicy(backoff=0.001)) as client:
        {after}
        client.list_plugin_releases({{"secret": "hidden"}})
"""


def said(level: str, url: str, *, before: str = "", after: str = "") -> list[str]:
    """Return the stderr lines of a program with two clients and two calls."""
    program = PROGRAM.format(url=url, before=before, after=after)
    command = [sys.executable, "-c", program]
    environment = {**os.environ, "SYNAPSE_LOG": level}
    ended = subprocess.run(command, env=environment, text=True, capture_output=True, check=True)  # noqa: S603 - ours
    assert ended.stdout == ""
    return ended.stderr.splitlines()


def lists(open_server: OpenServer) -> str:
    """Return the URL of an agent that is busy at first."""
    return open_server(reply({}, 503), reply(page([], 0))).url


@pytest.mark.heavy
def test_the_environment_switches_the_log_on(open_server: OpenServer) -> None:
    """`SYNAPSE_LOG=debug` logs each response and retry to stderr once, however many clients exist."""
    lines = said("debug", lists(open_server))
    ends = [f"DEBUG: {ANSWERED}", f"INFO: {AGAIN}", *[rf"DEBUG: {CALL}200 in \d+\.\d ms, attempt {n}" for n in (2, 1)]]
    for end, line in zip(ends, lines, strict=True):
        assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d,\d{{3}} synapse_agent_sdk {end}", line)
    assert not any("secret" in line or "hidden" in line for line in lines)


@pytest.mark.heavy
def test_a_program_that_logs_is_not_doubled(open_server: OpenServer) -> None:
    """If the program configures logging, each line is logged once, in the program's format."""
    for place in ("before", "after"):
        said_once = said("info", lists(open_server), **{place: "logging.basicConfig(format='mine %(message)s')"})
        assert said_once == ["mine GET /plugin_releases/: 503, retrying in 0.00 s"]
    quiet = "if not number: logging.getLogger('synapse_agent_sdk').setLevel('WARNING')"
    assert said("debug", lists(open_server), after=quiet) == []


@pytest.mark.heavy
def test_what_writes_nothing_does_not_silence_the_log(open_server: OpenServer) -> None:
    """`SYNAPSE_LOG` writes to the current stderr, even if the program's handlers write nothing."""
    drops = "logging.getLogger('synapse_agent_sdk').addHandler(logging.NullHandler())"
    is_not_reached = "logging.basicConfig(); logging.getLogger('synapse_agent_sdk').propagate = False"
    restored = {"before": "sys.stderr = io.StringIO()", "after": "sys.stderr = sys.__stderr__"}
    for setup in ({"after": drops}, {"after": is_not_reached}, restored):
        (line,) = said("INFO ", lists(open_server), **setup)
        assert line.endswith("synapse_agent_sdk INFO: GET /plugin_releases/: 503, retrying in 0.00 s")


@pytest.mark.heavy
def test_an_unknown_level_is_told(open_server: OpenServer) -> None:
    """An invalid `SYNAPSE_LOG` value causes a warning, and calls still work."""
    warning, *quoted = said("verbose", lists(open_server))
    assert warning == "<string>:6: RuntimeWarning: invalid SYNAPSE_LOG 'verbose': use debug or info"
    assert [line for line in quoted if "AgentClient(" not in line] == []  # Python 3.13 quotes the program
    assert said("", lists(open_server)) == []
