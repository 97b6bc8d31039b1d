"""Errors as they come from the wire: their class, what they carry, and what they never show."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import socket
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import RetryPolicy

from tests.wire.faults import body, hang_up, head, page, raw, reply, silence

if TYPE_CHECKING:
    from synapse_sdk.testing.server import Answer

    from tests.wire.conftest import OpenClient, OpenServer

FAST = RetryPolicy(attempts=2, backoff=0.001, reconnect=0.05)
CALLS: dict[str, tuple[Any, ...]] = {
    "health_check": (),
    "list_plugin_releases": (),
    "create_plugin_release": ("ocr_plugin", "2.0.0"),
    "get_plugin_release": (7,),
    "delete_plugin_release": (7,),
    "run_plugin_release": (7, "train"),
    "run_debug_plugin_release": ("train",),
}
KINDS: dict[int, type[exceptions.HTTPError]] = {
    302: exceptions.HTTPError,
    400: exceptions.ValidationError,
    401: exceptions.AuthenticationError,
    403: exceptions.AuthorizationError,
    404: exceptions.NotFoundError,
    409: exceptions.ConflictError,
    413: exceptions.HTTPError,
    418: exceptions.HTTPError,
    422: exceptions.ValidationError,
    429: exceptions.RateLimitError,
    500: exceptions.ServerError,
    502: exceptions.ServerError,
    503: exceptions.ServerError,
    504: exceptions.ServerError,
    520: exceptions.ServerError,
    599: exceptions.ServerError,
    700: exceptions.HTTPError,
    999: exceptions.HTTPError,
}
SECRETS = {
    "agent_token": "secret-agent-token",
    "user_token": "secret-user-token",
    "tenant": "secret-tenant",
    "headers": {"X-Key": "secret-header"},
}


@pytest.mark.parametrize("status", KINDS)
@pytest.mark.parametrize("name", CALLS)
def test_each_status_is_an_error_of_its_class(
    open_client: OpenClient, open_server: OpenServer, name: str, status: int
) -> None:
    """The class of an error follows from the status alone, whatever the operation."""
    server = open_server(reply({"detail": "told"}, status))
    with pytest.raises(exceptions.HTTPError) as caught:
        getattr(open_client(server.url, retry=None), name)(*CALLS[name])
    error = caught.value
    assert type(error) is KINDS[status]
    assert (error.status_code, error.detail, error.status, error.reason) == (status, "told", status, "told")
    (request,) = server.requests
    assert str(error).startswith(f"{request.method} {server.url}{request.path} -> {status}: told")


@pytest.mark.parametrize("name", CALLS)
def test_problems_of_a_request_are_told_by_their_places(
    open_client: OpenClient, open_server: OpenServer, name: str
) -> None:
    """A 422 with a list of problems reads as a list of places and messages, and keeps the list."""
    detail = [
        {"loc": ["body", "action"], "msg": "Field required", "type": "missing"},
        {"loc": ["body", "params", "items", 3], "msg": "Input should be an integer", "type": "int_type"},
    ]
    server = open_server(reply({"detail": detail}, 422))
    with pytest.raises(exceptions.ValidationError) as caught:
        getattr(open_client(server.url), name)(*CALLS[name])
    assert str(caught.value).endswith(
        "-> 422: body.action: Field required; body.params.items.3: Input should be an integer"
    )
    assert caught.value.detail == detail


@pytest.mark.parametrize(
    ("status", "error_type", "kind"),
    [
        (503, "gpu_unavailable", exceptions.GpuUnavailableError),
        (500, "action_failed", exceptions.ActionFailedError),
        (504, "action_timeout", exceptions.ActionFailedError),
        (422, "action_unknown", exceptions.ActionFailedError),
        (500, "worker_lost", exceptions.ServerError),
    ],
)
@pytest.mark.parametrize("place", ["beside the detail", "within the detail"])
@pytest.mark.parametrize("name", ["run_plugin_release", "run_debug_plugin_release"])
def test_an_error_type_says_what_failed(
    open_client: OpenClient,
    open_server: OpenServer,
    name: str,
    place: str,
    status: int,
    error_type: str,
    kind: type[exceptions.HTTPError],
) -> None:
    """An error_type tells a missing GPU and a failed action from a failed agent, and is an attribute."""
    detail: Any = {"message": "Traceback of the action"}
    answer: dict[str, Any] = {"detail": detail}
    (answer if place == "beside the detail" else detail)["error_type"] = error_type
    server = open_server(reply(answer, status))
    with pytest.raises(kind) as caught:
        getattr(open_client(server.url, retry=FAST), name)(*CALLS[name])
    assert type(caught.value) is kind
    assert (caught.value.error_type, caught.value.detail) == (error_type, detail)
    assert f"[{error_type}]: Traceback of the action" in str(caught.value)
    assert len(server.requests) == 1


def test_an_error_carries_the_answers_headers(open_client: OpenClient, open_server: OpenServer) -> None:
    """An error has the answer's headers by their names in lower case, and the id that the server gave."""
    headers = {"X-Request-ID": "req-1", "X-Custom": "Value", "WWW-Authenticate": "Token"}
    server = open_server(reply({"detail": "no"}, 401, headers))
    with pytest.raises(exceptions.AuthenticationError) as caught:
        open_client(server.url).get_plugin_release(7)
    assert caught.value.request_id == "req-1"
    assert {name.lower(): value for name, value in headers.items()}.items() <= caught.value.headers.items()


def test_without_a_request_id_there_is_none(open_client: OpenClient, open_server: OpenServer) -> None:
    """Where the server gave no id, request_id is None, with an answer and without one."""
    server = open_server(reply({"detail": "no"}, 404), hang_up)
    client = open_client(server.url, retry=None)
    with pytest.raises(exceptions.NotFoundError) as answered:
        client.get_plugin_release(7)
    with pytest.raises(exceptions.ClientConnectionError) as broken:
        client.get_plugin_release(7)
    assert answered.value.request_id is None
    assert (broken.value.request_id, broken.value.headers, broken.value.status_code) == (None, {}, None)


@pytest.mark.parametrize(("attempts", "made"), [(1, 1), (2, 2), (4, 4)])
@pytest.mark.parametrize("fault", [reply({"detail": "busy"}, 503), hang_up], ids=["503", "closed"])
def test_an_error_counts_its_attempts(
    open_client: OpenClient, open_server: OpenServer, fault: Answer, attempts: int, made: int
) -> None:
    """An error says how many attempts were made."""
    server = open_server(fault)
    client = open_client(server.url, retry=RetryPolicy(attempts=attempts, backoff=0.001))
    with pytest.raises(exceptions.ClientError) as caught:
        client.get_plugin_release(7)
    assert caught.value.attempts == len(server.requests) == made


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"<html><h1>502 Bad Gateway</h1></html>", "<html><h1>502 Bad Gateway</h1></html>"),
        (b"", ""),
        (b"null", None),
        (b"[]", []),
        (b'"text"', "text"),
        (b'{"error": {"code": 7}}', {"error": {"code": 7}}),
        (b'{"detail": {"a": [1, null]}, "more": 1}', {"a": [1, None]}),
        (b'{"detail": ["a", "b"]}', ["a", "b"]),
        (b'{"detail": null}', None),
        (b'{"detail": "cut', '{"detail": "cut'),
        (b"\xff\xfe\x00\x00bytes", "\ufffd\ufffd\x00\x00bytes"),
    ],
    ids=lambda value: ascii(value)[:20],
)
@pytest.mark.parametrize("name", ["get_plugin_release", "run_plugin_release"])
def test_error_bodies_of_any_shape(
    open_client: OpenClient, open_server: OpenServer, name: str, content: bytes, detail: Any
) -> None:
    """An error body of any shape gives the error of its status, with the detail as it was sent."""
    server = open_server(body(content, 500, {"Content-Type": "text/html"}))
    with pytest.raises(exceptions.ServerError) as caught:
        getattr(open_client(server.url), name)(*CALLS[name])
    assert (caught.value.status_code, caught.value.detail) == (500, detail)


HUGE: dict[str, tuple[bytes, Any]] = {
    "html": (b"<html>" + b"x" * 2**20, "<html>" + "x" * 2**20),
    "text": (json.dumps({"detail": "x" * 2**20}).encode(), "x" * 2**20),
    "list": (json.dumps({"detail": ["x" * 1000] * 1000}).encode(), ["x" * 1000] * 1000),
    "object": (json.dumps({"detail": {"a" * 2**20: 1}}).encode(), {"a" * 2**20: 1}),
    "error_type": (json.dumps({"detail": "x", "error_type": "y" * 2**20}).encode(), "x"),
    "deep": (b"[" * 100_000, "[" * 100_000),
}


@pytest.mark.parametrize("shape", HUGE)
@pytest.mark.parametrize("status", [404, 500, 503])
def test_messages_of_huge_errors_are_bounded(
    open_client: OpenClient, open_server: OpenServer, status: int, shape: str
) -> None:
    """A megabyte of an error makes a message of a page, while the detail stays whole."""
    content, detail = HUGE[shape]
    server = open_server(body(content, status))
    with pytest.raises(exceptions.HTTPError) as caught:
        open_client(server.url, retry=None).run_plugin_release(7, "train")
    assert len(str(caught.value)) < 3000
    assert caught.value.detail == detail


@pytest.mark.parametrize(
    "fault", [reply({"detail": "no"}, 500), hang_up, body(b"<html>")], ids=["500", "closed", "html"]
)
def test_messages_do_not_show_the_query(open_client: OpenClient, open_server: OpenServer, fault: Answer) -> None:
    """A message names method and URL, but no value of the query, which may be secret."""
    server = open_server(fault)
    with pytest.raises(exceptions.ClientError) as caught:
        open_client(server.url, retry=None).list_plugin_releases({"key": "query-secret"})
    assert server.requests[0].query == [("key", "query-secret")]
    assert f"GET {server.url}/plugin_releases/?..." in str(caught.value)
    assert "query-secret" not in f"{caught.value}{caught.value!r}"


FAULTS: dict[str, Answer] = {
    "401": reply({"detail": "no"}, 401),
    "500": reply({"detail": "no"}, 500),
    "503": reply({"detail": "no"}, 503),
    "html": body(b"<html>Log in</html>"),
    "list": reply([]),
    "closed": hang_up,
    "garbage": raw(b"\x00\xff\r\n\r\n"),
    "cut": raw(head(200, {"Content-Length": "100"}) + b"{"),
    "broken gzip": body(b"no gzip", 200, {"Content-Encoding": "gzip"}),
    "too large": raw(head(200, {"Content-Length": str(2**40)}) + b"{"),
    "late": silence,
    "elsewhere": reply("", 307, {"Location": "http://elsewhere.example/?key=1"}),
    "nowhere": reply("", 307, {"Location": "http://[::1"}),
    "foreign page": reply(page([], 5, "http://elsewhere.example/")),
}


def secrets_in(text: str) -> list[str]:
    """The secrets that a text holds."""
    secrets = [SECRETS["agent_token"], SECRETS["user_token"], SECRETS["tenant"], "secret-header"]
    return [str(secret) for secret in secrets if str(secret) in text]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["list_plugin_releases", "delete_plugin_release", "run_plugin_release"])
def test_no_error_shows_a_secret(
    open_client: OpenClient, open_server: OpenServer, caplog: pytest.LogCaptureFixture, name: str, fault: str
) -> None:
    """No error holds a token: not its text, its repr, its traceback or its pickle, and neither does any log."""
    caplog.set_level(logging.DEBUG)
    server = open_server(FAULTS[fault])
    client = open_client(server.url, retry=FAST, timeout=0.05, **SECRETS)
    arguments: tuple[Any, ...] = (None,) if name == "list_plugin_releases" else CALLS[name]
    options = {"list_all": True} if name == "list_plugin_releases" else {}
    succeeds = name == "delete_plugin_release" and fault in {"html", "list", "foreign page"}
    succeeds = succeeds or (name == "run_plugin_release" and fault in {"list", "foreign page"})
    if succeeds:
        getattr(client, name)(*arguments, **options)
    else:
        with pytest.raises(exceptions.ClientError) as caught:
            getattr(client, name)(*arguments, **options)
        error = caught.value
        shown = [str(error), repr(error), repr(vars(error)), *traceback.format_exception(error)]
        shown += [ascii(pickle.dumps(error)), repr(vars(copy.deepcopy(error)))]
        assert secrets_in(" ".join(shown)) == []
    sent = server.requests[0].headers
    assert len(secrets_in(" ".join(sent.values()))) == 4
    assert caplog.records
    assert secrets_in(caplog.text) == []


@pytest.mark.parametrize("name", CALLS)
def test_an_agent_that_cannot_be_reached_shows_no_secret(
    open_client: OpenClient, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """An agent that nobody can reach ends in a ClientConnectionError that names its URL and no token."""
    caplog.set_level(logging.DEBUG)
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # nothing listens
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/prefix"
        client = open_client(url, retry=None, **SECRETS)
        with pytest.raises(exceptions.ClientConnectionError, match="nothing was sent") as caught:
            getattr(client, name)(*CALLS[name])
    assert url in str(caught.value)
    assert secrets_in(str(caught.value) + "".join(traceback.format_exception(caught.value)) + caplog.text) == []


@pytest.mark.parametrize("fault", ["401", "503", "closed", "html", "late"])
def test_errors_from_the_wire_pickle_and_copy(open_client: OpenClient, open_server: OpenServer, fault: str) -> None:
    """An error of a call comes back from a pickle, and from a copy, with all that it carried."""
    server = open_server(FAULTS[fault])
    with pytest.raises(exceptions.ClientError) as caught:
        open_client(server.url, retry=FAST, timeout=0.05).get_plugin_release(7)
    for again in (pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):  # noqa: S301 - made on this line
        assert type(again) is type(caught.value)
        assert str(again) == str(caught.value)
        assert vars(again) == vars(caught.value)


def test_what_broke_is_the_cause(open_client: OpenClient, open_server: OpenServer) -> None:
    """An error without an answer says why, and has the failure of the connection as its cause."""
    server = open_server(hang_up)
    with pytest.raises(exceptions.ClientConnectionError) as caught:
        open_client(server.url, retry=None).get_plugin_release(7)
    assert caught.value.__cause__ is not None
    assert caught.value.detail == str(caught.value.__cause__)
    assert caught.value.detail in str(caught.value)
