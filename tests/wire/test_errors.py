"""Errors: their class, their attributes and the secrets they never show."""

from __future__ import annotations

import copy
import logging
import pickle
import traceback

import pytest
from synapse_agent_sdk import RetryPolicy, exceptions

from tests.wire.conftest import OpenClient, OpenServer, Serve, sync_only
from tests.wire.faults import Answer, body, hang_up, head, page, raw, reply, silence, until

pytestmark = pytest.mark.contract

SECRETS = {
    "agent_token": "secret-agent-token",
    "user_token": "secret-user-token",
    "tenant": "secret-tenant",
    "headers": {"X-Key": "secret-header"},
}
FAULTS: dict[str, Answer] = {
    "500": reply({"detail": "no"}, 500),
    "503": reply({"detail": "no"}, 503),
    "html": body(b"<html>Log in</html>"),
    "closed": hang_up,
    "garbage": raw(b"\x00\xff\r\n\r\n"),
    "cut": raw(head(200, {"Content-Length": "100"}) + b"{"),
    "broken gzip": body(b"no gzip", 200, {"Content-Encoding": "gzip"}),
    "too large": raw(head(200, {"Content-Length": str(2**40)}) + b"{"),
    "late": silence,
    "elsewhere": reply("", 307, {"Location": "http://elsewhere.example/?key=1"}),
    "foreign page": reply(page([], 5, "http://elsewhere.example/")),
    "echo": body(b"<html>secret-agent-token secret-user-token"),
    "echo of 500": body(b"<html>secret-agent-token secret-user-token", 500),
}


@pytest.mark.parametrize("answer", [reply({"detail": "no"}, 503, {"X-Request-ID": "r-1"}), hang_up])
def test_an_error_says_what_came_of_the_call(open_client: OpenClient, open_server: OpenServer, answer: Answer) -> None:
    """An error has the number of attempts, and the response's headers and request id or the underlying cause."""
    server = open_server(answer)
    for attempts in (1, 2, 4):
        client = open_client(server.url, retry=RetryPolicy(attempts=attempts, backoff=0.001))
        del server.requests[:]
        with pytest.raises(exceptions.ClientError) as caught:
            client.get_plugin_release(7)
        error = caught.value
        assert error.attempts == len(server.requests) == attempts
        if isinstance(error, exceptions.ServerError):
            assert (error.status_code, error.status, error.detail, error.reason) == (503, 503, "no", "no")
            assert str(error) == f"GET {server.url}/plugin_releases/7 -> 503: no"
            assert error.request_id == error.headers["X-Request-ID"] == error.headers["x-request-id"] == "r-1"
            assert pickle.loads(pickle.dumps(error)).headers["X-Request-Id"] == "r-1"  # noqa: S301 - our own
        else:
            assert isinstance(error, exceptions.ClientConnectionError)
            assert (error.request_id, error.headers, error.status_code) == (None, {}, None)
            assert error.__cause__ is not None
            assert error.detail == str(error.__cause__)
            assert error.detail in str(error)


@sync_only
def test_messages_show_no_query_and_forge_no_lines(serve: Serve) -> None:
    """Error messages contain no query values, no control characters and no overlong job ids."""
    for fault in (reply({"detail": "a\x1b[2Jb\rc"}, 500), hang_up, FAULTS["html"]):
        server, client = serve(fault, retry=None)
        with pytest.raises(exceptions.ClientError) as caught:
            client.list_plugin_releases({"key": "query-secret"})
        assert server.requests[0].query == [("key", "query-secret")]
        assert f"GET {server.url}/plugin_releases/?..." in str(caught.value)
        assert "query-secret" not in f"{caught.value}{caught.value!r}"
        assert str(caught.value).isprintable()
    with pytest.raises(exceptions.ClientResponseIncompleteError) as broken:
        serve(hang_up)[1].run_plugin_release(7, data={"action": "train", "job_id": "j" * 1_000_000})
    assert len(str(broken.value)) < 1000


def secrets_in(text: str) -> list[str]:
    """Return the secrets found in a string."""
    secrets = ["secret-agent-token", "secret-user-token", "secret-tenant", "secret-header"]
    return [secret for secret in secrets if secret in text]


@pytest.mark.parametrize("fault", FAULTS)
def test_no_error_shows_a_secret(serve: Serve, caplog: pytest.LogCaptureFixture, fault: str) -> None:
    """Errors and logs never contain a token, even in tracebacks, pickles and copies."""
    caplog.set_level(logging.DEBUG)
    retry = RetryPolicy(attempts=2, backoff=0.001)
    server, client = serve(FAULTS[fault], retry=retry, timeout={"connect": 60, "read": 0.05}, **SECRETS)
    with pytest.raises(exceptions.ClientError) as caught:
        client.list_plugin_releases(list_all=True)
    error = caught.value
    shown = [str(error), repr(error), repr(vars(error)), *traceback.format_exception(error)]
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):  # noqa: S301 - made here
        assert (type(again), str(again)) == (type(error), str(error))
        assert repr(vars(again)) == repr(vars(error))
    shown.append(ascii(pickle.dumps(error)))
    assert secrets_in(" ".join(shown)) == []
    until(lambda: server.requests)
    assert len(secrets_in(" ".join(server.requests[0].headers.values()))) == 4
    assert caplog.records
    assert secrets_in(caplog.text) == []
