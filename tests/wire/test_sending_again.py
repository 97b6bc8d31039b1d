"""What is sent again, and what is never sent again."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import RetryPolicy

from tests.wire.conftest import sync_only
from tests.wire.faults import (
    BROKEN,
    BUSY,
    CALLS,
    FAST,
    RELEASE,
    RUNS,
    hang_up,
    head,
    raw,
    reply,
    reset,
    silence,
    then,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.wire.conftest import OpenClient, OpenServer

pytestmark = pytest.mark.contract

REFUSED = reply({"detail": "busy"}, 429)
UNKNOWN = {**BROKEN, **BUSY}
"""Faults after which nobody knows whether a request was carried out."""


@pytest.mark.parametrize("fault", [*UNKNOWN, "429"])
def test_harmless_calls_are_sent_again(open_client: OpenClient, open_server: OpenServer, fault: str) -> None:
    """A call that is harmless to repeat succeeds when the second attempt does."""
    server = open_server({**UNKNOWN, "429": REFUSED}[fault], reply(RELEASE))
    client = open_client(server.url, retry=FAST)
    assert client.create_plugin_release("ocr_plugin", "2.0.0") == RELEASE
    first, second = server.requests
    assert (first.target, first.body) == (second.target, second.body)


def test_every_call_but_runs_is_harmless(open_client: OpenClient, open_server: OpenServer) -> None:
    """Health, lists, lookups, deletions and creations are sent again after a failure, runs are not."""
    for name, arguments in CALLS.items():
        if name not in RUNS:
            server = open_server(hang_up, reply(RELEASE))
            getattr(open_client(server.url, retry=FAST), name)(*arguments)
            assert len(server.requests) == 2


@pytest.mark.parametrize("fault", UNKNOWN)
def test_broken_runs_are_sent_once(open_client: OpenClient, open_server: OpenServer, fault: str) -> None:
    """A run whose connection breaks, or whose proxy fails, is sent once, and the error says what may be running."""
    for name in RUNS:
        server = open_server(UNKNOWN[fault], reply("twice"))
        with pytest.raises(exceptions.ClientError, match="may be running") as caught:
            getattr(open_client(server.url, retry=FAST), name)(*CALLS[name], job_id="job-1")
        (request,) = server.requests
        assert f"Job id: job-1, idempotency key: {request.headers['idempotency-key']}" in str(caught.value)
        if fault in BUSY:
            assert isinstance(caught.value, exceptions.ServerError)
            assert (caught.value.status_code, caught.value.detail) == (int(fault), "busy")
        else:
            assert isinstance(caught.value, exceptions.ClientResponseIncompleteError)


def test_a_late_run_is_sent_once(open_client: OpenClient, open_server: OpenServer) -> None:
    """A run that is not answered in time ends in an error that is a timeout and an incomplete response."""
    server = open_server(silence)
    with pytest.raises(exceptions.ClientResponseTimeoutError, match="may be running") as caught:
        open_client(server.url).run_plugin_release(7, "train", timeout={"connect": 60, "read": 0.05})
    assert isinstance(caught.value, exceptions.ClientTimeoutError)
    assert isinstance(caught.value, exceptions.ClientResponseIncompleteError)
    assert len(server.requests) == 1


@sync_only
@pytest.mark.parametrize("name", RUNS)
def test_runs_are_sent_again_after_429(open_client: OpenClient, open_server: OpenServer, name: str) -> None:
    """A run answered with 429 was not carried out, so it is sent again with the same key."""
    server = open_server(REFUSED, reply("done"))
    assert getattr(open_client(server.url, retry=FAST), name)(*CALLS[name]) == "done"
    first, second = server.requests
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


@sync_only
def test_an_error_type_is_believed(open_client: OpenClient, open_server: OpenServer) -> None:
    """An answer that says what became of the action carries no warning that it may be running."""
    kinds = {"action_timeout": exceptions.ActionFailedError, "gpu_unavailable": exceptions.GpuUnavailableError}
    for error_type, kind in kinds.items():
        server = open_server(reply({"detail": "told", "error_type": error_type}, 503))
        with pytest.raises(kind) as caught:
            open_client(server.url, retry=FAST).run_plugin_release(7, "train")
        assert "may be running" not in str(caught.value)
        assert len(server.requests) == 1


@sync_only
def test_runs_are_replayed_where_the_agent_honours_keys(open_client: OpenClient, open_server: OpenServer) -> None:
    """With replay_runs a run is sent again as other calls are, with one key for all attempts."""
    server = open_server(hang_up, BUSY["503"], reply("done"))
    client = open_client(server.url, retry=RetryPolicy(backoff=0.001, replay_runs=True))
    assert client.run_plugin_release(7, "train") == "done"
    assert len(server.requests) == 3
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 1


@sync_only
def test_a_repeated_delete_that_finds_nothing_succeeded(open_client: OpenClient, open_server: OpenServer) -> None:
    """A delete that was repeated into 404 has succeeded, unless no attempt before it was carried out."""
    gone = reply({"detail": "no such release"}, 404)
    for answer in (hang_up, BROKEN["cut in the body"], BUSY["504"]):
        server = open_server(answer, gone)
        assert open_client(server.url, retry=FAST).delete_plugin_release(7) is None
        assert len(server.requests) == 2
    with pytest.raises(exceptions.NotFoundError):
        open_client(open_server(REFUSED, gone).url, retry=FAST).delete_plugin_release(7)


def test_attempts_are_bounded_and_the_last_answer_is_raised(open_client: OpenClient, open_server: OpenServer) -> None:
    """After the last attempt the caller sees the agent's own status and detail, and how many attempts were made."""
    server = open_server(*BUSY.values())
    with pytest.raises(exceptions.ServerError) as caught:
        open_client(server.url, retry=FAST).get_plugin_release(7)
    assert len(server.requests) == 3
    assert (caught.value.status_code, caught.value.detail, caught.value.attempts) == (504, "busy", 3)


@sync_only
def test_other_errors_are_not_sent_again(open_client: OpenClient, open_server: OpenServer) -> None:
    """An answer that would come again is raised at once, and with retry=None the first one counts."""
    for status in (400, 404, 500):
        server = open_server(reply({"detail": "no"}, status))
        with pytest.raises(exceptions.HTTPError):
            open_client(server.url, retry=FAST).get_plugin_release(7)
        assert len(server.requests) == 1
    for name, arguments in CALLS.items():
        server = open_server(REFUSED)
        with pytest.raises(exceptions.RateLimitError):
            getattr(open_client(server.url, retry=None), name)(*arguments)
        assert len(server.requests) == 1


@pytest.mark.parametrize("name", ["get_plugin_release", "run_plugin_release"])
def test_an_idle_connection_that_was_closed_is_replaced(
    open_client: OpenClient, open_server: OpenServer, name: str
) -> None:
    """An idle connection that the agent closed is replaced without the caller noticing, whatever the policy."""
    last = then(raw(head(200, {"Content-Length": "2"}) + b"{}", keep=True), hang_up)
    for policy in (FAST, None):
        server = open_server(last, reply(RELEASE))
        client = open_client(server.url, retry=policy)
        assert client.health_check() == {}
        until(lambda server=server: not server.open_connections)
        assert getattr(client, name)(*CALLS[name]) == RELEASE
        assert [request.connection for request in server.requests] == [1, 2]


class Waits(list[float]):
    """The waits of a client, after some of which something happens."""

    def __init__(self, count: int, happen: Callable[[], object]) -> None:
        super().__init__()
        self.count = count
        self.happen = happen

    def append(self, seconds: float) -> None:
        """Remember a wait in place of waiting."""
        super().append(seconds)
        if len(self) == self.count:
            self.happen()


def test_an_agent_that_restarts_is_waited_for(open_client: OpenClient) -> None:
    """While nothing listens any call is tried again, more often than otherwise, as no byte of it has left."""
    for name, arguments in CALLS.items():
        with socket.socket() as reserved:
            reserved.bind(("127.0.0.1", 0))
            waits = Waits(2 * FAST.attempts, reserved.listen)
            client = open_client(f"http://127.0.0.1:{reserved.getsockname()[1]}", waits=waits, retry=FAST)

            def serve(reserved: socket.socket = reserved, waits: Waits = waits) -> None:
                until(lambda: len(waits) == waits.count)
                connection, _ = reserved.accept()
                with connection:
                    connection.recv(65536)
                    reply({})(connection)

            thread = threading.Thread(target=serve)
            thread.start()
            assert getattr(client, name)(*arguments) == (None if name == "delete_plugin_release" else {})
            thread.join()
            assert len(waits) == waits.count


def test_an_agent_that_is_gone_is_waited_for_by_time(open_client: OpenClient) -> None:
    """An agent that cannot be reached is given the policy's time, and the error says that nothing was sent."""
    assert RetryPolicy().reconnect >= 3
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        waits: list[float] = []
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        client = open_client(url, waits=waits, retry=RetryPolicy(reconnect=0.05))
        for name in ("get_plugin_release", "run_plugin_release"):
            with pytest.raises(exceptions.ClientConnectionError, match="nothing was sent"):
                getattr(client, name)(*CALLS[name])
    assert all(wait <= 0.05 for wait in waits)


def test_a_connection_dropped_at_once_is_replaced(open_client: OpenClient, open_server: OpenServer) -> None:
    """A harmless call survives a server that closes connections right after it accepted them."""
    server = open_server(reply(RELEASE), on_accept=[hang_up, reset])
    assert open_client(server.url, retry=FAST).get_plugin_release(7) == RELEASE
    assert server.connections == 3


@sync_only
def test_retry_after_is_honoured_up_to_a_cap(open_client: OpenClient, open_server: OpenServer) -> None:
    """Retry-After in seconds or as a date is waited for, within reason; garbage and the past count for nothing."""
    policy = RetryPolicy(backoff=0.001, total=100)
    past, future = "Wed, 21 Oct 2015 07:28:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"
    expected = {"2": 2.0, "0": 0.0, "-5": 0.0, "soon": 0.0, "9" * 400: 30.0, past: 0.0, future: 30.0}
    for value, seconds in expected.items():
        waits: list[float] = []
        server = open_server(reply({"detail": "busy"}, 429, {"Retry-After": value}), reply("done"))
        assert open_client(server.url, waits=waits, retry=policy).run_plugin_release(7, "train") == "done"
        assert waits == [pytest.approx(seconds, abs=0.002)]


def test_a_wait_that_does_not_fit_is_not_begun(open_client: OpenClient, open_server: OpenServer) -> None:
    """Where Retry-After exceeds the time that is left, the last answer is raised at once."""
    waits: list[float] = []
    server = open_server(reply({"detail": "busy"}, 503, {"Retry-After": "600"}))
    policy = RetryPolicy(total=300, max_retry_after=1000)
    with pytest.raises(exceptions.ServerError) as caught:
        open_client(server.url, waits=waits, retry=policy).get_plugin_release(7)
    assert (caught.value.status_code, len(server.requests), waits) == (503, 1, [])


def test_bytes_around_an_answer_are_none_of_it(open_client: OpenClient, open_server: OpenServer) -> None:
    """Answers of 1xx are skipped, and bytes behind an answer are dropped with their connection: they answer nothing."""
    hints = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
    forged = head(200, {"Content-Length": "9"}) + b'"forged!"'
    server = open_server(raw(hints + head(200, {"Content-Length": "2"}) + b"{}" + forged, keep=True), reply(RELEASE))
    client = open_client(server.url)
    assert client.health_check() == {}
    assert client.get_plugin_release(7) == RELEASE
    assert [request.connection for request in server.requests] == [1, 2]
