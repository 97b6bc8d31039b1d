"""What can be seen of calls: log lines, traces, and who is calling."""

from __future__ import annotations

import logging
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
from synapse_sdk import exceptions
from synapse_sdk._version import __version__
from synapse_sdk.clients.agent import RetryPolicy

from tests.wire.faults import RELEASE, hang_up, page, reply

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


PROGRAM = """
import io, logging, sys
from synapse_sdk.clients.agent import AgentClient, RetryPolicy
{before}
for number in range(2):
    with AgentClient({url!r}, "agent-secret", user_token="user-secret", tenant="tenant-secret", trust_env=False,
                     retry=RetryPolicy(backoff=0.001)) as client:
        {after}
        client.list_plugin_releases({{"secret": "hidden"}})
"""


def said(level: str, url: str, *, before: str = "", after: str = "") -> list[str]:
    """What a program with two clients and two calls writes to stderr, line by line."""
    program = PROGRAM.format(url=url, before=before, after=after)
    command = [sys.executable, "-c", program]
    environment = {**os.environ, "SYNAPSE_LOG": level}
    ended = subprocess.run(command, env=environment, text=True, capture_output=True, check=True)  # noqa: S603 - ours
    assert ended.stdout == ""
    return ended.stderr.splitlines()


def lists(open_server: OpenServer) -> str:
    """The URL of an agent that is busy at first."""
    return open_server(reply({}, 503), reply(page([], 0))).url


def test_the_environment_switches_the_log_on(open_server: OpenServer) -> None:
    """With SYNAPSE_LOG=debug each answer and each retry is one line on stderr, however many clients there are."""
    lines = said("debug", lists(open_server))
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"
    call = r"GET /plugin_releases/"
    assert len(lines) == 4
    assert re.fullmatch(rf"{time} synapse_sdk DEBUG: {call}: 503 in \d+\.\d ms, attempt 1", lines[0])
    assert re.fullmatch(rf"{time} synapse_sdk INFO: {call}: 503, trying again in 0.00 s", lines[1])
    assert re.fullmatch(rf"{time} synapse_sdk DEBUG: {call}: 200 in \d+\.\d ms, attempt 2", lines[2])
    assert re.fullmatch(rf"{time} synapse_sdk DEBUG: {call}: 200 in \d+\.\d ms, attempt 1", lines[3])
    assert not any("secret" in line or "hidden" in line for line in lines)


def test_info_is_about_what_is_sent_again(open_server: OpenServer) -> None:
    """With SYNAPSE_LOG=info there is a line for what is sent again, and none for what just works."""
    (line,) = said("INFO ", lists(open_server))
    assert line.endswith("synapse_sdk INFO: GET /plugin_releases/: 503, trying again in 0.00 s")


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_program_that_logs_is_not_doubled(open_server: OpenServer, place: str) -> None:
    """Where the program sets up logging, before the first client or after it, each line is written once, as it says."""
    setup = {place: "logging.basicConfig(format='mine %(message)s')"}
    lines = said("info", lists(open_server), **setup)
    assert lines == ["mine GET /plugin_releases/: 503, trying again in 0.00 s"]


def test_a_program_has_the_last_word(open_server: OpenServer) -> None:
    """A level that the program sets once its first client is made holds, also when it makes another."""
    quiet = "if not number: logging.getLogger('synapse_sdk').setLevel('WARNING')"
    assert said("debug", lists(open_server), after=quiet) == []


@pytest.mark.parametrize(
    "setup",
    [
        "logging.getLogger('synapse_sdk').addHandler(logging.NullHandler())",
        "logging.basicConfig(); logging.getLogger('synapse_sdk').propagate = False",
    ],
    ids=["one that drops", "one that is not reached"],
)
def test_a_handler_that_writes_nothing_is_none(open_server: OpenServer, setup: str) -> None:
    """Handlers of the program that get no line, or write none, do not silence the log."""
    (line,) = said("info", lists(open_server), after=setup)
    assert line.endswith("synapse_sdk INFO: GET /plugin_releases/: 503, trying again in 0.00 s")


def test_the_log_goes_to_what_stderr_is(open_server: OpenServer) -> None:
    """Lines are written to what stderr is at the time, also where it was another when the client was made."""
    redirect = {"before": "sys.stderr = io.StringIO()", "after": "sys.stderr = sys.__stderr__"}
    (line,) = said("info", lists(open_server), **redirect)
    assert line.endswith("synapse_sdk INFO: GET /plugin_releases/: 503, trying again in 0.00 s")


def test_an_unknown_level_is_told(open_server: OpenServer) -> None:
    """A SYNAPSE_LOG that is neither debug nor info is warned of, and the calls work."""
    warning, *quoted = said("verbose", lists(open_server))
    assert warning == (
        "<string>:6: RuntimeWarning: SYNAPSE_LOG is 'verbose', which switches nothing on: it takes debug or info"
    )
    assert [line for line in quoted if "AgentClient(" not in line] == []  # the line of the program, from Python 3.13 on


def test_an_empty_level_is_none(open_server: OpenServer) -> None:
    """An empty SYNAPSE_LOG switches nothing on, without a word."""
    assert said("", lists(open_server)) == []
