"""Retries: which requests are retried, and which never are."""

from __future__ import annotations

import socket
import threading
import traceback

import pytest
from synapse_agent_sdk import RetryPolicy, exceptions

from tests.wire.conftest import OpenClient, OpenServer, Serve, sync_only
from tests.wire.faults import BROKEN, BUSY, CALLS, FAST, RELEASE, RUNS, hang_up, head, raw, reply, reset, then, until

pytestmark = pytest.mark.contract

REFUSED = reply({"detail": "busy"}, 429)
UNKNOWN = {**BROKEN, **BUSY}
"""Faults after which it is unknown whether the request was processed."""


@pytest.mark.parametrize("fault", [*UNKNOWN, "429"])
def test_harmless_calls_are_sent_again(serve: Serve, fault: str) -> None:
    """Every operation except a run is retried after a broken connection, 429, 502, 503 or 504."""
    for name, arguments in CALLS.items():
        if name not in RUNS:
            server, client = serve({**UNKNOWN, "429": REFUSED}[fault], reply(RELEASE), retry=FAST)
            assert getattr(client, name)(*arguments) == (None if name == "delete_plugin_release" else RELEASE)
            first, second = server.requests
            assert (first.target, first.body) == (second.target, second.body)


@pytest.mark.parametrize("fault", UNKNOWN)
def test_broken_runs_are_sent_once(serve: Serve, fault: str) -> None:
    """A run that breaks, or gets 502, 503 or 504, is not retried; the error says it may be running."""
    for name in RUNS:
        server, client = serve(UNKNOWN[fault], reply("twice"), retry=FAST)
        with pytest.raises(exceptions.ClientError, match="may be running") as caught:
            getattr(client, name)(*CALLS[name], job_id="job-1")
        (request,) = server.requests
        assert f"Job id: job-1, idempotency key: {request.headers['idempotency-key']}" in str(caught.value)
        if fault in BUSY:
            assert isinstance(caught.value, exceptions.ServerError)
            assert (caught.value.status_code, caught.value.detail) == (int(fault), "busy")
        else:
            assert isinstance(caught.value, exceptions.ClientResponseIncompleteError)


@sync_only
@pytest.mark.parametrize("name", RUNS)
def test_runs_are_sent_again_where_that_is_safe(serve: Serve, name: str) -> None:
    """Runs are retried after 429 with the same key, and after a break with `replay_runs`."""
    cut = raw(head(429, {"Content-Length": "100"}) + b"{")
    replaying = RetryPolicy(backoff=0.001, replay_runs=True)
    for policy, faults in ((FAST, [REFUSED, cut]), (replaying, [hang_up, BUSY["503"]])):
        server, client = serve(*faults, reply("done"), retry=policy)
        assert getattr(client, name)(*CALLS[name]) == "done"
        assert len(server.requests) == 3
        assert len({request.headers["idempotency-key"] for request in server.requests}) == 1


@sync_only
def test_a_repeated_delete_that_finds_nothing_succeeded(serve: Serve) -> None:
    """A retried delete that gets 404 succeeds if an earlier attempt may have deleted the release."""
    gone = reply({"detail": "no such release"}, 404)
    for answer in (hang_up, BROKEN["cut in the body"], BUSY["504"]):
        server, client = serve(answer, gone, retry=FAST)
        assert client.delete_plugin_release(7) is None
        assert len(server.requests) == 2
    _, client = serve(REFUSED, gone, retry=FAST)
    with pytest.raises(exceptions.NotFoundError):
        client.delete_plugin_release(7)


@sync_only
def test_other_errors_are_not_sent_again(serve: Serve) -> None:
    """Other errors are raised immediately, and `retry=None` disables retries."""
    for status in (400, 404, 500):
        server, client = serve(reply({"detail": "no"}, status), retry=FAST)
        with pytest.raises(exceptions.HTTPError):
            client.get_plugin_release(7)
        assert len(server.requests) == 1
    for name, arguments in CALLS.items():
        server, client = serve(REFUSED, retry=None)
        with pytest.raises(exceptions.RateLimitError):
            getattr(client, name)(*arguments)
        assert len(server.requests) == 1


@pytest.mark.parametrize("policy", [FAST, None], ids=["with retries", "without"])
def test_an_idle_connection_that_was_closed_is_replaced(serve: Serve, policy: RetryPolicy | None) -> None:
    """An idle connection closed by the agent is replaced silently under any policy."""
    last = then(raw(head(200, {"Content-Length": "2"}) + b"{}", keep=True), hang_up)
    server, client = serve(last, reply(RELEASE), last, reply("done"), retry=policy)
    for name, result in (("get_plugin_release", RELEASE), ("run_plugin_release", "done")):
        assert client.health_check() == {}
        until(lambda: not server.open_connections)
        assert getattr(client, name)(*CALLS[name]) == result
    assert [request.connection for request in server.requests] == [1, 2, 2, 3]


def test_an_agent_that_restarts_is_waited_for(open_client: OpenClient) -> None:
    """While the agent refuses connections, every call is retried, because nothing was sent."""
    for name, arguments in CALLS.items():
        with socket.socket() as reserved:
            reserved.bind(("127.0.0.1", 0))
            waits: list[float] = []
            client = open_client(f"http://127.0.0.1:{reserved.getsockname()[1]}", waits=waits, retry=FAST)

            def restart(reserved: socket.socket = reserved, waits: list[float] = waits) -> None:
                until(lambda: len(waits) > FAST.attempts)
                reserved.listen()
                connection, _ = reserved.accept()
                with connection:
                    connection.recv(65536)
                    reply({})(connection)

            thread = threading.Thread(target=restart)
            thread.start()
            assert getattr(client, name)(*arguments) == (None if name == "delete_plugin_release" else {})
            thread.join()


def test_an_agent_that_is_gone_is_waited_for_by_time(open_client: OpenClient) -> None:
    """Connecting is retried for the policy's `reconnect` time; the error names the URL but no token."""
    assert RetryPolicy().reconnect >= 3
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        waits: list[float] = []
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        client = open_client(url, waits=waits, retry=RetryPolicy(reconnect=0.05))
        for name in ("get_plugin_release", "run_plugin_release"):
            with pytest.raises(exceptions.ClientConnectionError, match=f"{url}.*nothing was sent") as caught:
                getattr(client, name)(*CALLS[name])
            assert "agent-token" not in "".join(traceback.format_exception(caught.value))
    assert all(wait <= 0.05 for wait in waits)


def test_a_connection_dropped_at_once_is_replaced(open_client: OpenClient, open_server: OpenServer) -> None:
    """A call that is safe to retry survives connections that close immediately after being accepted."""
    server = open_server(reply(RELEASE), on_accept=[hang_up, reset])
    assert open_client(server.url, retry=FAST).get_plugin_release(7) == RELEASE
    assert server.connections == 3


@sync_only
def test_retry_after_is_honoured_up_to_a_cap(serve: Serve) -> None:
    """Retry-After in seconds or as a date is honored up to a limit; invalid or past values are ignored."""
    policy = RetryPolicy(backoff=0.001, total=100)
    past, future = "Wed, 21 Oct 2015 07:28:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"
    expected = {"2": 2.0, "0": 0.0, "-5": 0.0, "soon": 0.0, "9" * 400: 30.0, past: 0.0, future: 30.0}
    for value, seconds in expected.items():
        waits: list[float] = []
        refused = reply({"detail": "busy"}, 429, {"Retry-After": value})
        _, client = serve(refused, reply("done"), waits=waits, retry=policy)
        assert client.run_plugin_release(7, "train") == "done"
        assert waits == [pytest.approx(seconds, abs=0.002)]


def test_a_wait_that_does_not_fit_is_not_begun(serve: Serve) -> None:
    """If Retry-After exceeds the remaining time, the error is raised immediately."""
    waits: list[float] = []
    policy = RetryPolicy(total=300, max_retry_after=1000)
    server, client = serve(reply({"detail": "busy"}, 503, {"Retry-After": "600"}), waits=waits, retry=policy)
    with pytest.raises(exceptions.ServerError) as caught:
        client.get_plugin_release(7)
    assert (caught.value.status_code, len(server.requests), waits) == (503, 1, [])


def test_bytes_around_an_answer_are_none_of_it(serve: Serve) -> None:
    """1xx responses are skipped, and extra bytes after a response close the connection."""
    hints = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
    forged = head(200, {"Content-Length": "9"}) + b'"forged!"'
    server, client = serve(raw(hints + head(200, {"Content-Length": "2"}) + b"{}" + forged, keep=True), reply(RELEASE))
    assert client.health_check() == {}
    assert client.get_plugin_release(7) == RELEASE
    assert [request.connection for request in server.requests] == [1, 2]
