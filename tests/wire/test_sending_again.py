"""What is sent again, and what is never sent again."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import RetryPolicy

from tests.wire.faults import BROKEN, BUSY, RELEASE, body, drip, hang_up, head, raw, reply, reset, silence, then

if TYPE_CHECKING:
    from synapse_sdk.testing.server import Answer

    from tests.wire.conftest import OpenClient, OpenServer

FAST = RetryPolicy(backoff=0.001, reconnect=0.05)
REPEATABLE: dict[str, tuple[Any, ...]] = {
    "get_plugin_release": (7,),
    "list_plugin_releases": (),
    "create_plugin_release": ("ocr_plugin", "2.0.0"),
}
RUNS: dict[str, tuple[Any, ...]] = {"run_plugin_release": (7, "train"), "run_debug_plugin_release": ("train",)}


@pytest.mark.parametrize("fault", [*BROKEN, *BUSY, "429"])
@pytest.mark.parametrize("method", REPEATABLE)
def test_harmless_calls_are_sent_again(
    open_client: OpenClient, open_server: OpenServer, method: str, fault: str
) -> None:
    """A call that is harmless to repeat succeeds when the second attempt does."""
    first = {**BROKEN, **BUSY, "429": reply({"detail": "busy"}, 429)}[fault]
    server = open_server(first, reply(RELEASE))
    result = getattr(open_client(server.url, retry=FAST), method)(*REPEATABLE[method])
    assert result == RELEASE
    assert len(server.requests) == 2
    assert server.requests[0].target == server.requests[1].target
    assert server.requests[0].body == server.requests[1].body


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("method", RUNS)
def test_broken_runs_are_sent_once(open_client: OpenClient, open_server: OpenServer, method: str, fault: str) -> None:
    """A run whose connection breaks is sent once, and the error says what may be running."""
    server = open_server(BROKEN[fault], reply("twice"))
    client = open_client(server.url, retry=FAST)
    with pytest.raises(exceptions.ClientResponseIncompleteError, match="may be running") as caught:
        getattr(client, method)(*RUNS[method], job_id="job-1")
    assert len(server.requests) == 1
    assert "job-1" in str(caught.value)
    assert server.requests[0].headers["idempotency-key"] in str(caught.value)


@pytest.mark.parametrize("status", BUSY)
@pytest.mark.parametrize("method", RUNS)
def test_runs_behind_a_failing_proxy_are_sent_once(
    open_client: OpenClient, open_server: OpenServer, method: str, status: str
) -> None:
    """A run answered with 502, 503 or 504 is sent once, and the error is the status with a warning."""
    server = open_server(BUSY[status], reply("twice"))
    with pytest.raises(exceptions.ServerError, match="may be running") as caught:
        getattr(open_client(server.url, retry=FAST), method)(*RUNS[method], job_id="job-1")
    assert len(server.requests) == 1
    assert caught.value.status_code == int(status)
    assert caught.value.detail == "busy"
    assert "job-1" in str(caught.value)


@pytest.mark.parametrize("method", RUNS)
def test_runs_are_sent_again_after_429(open_client: OpenClient, open_server: OpenServer, method: str) -> None:
    """A run answered with 429 was not carried out, so it is sent again with the same key."""
    server = open_server(reply({"detail": "busy"}, 429), reply("done"))
    assert getattr(open_client(server.url, retry=FAST), method)(*RUNS[method]) == "done"
    first, second = server.requests
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


@pytest.mark.parametrize(
    ("error_type", "kind"),
    [("action_timeout", exceptions.ActionFailedError), ("gpu_unavailable", exceptions.GpuUnavailableError)],
)
def test_an_error_type_is_believed(
    open_client: OpenClient, open_server: OpenServer, error_type: str, kind: type[Exception]
) -> None:
    """An answer that says what became of the action carries no warning that it may be running."""
    server = open_server(reply({"detail": "told", "error_type": error_type}, 503))
    with pytest.raises(kind) as caught:
        open_client(server.url, retry=FAST).run_plugin_release(7, "train")
    assert "may be running" not in str(caught.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize("fault", [*BROKEN, *BUSY])
def test_runs_are_replayed_where_the_agent_honours_keys(
    open_client: OpenClient, open_server: OpenServer, fault: str
) -> None:
    """With replay_runs a run is sent again as other calls are, with one key for all attempts."""
    server = open_server({**BROKEN, **BUSY}[fault], reply("done"))
    client = open_client(server.url, retry=RetryPolicy(backoff=0.001, replay_runs=True))
    assert client.run_plugin_release(7, "train") == "done"
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 1


def test_a_late_run_is_sent_once(open_client: OpenClient, open_server: OpenServer) -> None:
    """A run that is not answered in time ends in an error that is a timeout and an incomplete response."""
    server = open_server(silence)
    with pytest.raises(exceptions.ClientResponseTimeoutError, match="may be running") as caught:
        open_client(server.url).run_plugin_release(7, "train", timeout=0.05, job_id="job-1")
    assert isinstance(caught.value, exceptions.ClientTimeoutError)
    assert isinstance(caught.value, exceptions.ClientResponseIncompleteError)
    assert len(server.requests) == 1


@pytest.mark.parametrize("fault", [*BROKEN, *BUSY])
def test_a_repeated_delete_that_finds_nothing_succeeded(
    open_client: OpenClient, open_server: OpenServer, fault: str
) -> None:
    """A delete that was repeated into 404 has succeeded: the first attempt did it."""
    server = open_server({**BROKEN, **BUSY}[fault], reply({"detail": "no such release"}, 404))
    assert open_client(server.url, retry=FAST).delete_plugin_release(7) is None
    assert len(server.requests) == 2


def test_a_delete_that_was_not_carried_out_may_find_nothing(open_client: OpenClient, open_server: OpenServer) -> None:
    """A delete that follows a 429 is the first to be carried out, so its 404 is an error."""
    server = open_server(reply({"detail": "busy"}, 429), reply({"detail": "no such release"}, 404))
    with pytest.raises(exceptions.NotFoundError):
        open_client(server.url, retry=FAST).delete_plugin_release(7)


def test_attempts_are_bounded_and_the_last_answer_is_raised(open_client: OpenClient, open_server: OpenServer) -> None:
    """After the last attempt the caller sees the agent's own status and detail, and how many attempts were made."""
    server = open_server(*BUSY.values())
    with pytest.raises(exceptions.ServerError) as caught:
        open_client(server.url, retry=FAST).get_plugin_release(7)
    assert len(server.requests) == 3
    assert (caught.value.status_code, caught.value.detail, caught.value.attempts) == (504, "busy", 3)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418, 422, 500, 501, 505, 599])
def test_other_errors_are_not_sent_again(open_client: OpenClient, open_server: OpenServer, status: int) -> None:
    """An answer that would come again is raised at once."""
    server = open_server(reply({"detail": "no"}, status))
    with pytest.raises(exceptions.HTTPError) as caught:
        open_client(server.url, retry=FAST).get_plugin_release(7)
    assert (caught.value.status_code, len(server.requests)) == (status, 1)


@pytest.mark.parametrize("method", [*REPEATABLE, *RUNS])
def test_without_a_policy_nothing_is_sent_again(open_client: OpenClient, open_server: OpenServer, method: str) -> None:
    """With retry=None the first answer counts."""
    server = open_server(reply({"detail": "busy"}, 429))
    with pytest.raises(exceptions.RateLimitError):
        getattr(open_client(server.url, retry=None), method)(*{**REPEATABLE, **RUNS}[method])
    assert len(server.requests) == 1


@pytest.mark.parametrize("policy", [FAST, None])
@pytest.mark.parametrize("method", [*REPEATABLE, *RUNS])
def test_an_idle_connection_that_was_closed_is_replaced(
    open_client: OpenClient, open_server: OpenServer, method: str, policy: RetryPolicy | None
) -> None:
    """An idle connection that the agent closed is replaced without the caller noticing, whatever the policy."""
    server = open_server(
        raw(head(200, {"Content-Length": "2"}) + b"{}"),
        reply(RELEASE),
    )
    client = open_client(server.url, retry=policy)
    assert client.health_check() == {}
    time.sleep(0.03)  # the end of the connection is on its way
    assert getattr(client, method)(*{**REPEATABLE, **RUNS}[method]) == RELEASE
    assert [request.connection for request in server.requests] == [1, 2]


@pytest.mark.parametrize("method", [*REPEATABLE, *RUNS])
def test_an_agent_that_restarts_is_waited_for(open_client: OpenClient, open_server: OpenServer, method: str) -> None:
    """While nothing listens any call is tried again, as no byte of it has left."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        client = open_client(f"http://127.0.0.1:{port}")
        content = json.dumps(RELEASE).encode()

        def listen() -> None:
            time.sleep(0.05)
            reserved.listen()
            connection, _ = reserved.accept()
            with connection:
                connection.recv(65536)
                raw(head(200, {"Content-Length": str(len(content))}) + content)(connection)

        thread = threading.Thread(target=listen)
        thread.start()
        assert getattr(client, method)(*{**REPEATABLE, **RUNS}[method]) == RELEASE
        thread.join()


@pytest.mark.parametrize("method", [*REPEATABLE, *RUNS])
def test_an_agent_that_is_gone_is_waited_for_by_time(open_client: OpenClient, method: str) -> None:
    """An agent that cannot be reached is given the policy's time, and the error says that nothing was sent."""
    waits: list[float] = []
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        client = open_client(url, waits=waits, retry=RetryPolicy(reconnect=0.2))
        with pytest.raises(exceptions.ClientConnectionError, match="nothing was sent"):
            getattr(client, method)(*{**REPEATABLE, **RUNS}[method])
    assert len(waits) > RetryPolicy().attempts - 1
    assert all(wait <= 0.2 for wait in waits)


def test_by_default_an_agent_is_waited_for_three_seconds() -> None:
    """The default policy gives a restarting agent at least three seconds."""
    assert RetryPolicy().reconnect >= 3


@pytest.mark.parametrize("greeting", [hang_up, reset])
@pytest.mark.parametrize("method", REPEATABLE)
def test_a_connection_dropped_at_once_is_replaced(
    open_client: OpenClient, open_server: OpenServer, method: str, greeting: Answer
) -> None:
    """A harmless call survives a server that closes connections right after it accepted them."""
    server = open_server(reply(RELEASE), on_accept=[greeting])
    assert getattr(open_client(server.url, retry=FAST), method)(*REPEATABLE[method]) == RELEASE
    assert server.connections == 2


@pytest.mark.parametrize(
    ("value", "expected"),
    [("2", 2.0), (" 1 ", 1.0), ("0", 0.0), ("-5", 0.0), ("soon", 0.0), ("", 0.0), ("9" * 400, 30.0)],
)
def test_retry_after_is_honoured_up_to_a_cap(
    open_client: OpenClient, open_server: OpenServer, value: str, expected: float
) -> None:
    """Retry-After in seconds is waited for, within reason; garbage counts for nothing."""
    waits: list[float] = []
    server = open_server(reply({"detail": "busy"}, 429, {"Retry-After": value}), reply("done"))
    policy = RetryPolicy(backoff=0.001, total=100)
    client = open_client(server.url, waits=waits, retry=policy)
    assert client.run_plugin_release(7, "train") == "done"
    assert waits == [pytest.approx(expected, abs=0.002)]


def test_retry_after_may_be_a_date(open_client: OpenClient, open_server: OpenServer) -> None:
    """Retry-After as a date in the past or the far future neither stops nor hangs the call."""
    waits: list[float] = []
    dates = ["Wed, 21 Oct 2015 07:28:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"]
    server = open_server(*[reply({"detail": "busy"}, 429, {"Retry-After": date}) for date in dates], reply("done"))
    assert open_client(server.url, waits=waits).run_plugin_release(7, "train") == "done"
    assert waits[0] < 1
    assert waits[1] == 30


def test_a_wait_that_does_not_fit_is_not_begun(open_client: OpenClient, open_server: OpenServer) -> None:
    """Where Retry-After exceeds the time that is left, the last answer is raised at once."""
    server = open_server(reply({"detail": "busy"}, 503, {"Retry-After": "60"}))
    started = time.monotonic()
    with pytest.raises(exceptions.ServerError) as caught:
        open_client(server.url, retry=RetryPolicy(total=5)).get_plugin_release(7)
    assert time.monotonic() - started < 2
    assert (caught.value.status_code, len(server.requests)) == (503, 1)


def test_a_dripping_server_is_no_reason_to_send_again_for_ever(
    open_client: OpenClient, open_server: OpenServer
) -> None:
    """The total time bounds all attempts together."""
    server = open_server(drip(b" ", start=head(200, {"Content-Length": "100000"})))
    started = time.monotonic()
    with pytest.raises(exceptions.ClientTimeoutError):
        open_client(server.url, retry=RetryPolicy(total=0.3)).get_plugin_release(7)
    assert time.monotonic() - started < 2


def test_informational_answers_are_skipped(open_client: OpenClient, open_server: OpenServer) -> None:
    """Answers of 1xx in front of the final one are no answers."""
    hints = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
    server = open_server(then(raw(hints, keep=True), reply(RELEASE)))
    assert open_client(server.url).get_plugin_release(7) == RELEASE


def test_surplus_bytes_are_not_the_next_answer(open_client: OpenClient, open_server: OpenServer) -> None:
    """Bytes that follow an answer are dropped with their connection, and never answer the next request."""
    forged = head(200, {"Content-Length": "9"}) + b'"forged!"'
    server = open_server(
        raw(head(200, {"Content-Length": "2"}) + b"{}" + forged, keep=True),
        reply(RELEASE),
    )
    client = open_client(server.url)
    assert client.health_check() == {}
    assert client.get_plugin_release(7) == RELEASE
    assert [request.connection for request in server.requests] == [1, 2]


def test_a_refused_call_leaves_the_connection_usable(open_client: OpenClient, open_server: OpenServer) -> None:
    """Errors of the agent do not cost a connection."""
    server = open_server(body(b'{"detail": "no"}', 404), reply(RELEASE))
    client = open_client(server.url)
    with pytest.raises(exceptions.NotFoundError):
        client.get_plugin_release(8)
    assert client.get_plugin_release(7) == RELEASE
    assert server.connections == 1
