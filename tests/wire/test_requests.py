"""Requests: what the agent receives for each operation and argument."""

from __future__ import annotations

import copy
import inspect
import json
import logging
import uuid
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import pytest
from synapse_agent_api import models
from synapse_agent_sdk import AgentClient, __version__, exceptions

from tests.wire.conftest import OpenClient, OpenServer, Serve, sync_only
from tests.wire.faults import CALLS, RELEASE, RUNS, hang_up, head, page, raw, reply

pytestmark = pytest.mark.contract

TARGETS = {
    "health_check": ("GET", "/health/"),
    "list_plugin_releases": ("GET", "/plugin_releases/"),
    "create_plugin_release": ("POST", "/plugin_releases/"),
    "get_plugin_release": ("GET", "/plugin_releases/7"),
    "delete_plugin_release": ("DELETE", "/plugin_releases/7"),
    "run_plugin_release": ("POST", "/plugin_releases/7/run/"),
    "run_debug_plugin_release": ("POST", "/plugin_releases/run_debug/"),
}
"""Method and path of each operation in the contract."""
LOOKUPS = {
    "seg-anything@2.1.0+lig": "seg-anything%402.1.0%2Blig",
    "x/../../jobs/1@1": "x%2F..%2F..%2Fjobs%2F1%401",
    "..@..": "..%40..",
    "%2e%2e@1": "%252e%252e%401",
    "a?b=c#d e\\f@1": "a%3Fb%3Dc%23d%20e%5Cf%401",
    "검사@1": "%EA%B2%80%EC%82%AC%401",
}
"""Lookups and their encoded path segments."""


def call_each(client: Any) -> None:
    """Call each operation with its minimum arguments."""
    for name, arguments in CALLS.items():
        getattr(client, name)(*arguments)


@pytest.mark.parametrize("prefix", ["", "/", "/a%20b/c//"])
def test_each_operation_has_its_method_and_path(open_client: OpenClient, open_server: OpenServer, prefix: str) -> None:
    """Each operation sends one request with the contract's method and path, below any `base_url` path."""
    server = open_server()
    call_each(open_client(server.url + prefix))
    expected = [(method, prefix.rstrip("/") + path) for method, path in TARGETS.values()]
    assert [(request.method, request.target) for request in server.requests] == expected


@sync_only
def test_a_lookup_is_one_segment_of_the_path(serve: Serve) -> None:
    """A lookup is percent-encoded as one path segment, so it cannot reach another path."""
    server, client = serve()
    for lookup, segment in LOOKUPS.items():
        for name in ("get_plugin_release", "delete_plugin_release", "run_plugin_release"):
            getattr(client, name)(lookup, *CALLS[name][1:])
            assert server.requests[-1].target == TARGETS[name][1].replace("7", segment)
            assert server.requests[-1].lookup == lookup


FILTERS: list[tuple[Any, list[tuple[str, str]]]] = [
    (None, []),
    ({"page": 2, "page_size": 50}, [("page", "2"), ("page_size", "50")]),
    ({"tag": ["a", "b"], "state": ("x",), "none": [], "page": None}, [("tag", "a"), ("tag", "b"), ("state", "x")]),
    ({"ready": True, "failed": False, "score": 0.5}, [("ready", "true"), ("failed", "false"), ("score", "0.5")]),
    (MappingProxyType({"q": "a b&c=d/é+%", "empty": ""}), [("q", "a b&c=d/é+%"), ("empty", "")]),
]


@sync_only
def test_filters_are_the_query(serve: Serve) -> None:
    """Filters become query parameters: lists repeat the name, booleans are lower case, None is omitted."""
    server, client = serve()
    for params, query in FILTERS:
        client.list_plugin_releases(params)
        assert (server.requests[-1].path, server.requests[-1].query) == ("/plugin_releases/", query)


def test_whole_lists_have_a_page_size(serve: Serve) -> None:
    """`list_all` requests the largest page size in the contract by default."""
    server, client = serve(reply(page([RELEASE], 1)))
    for params, size in [(None, "1000"), ({"page_size": None}, "1000"), ({"page_size": 50}, "50")]:
        assert client.list_plugin_releases(params, list_all=True) == ([RELEASE], 1)
        assert list(client.iter_plugin_releases(params)) == [RELEASE]
        assert [request.query for request in server.requests[-2:]] == [[("page_size", size)]] * 2


def test_headers_of_every_request(serve: Serve) -> None:
    """Requests carry the raw token, user and tenant as `Token ...`, a User-Agent and custom headers."""
    server, client = serve(user_token="user-token", tenant="tenant-1", headers={"X-Trace": "abc"})
    call_each(client)
    expected = {
        "authorization": "agent-token",
        "synapse-user": "Token user-token",
        "synapse-tenant": "Token tenant-1",
        "user-agent": f"synapse-agent-sdk/{__version__}",
        "accept": "application/json",
        "x-trace": "abc",
        "host": server.url.removeprefix("http://"),
    }
    for name, request in zip(CALLS, server.requests, strict=True):
        assert expected.items() <= request.headers.items()
        has_body = request.method == "POST"
        assert request.headers.get("content-type") == ("application/json" if has_body else None)
        assert bool(request.body) is has_body
        assert ("idempotency-key" in request.headers) is (name in RUNS)
        names = [name.lower() for name, _ in request.headers.pairs]
        assert len(names) == len(set(names))


@sync_only
def test_what_is_not_set_is_not_sent(serve: Serve) -> None:
    """Token, user and tenant headers are independent, and omitted if not set."""
    names = {"agent_token": "authorization", "user_token": "synapse-user", "tenant": "synapse-tenant"}
    for given in ({"agent_token": None}, {"agent_token": None, "user_token": "u"}, {"tenant": "t"}):
        server, client = serve(**given)
        call_each(client)
        expected = {names[name] for name, value in {"agent_token": "a", **given}.items() if value}
        assert [{*names.values()} & request.headers.keys() for request in server.requests] == [expected] * len(CALLS)


@sync_only
def test_a_header_of_the_callers_takes_the_place_of_ours(serve: Serve) -> None:
    """Custom headers override the SDK's defaults such as User-Agent, but not the token."""
    server, client = serve(headers={"user-agent": "mine/1.0", "ACCEPT": "text/plain", "authorization": "Bearer other"})
    client.health_check()
    received = server.requests[0].headers
    assert (received["user-agent"], received["accept"]) == ("mine/1.0", "text/plain")
    assert received["authorization"] == "agent-token"


def test_a_request_leaves_as_one(open_client: OpenClient, open_server: OpenServer) -> None:
    """The headers and body of a small request are sent together."""
    seen: list[bytes] = []

    def read_once(connection: Any) -> bool:
        seen.append(connection.recv(65536))
        return raw(head(200, {"Content-Length": "6", "Connection": "close"}) + b'"done"')(connection)

    client = open_client(open_server(on_accept=[read_once] * 30).url)
    for _ in range(30):
        assert client.run_plugin_release(7, "train", {"epochs": 1}) == "done"
    assert all(request.endswith(b'"params":{"epochs":1}}') for request in seen)


FIELDS: dict[str, Any] = {
    "action": "process",
    "params": {"path": "/data/x.pdf", "nested": {"list": [1, 2.5, None, True, "é"]}},
    "requirements": ["pillow>=9.0.0"],
    "job_id": "job_abc123",
    "language": "ko",
}
DEBUG_FIELDS: dict[str, Any] = {
    **FIELDS,
    "plugin_path": "/path/to/plugin",
    "config": {"debug": True},
    "modules": {"my_plugin.processor": "class Processor: ..."},
}


def run_with(client: Any, name: str, *arguments: Any, **options: Any) -> Any:
    """Run an action; a release run uses release 7."""
    return getattr(client, name)(*((7,) if name == "run_plugin_release" else ()), *arguments, **options)


@sync_only
def test_every_field_of_a_body_is_sent(serve: Serve) -> None:
    """Every argument except None becomes a body field, even if empty; paths and mappings become JSON."""
    server, client = serve()
    client.create_plugin_release("검사", "2.1.0+lig")
    assert server.requests[0].body == '{"plugin":"검사","version":"2.1.0+lig"}'.encode()
    for name, fields in zip(RUNS, (FIELDS, DEBUG_FIELDS), strict=True):
        before = copy.deepcopy(fields)
        empty = {key: type(value)() for key, value in fields.items() if key != "action"}
        for arguments in (fields, {"action": "train", **empty}):
            run_with(client, name, **arguments)
            assert server.requests[-1].json == arguments
        assert fields == before
        run_with(client, name, **{**dict.fromkeys(fields), "action": "train", "data": None})
        run_with(client, name, "train", None)
        assert [request.body for request in server.requests[-2:]] == [b'{"action":"train"}'] * 2
    mapping = MappingProxyType({"inner": MappingProxyType({"pair": (1, 2)})})
    client.run_debug_plugin_release("train", mapping, plugin_path=Path("/path"), requirements=("numpy",))
    plain = {"params": {"inner": {"pair": [1, 2]}}, "plugin_path": "/path", "requirements": ["numpy"]}
    assert server.requests[-1].json == {"action": "train", **plain}


@sync_only
@pytest.mark.parametrize("name", RUNS)
def test_the_whole_body_of_v1_is_sent_as_it_is(serve: Serve, name: str) -> None:
    """A v1 body (`data`) is sent unchanged, without validation; other arguments are ignored."""
    server, client = serve()
    others = {"params": {"ignored": 1}, "requirements": ["ignored"], "job_id": "ignored", "language": "ignored"}
    bodies: list[dict[str, Any]] = [{}, {"params": None, "nested": {"list": []}}, {"action": 5, "job_id": 7}]
    for body in bodies:
        before = copy.deepcopy(body)
        run_with(client, name, data=body)
        run_with(client, name, body)
        run_with(client, name, "ignored", data=body, **others)
        sent = json.dumps(before, separators=(",", ":")).encode()
        assert [request.body for request in server.requests[-3:]] == [sent] * 3
        assert body == before


@sync_only
@pytest.mark.parametrize("name", RUNS)
def test_each_run_has_a_key(serve: Serve, name: str) -> None:
    """Each run has an idempotency key: a new UUID or the one passed in."""
    server, client = serve()
    for _ in range(2):
        run_with(client, name, "train")
        run_with(client, name, data={"action": "train"})
    keys = [request.headers["idempotency-key"] for request in server.requests]
    assert len(set(keys)) == 4
    assert all(str(uuid.UUID(key)) == key for key in keys)
    key = "7f3f0e0a-6f1c-4c6b-9d52-2a4d8c1b7e90"
    for given in (key, key.upper(), key.replace("-", ""), f"{{{key}}}", uuid.UUID(key)):
        run_with(client, name, "train", idempotency_key=given)
        assert server.requests[-1].headers["idempotency-key"] == (given if given == key.upper() else key)


@sync_only
def test_a_call_that_breaks_is_named(serve: Serve) -> None:
    """Errors name the request's method and URL, and for runs the job id and idempotency key."""
    server, client = serve(hang_up, retry=None)
    for name, arguments in CALLS.items():
        with pytest.raises(exceptions.ClientConnectionError) as caught:
            getattr(client, name)(*arguments, **({"job_id": "job-1"} if name in RUNS else {}))
        request = server.requests[-1]
        assert str(caught.value).startswith(f"{request.method} {server.url}{request.path}: ")
        if name in RUNS:
            key = request.headers["idempotency-key"]
            assert str(caught.value).endswith(f"may be running. Job id: job-1, idempotency key: {key}")


DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]

# Each row: operation, positional and keyword arguments, error class and part of its message. tests/unit has more
# cases for lookups, old conventions and values that JSON cannot represent.
WRONG: list[Any] = [
    *[
        (name, (lookup, *CALLS[name][1:]), {}, ValueError, "invalid release ")
        for name in ("get_plugin_release", "delete_plugin_release", "run_plugin_release")
        for lookup in ("", None, "..", "a@1\r\nX-Injected: 1")
    ],
    *[
        ("create_plugin_release", (), {"plugin": "a", "version": "1", wrong: value}, ValueError, f"{wrong} must be a")
        for wrong in ("plugin", "version")
        for value in ("  ", None, b"a")
    ],
    *[
        ("list_plugin_releases", ({"tag": value},), {}, TypeError, "params['tag'] must be a string, a number, a bool")
        for value in ({"a": 1}, {1}, [[1]], [None], b"a")
    ],
    *[("list_plugin_releases", (value,), {}, TypeError, "params must be a dict") for value in ("a=1", [("a", 1)])],
    ("list_plugin_releases", ({5: "a"},), {}, TypeError, "the name of a filter must be a string, not 5"),
    ("list_plugin_releases", ({"q": "\ud800"},), {}, ValueError, "do not form a valid URL"),
    ("get_plugin_release", ("a@" + "1" * 100_000,), {}, ValueError, "do not form a valid URL"),
    *[
        (name, (*CALLS[name][:-1], action), options, kind, part)
        for name in RUNS
        for action, options, kind, part in [
            (None, {}, TypeError, f"{name}() needs action='...'"),
            (5, {}, TypeError, f"{name}() takes the action's name as a string"),
            ("train", {"data": "text"}, TypeError, f"{name}() takes data as a dict"),
            ("train", {"params": [1]}, TypeError, "params must be a dict"),
            ("train", {"requirements": "numpy"}, TypeError, "requirements must be a list of strings"),
            ("train", {"requirements": [5]}, TypeError, "requirements must be a list of strings"),
            ("train", {"requirements": {"numpy"}}, TypeError, "requirements must be a list of strings"),
            ("train", {"job_id": b"1"}, TypeError, "job_id is not JSON: a bytes"),
            ("train", {"language": b"ko"}, TypeError, "language is not JSON: a bytes"),
            ("train", {"idempotency_key": "key"}, ValueError, "idempotency_key must be a UUID"),
            ("train", {"idempotency_key": 5}, ValueError, "idempotency_key must be a UUID"),
            ("train", {"timeout": -1}, ValueError, "timeout must be seconds"),
            ("train", {"params": {"deep": DEEP}}, ValueError, "nested too deep"),
            ({"params": {"when": {1, 2}}}, {}, TypeError, "params.when is not JSON: a set"),
            ("train", {"params": {"items": [0, {"at": "\ud800"}]}}, ValueError, "params.items[1].at is not JSON"),
            ("train", {"data": {"params": {"when": float("nan")}}}, ValueError, "params.when is not JSON: nan"),
        ]
    ],
    *[
        ("run_debug_plugin_release", ("train",), {wrong: value}, TypeError, f"{wrong} must be a {what}")
        for wrong, value, what in [
            ("config", "x", "dict"),
            ("modules", [1], "dict"),
            ("plugin_path", 5, "string or a P"),
        ]
    ],
]


@sync_only
@pytest.mark.parametrize("name", sorted({name for name, *_ in WRONG}))
def test_wrong_arguments_are_refused(serve: Serve, name: str) -> None:
    """Invalid arguments raise an error that names them before a connection is opened."""
    server, client = serve()
    for _, arguments, options, kind, part in [wrong for wrong in WRONG if wrong[0] == name]:
        with pytest.raises(kind) as caught:
            getattr(client, name)(*arguments, **options)
        assert part in str(caught.value)
        assert len(str(caught.value)) < 500
    assert (server.requests, server.connections) == ([], 0)


SETTINGS: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"base_url": "http://user:pw@agent"}, ValueError),
    ({"base_url": "http://xn--/"}, ValueError),
    ({"agent_token": "line\nbreak"}, ValueError),
    ({"verify": "no/such/file.pem"}, ValueError),
    ({"retry": True}, TypeError),
    ({"limits": None}, TypeError),
    ({"limits": httpx.Limits(max_connections=0)}, ValueError),
    ({"max_response_bytes": 0}, ValueError),
    ({"max_response_bytes": 1.5}, ValueError),
    ({"http_client": object(), "transport": object()}, ValueError),
]


def test_a_wrong_setting_is_named() -> None:
    """Invalid settings raise an error when the client is created."""
    for options, kind in SETTINGS:
        with pytest.raises(kind, match=next(iter(options))):
            AgentClient(**{"base_url": "http://agent", **options})


UNUSUAL = {"id": "7", "plugin": None, "created": "2026-01-02T03:04:05.678Z", "big": 2**70, "text": "é\u0000\n"}
RESULTS: list[Any] = [{"a": [1]}, [[None]], "", "text", '{"a": 1}', 0, -1.5, 2**70, True, False, None]


def test_what_the_agent_sends_is_handed_back_untouched(serve: Serve) -> None:
    """Responses are returned unchanged: unknown fields stay, and dates stay strings."""
    for name, arguments in CALLS.items():
        if name != "delete_plugin_release":
            results = RESULTS if name in RUNS else [UNUSUAL, {}]
            _, client = serve(*map(reply, results))
            for value in results:
                result = getattr(client, name)(*arguments)
                assert (result, type(result)) == (value, type(value))


GENERATED: dict[str, dict[str, Any]] = {
    "health.health_check": {},
    "plugin_releases.list_plugin_releases": {"page_size": 5},
    "plugin_releases.create_plugin_release": {"body": models.CreatePluginReleaseRequest(plugin="a", version="1")},
    "plugin_releases.get_plugin_release": {"lookup": "7"},
    "plugin_releases.delete_plugin_release": {"lookup": "7"},
    "plugin_releases.run_plugin_release": {"lookup": "7", "body": models.RunPluginReleaseRequest(action="train")},
    "plugin_releases.run_debug_plugin_release": {"body": models.RunDebugPluginReleaseRequest(action="train")},
}


def call_generated(client: Any, name: str) -> Any:
    """Call a generated function with the client's `api`, in the client's event loop if it has one."""
    endpoint = import_module(f"synapse_agent_api.api.{name}")
    if hasattr(client, "_runner"):
        return client._runner.run(endpoint.asyncio_detailed(client=client.api, **GENERATED[name]))
    return endpoint.sync_detailed(client=client.api, **GENERATED[name])


def test_generated_functions_send_as_the_client_does(open_client: OpenClient, open_server: OpenServer) -> None:
    """Generated functions called with `client.api` use the client's connection, headers and errors."""
    server = open_server()
    options = {"user_token": "user-token", "tenant": "tenant-1", "headers": {"X-Trace": "abc"}}
    client = open_client(f"{server.url}/prefix/", **options)
    client.get_plugin_release(7)
    ours = {name: value for name, value in server.requests[0].headers.items() if name != "content-length"}
    for name in GENERATED:
        answer = page([RELEASE], 1) if "list" in name else {"status": "ok"} if "health" in name else RELEASE
        server.answers[:] = [reply(answer, 204 if "delete" in name else 200)]
        response = call_generated(client, name)
        if "get" in name:
            assert response.parsed == models.PluginRelease.from_dict(RELEASE)
        request = server.requests[-1]
        assert ours.items() <= request.headers.items()
        method, path = TARGETS[name.partition(".")[2]]
        assert (request.method, request.path, request.connection) == (method, f"/prefix{path}", 1)
        server.answers[:] = [reply({"detail": "no"}, 401)]
        with pytest.raises(exceptions.AuthenticationError, match="401: no"):
            call_generated(client, name)
    assert len(server.requests) == 1 + 2 * len(GENERATED)


def test_reprs_show_no_secrets(
    open_client: OpenClient, open_server: OpenServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The client's repr and its logs never show a token."""
    caplog.set_level(logging.DEBUG)
    server = open_server()
    secrets = agent, user, tenant, header = ["secret-agent", "secret-user", "secret-tenant", "secret-header"]
    client = open_client(server.url, agent_token=agent, user_token=user, tenant=tenant, headers={"X-Key": header})
    client.health_check()
    call_generated(client, "health.health_check")
    assert set(secrets) <= {value.removeprefix("Token ") for value in server.requests[0].headers.values()}
    inner: Any = getattr(client, "client", client)
    held = [inner, inner.api, *vars(inner).values(), *(value for _, value in inspect.getmembers(inner.api))]
    shown = " ".join(map(repr, held)) + caplog.text
    assert [secret for secret in secrets if secret in shown] == []
