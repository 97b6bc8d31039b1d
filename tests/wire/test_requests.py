"""What arrives at the agent, for every operation and argument."""

from __future__ import annotations

import copy
import inspect
import json
import logging
import socket
import threading
import uuid
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from synapse_agent_api import models
from synapse_agent_api.api.health import health_check
from synapse_agent_api.api.plugin_releases import (
    create_plugin_release,
    delete_plugin_release,
    get_plugin_release,
    list_plugin_releases,
    run_debug_plugin_release,
    run_plugin_release,
)
from synapse_sdk import __version__, exceptions
from synapse_sdk.clients.agent import AgentClient, ReleaseLookup

from tests.wire.conftest import sync_only
from tests.wire.faults import CALLS, RELEASE, RUNS, hang_up, head, page, raw, reply

if TYPE_CHECKING:
    from tests.wire.conftest import OpenClient, OpenServer
    from tests.wire.faults import Received

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
"""The method and the path that the contract gives each operation."""
LOOKUPS = {
    "123": "123",
    "seg-anything@2.1.0+lig": "seg-anything%402.1.0%2Blig",
    "x/../../jobs/1@1": "x%2F..%2F..%2Fjobs%2F1%401",
    "../health/@1": "..%2Fhealth%2F%401",
    "..@..": "..%40..",
    "%2e%2e@1": "%252e%252e%401",
    "a?b=c#d@1": "a%3Fb%3Dc%23d%401",
    "a b\\c@1": "a%20b%5Cc%401",
    "검사@1": "%EA%B2%80%EC%82%AC%401",
    "~a-b_c.d@1": "~a-b_c.d%401",
}
"""Lookups, and the one segment of the path that each of them is."""


@pytest.mark.parametrize("prefix", ["", "/", "/a%20b/c//"])
def test_each_operation_has_its_method_and_path(open_client: OpenClient, open_server: OpenServer, prefix: str) -> None:
    """Each operation is sent once, with the method and the path of the contract behind the base_url's own, if any."""
    server = open_server()
    client = open_client(server.url + prefix)
    for name, arguments in CALLS.items():
        getattr(client, name)(*arguments)
    expected = [(method, prefix.rstrip("/") + path) for method, path in TARGETS.values()]
    assert [(request.method, request.target) for request in server.requests] == expected


@sync_only
def test_a_lookup_is_one_segment_of_the_path(open_client: OpenClient, open_server: OpenServer) -> None:
    """A lookup arrives percent-encoded as one segment, whatever it holds, and so reaches no other path."""
    server = open_server()
    client = open_client(server.url)
    for lookup, segment in LOOKUPS.items():
        for name in ("get_plugin_release", "delete_plugin_release", "run_plugin_release"):
            getattr(client, name)(lookup, *CALLS[name][1:])
            assert server.requests[-1].target == TARGETS[name][1].replace("7", segment)
            assert server.requests[-1].lookup == lookup


@sync_only
def test_a_release_is_named_by_what_is_at_hand(open_client: OpenClient, open_server: OpenServer) -> None:
    """A release that the client returned can be given back to it in place of its id."""
    server = open_server()
    client = open_client(server.url)
    model = models.PluginRelease(id=7, plugin="ocr_plugin", version="2.0.0")
    for release in ("7", RELEASE, MappingProxyType(RELEASE), model, ReleaseLookup("7")):
        client.get_plugin_release(release)
    assert [request.path for request in server.requests] == ["/plugin_releases/7"] * 5


FILTERS: list[tuple[Any, list[tuple[str, str]]]] = [
    (None, []),
    ({}, []),
    ({"page": 2, "page_size": 50}, [("page", "2"), ("page_size", "50")]),
    ({"plugin": "ocr_plugin", "page": None}, [("plugin", "ocr_plugin")]),
    ({"tag": ["a", "b"], "state": ("x",), "none": []}, [("tag", "a"), ("tag", "b"), ("state", "x")]),
    ({"ready": True, "failed": False, "score": 0.5}, [("ready", "true"), ("failed", "false"), ("score", "0.5")]),
    ({"q": "a b&c=d/é+%", "empty": ""}, [("q", "a b&c=d/é+%"), ("empty", "")]),
    (MappingProxyType({"plugin": "ocr_plugin"}), [("plugin", "ocr_plugin")]),
]


@sync_only
def test_filters_are_the_query(open_client: OpenClient, open_server: OpenServer) -> None:
    """Filters arrive as they were given, lists as repeated names, booleans in lower case, None not at all."""
    server = open_server()
    client = open_client(server.url)
    for params, query in FILTERS:
        client.list_plugin_releases(params)
        assert (server.requests[-1].path, server.requests[-1].query) == ("/plugin_releases/", query)


def test_whole_lists_have_a_page_size(open_client: OpenClient, open_server: OpenServer) -> None:
    """Whole lists ask for 100 releases a page unless told otherwise."""
    server = open_server(reply(page([RELEASE], 1)))
    client = open_client(server.url)
    for params, size in [(None, "100"), ({"page_size": None}, "100"), ({"page_size": 50}, "50")]:
        assert client.list_plugin_releases(params, list_all=True) == ([RELEASE], 1)
        assert list(client.iter_plugin_releases(params)) == [RELEASE]
        assert [request.query for request in server.requests[-2:]] == [[("page_size", size)]] * 2


def test_headers_of_every_request(open_client: OpenClient, open_server: OpenServer) -> None:
    """The token is sent raw, user and tenant as `Token ...`, beside the SDK's name and what was given."""
    server = open_server()
    options = {"user_token": "user-token", "tenant": "tenant-1", "headers": {"X-Trace": "abc"}}
    client = open_client(server.url, **options)
    for name, arguments in CALLS.items():
        getattr(client, name)(*arguments)
        request = server.requests[-1]
        assert request.headers["authorization"] == "agent-token"
        assert request.headers["synapse-user"] == "Token user-token"
        assert request.headers["synapse-tenant"] == "Token tenant-1"
        assert request.headers["user-agent"] == f"synapse-agent-sdk/{__version__}"
        assert request.headers["accept"] == "application/json"
        assert request.headers["x-trace"] == "abc"
        assert request.headers["host"] == server.url.removeprefix("http://")
        has_body = request.method == "POST"
        assert request.headers.get("content-type") == ("application/json" if has_body else None)
        assert bool(request.body) is has_body
        assert ("idempotency-key" in request.headers) is (name in RUNS)
        names = [name.lower() for name, _ in request.headers.pairs]
        assert len(names) == len(set(names))


@sync_only
def test_what_is_not_set_is_not_sent(open_client: OpenClient, open_server: OpenServer) -> None:
    """Token, user and tenant have no headers where they are not given, and do not need each other."""
    server = open_server()
    names = {"agent_token": "authorization", "user_token": "synapse-user", "tenant": "synapse-tenant"}
    for given in ({"agent_token": None}, {"agent_token": None, "user_token": "u"}, {"tenant": "t"}):
        client = open_client(server.url, **given)
        for name, arguments in CALLS.items():
            getattr(client, name)(*arguments)
        expected = {names[name] for name, value in {"agent_token": "a", **given}.items() if value}
        for request in server.requests[-len(CALLS) :]:
            assert {*names.values()} & request.headers.keys() == expected


@sync_only
def test_a_header_of_the_callers_takes_the_place_of_ours(open_client: OpenClient, open_server: OpenServer) -> None:
    """Headers that are given win over the SDK's own names, but not over the token."""
    server = open_server()
    headers = {"user-agent": "mine/1.0", "ACCEPT": "text/plain", "authorization": "Bearer other"}
    open_client(server.url, headers=headers).health_check()
    received = server.requests[0].headers
    assert (received["user-agent"], received["accept"]) == ("mine/1.0", "text/plain")
    assert received["authorization"] == "agent-token"


@sync_only
def test_settings_come_from_the_environment(
    open_client: OpenClient, open_server: OpenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """URL, token, user token and tenant come from the environment where they are left out."""
    server = open_server()
    monkeypatch.setenv("SYNAPSE_AGENT_URL", f"{server.url}/from-environment/")
    monkeypatch.setenv("SYNAPSE_AGENT_TOKEN", "environment-token\n")
    monkeypatch.setenv("SYNAPSE_USER_TOKEN", "environment-user")
    monkeypatch.setenv("SYNAPSE_TENANT", "environment-tenant")
    open_client(None, agent_token=None).health_check()
    (request,) = server.requests
    assert request.target == "/from-environment/health/"
    assert request.headers["authorization"] == "environment-token"
    assert request.headers["synapse-user"] == "Token environment-user"
    assert request.headers["synapse-tenant"] == "Token environment-tenant"


def test_a_request_leaves_as_one(open_client: OpenClient) -> None:
    """A server that reads once has seen the whole of a small request, its body included."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(30):
                connection, _ = listener.accept()
                with connection:
                    seen.append(connection.recv(65536))
                    raw(head(200, {"Content-Length": "6", "Connection": "close"}) + b'"done"')(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        client = open_client(f"http://127.0.0.1:{listener.getsockname()[1]}")
        for _ in range(30):
            assert client.run_plugin_release(7, "train", {"epochs": 1}) == "done"
        thread.join()
    assert all(request.endswith(b'"params":{"epochs":1}}') for request in seen)


@sync_only
def test_create_sends_its_two_fields(open_client: OpenClient, open_server: OpenServer) -> None:
    """Create sends the plugin and the version, and nothing else."""
    server = open_server(reply(RELEASE, 201))
    client = open_client(server.url)
    assert client.create_plugin_release("seg-anything", "2.1.0+lig") == RELEASE
    assert client.create_plugin_release(plugin="검사", version="1") == RELEASE
    assert [request.body for request in server.requests] == [
        b'{"plugin":"seg-anything","version":"2.1.0+lig"}',
        '{"plugin":"검사","version":"1"}'.encode(),
    ]


FIELDS: dict[str, Any] = {
    "action": "process",
    "params": {"path": "/data/x.pdf", "nested": {"list": [1, 2.5, None, True, "é"]}},
    "requirements": ["pillow>=9.0.0"],
    "job_id": "job_abc123",
    "language": "ko",
}
EMPTY: dict[str, Any] = {"params": {}, "requirements": [], "job_id": "", "language": ""}
DEBUG_FIELDS: dict[str, Any] = {
    **FIELDS,
    "plugin_path": "/path/to/plugin",
    "config": {"debug": True},
    "modules": {"my_plugin.processor": "class Processor: ..."},
}


def run_with(client: Any, name: str, *arguments: Any, **options: Any) -> Any:
    """Run an action, of release 7 where it is one of a release."""
    return getattr(client, name)(*((7,) if name == "run_plugin_release" else ()), *arguments, **options)


@sync_only
@pytest.mark.parametrize(
    ("name", "fields", "empty"),
    [
        ("run_plugin_release", FIELDS, EMPTY),
        ("run_debug_plugin_release", DEBUG_FIELDS, {**EMPTY, "plugin_path": "", "config": {}, "modules": {}}),
    ],
)
def test_every_field_of_a_run_is_sent(
    open_client: OpenClient, open_server: OpenServer, name: str, fields: dict[str, Any], empty: dict[str, Any]
) -> None:
    """All named arguments of a run arrive as fields of its body, empty ones too, and those that are None do not."""
    server = open_server()
    client = open_client(server.url)
    before = copy.deepcopy(fields)
    run_with(client, name, **fields)
    run_with(client, name, "train", **empty)
    assert [request.json for request in server.requests] == [before, {"action": "train", **empty}]
    assert fields == before
    run_with(client, name, **{**dict.fromkeys(fields), "action": "train", "data": None})
    run_with(client, name, "train", None)
    assert [request.body for request in server.requests[2:]] == [b'{"action":"train"}'] * 2


@sync_only
def test_arguments_may_be_of_kindred_types(open_client: OpenClient, open_server: OpenServer) -> None:
    """Paths, tuples and mappings of other types arrive as the JSON that they stand for."""
    server = open_server()
    open_client(server.url).run_debug_plugin_release(
        "train",
        MappingProxyType({"inner": MappingProxyType({"pair": (1, 2)})}),
        plugin_path=Path("/path/to/plugin"),
        requirements=("numpy",),
        config=MappingProxyType({"a": 1}),
        modules=MappingProxyType({"m": "x = 1"}),
    )
    assert server.requests[0].json == {
        "action": "train",
        "params": {"inner": {"pair": [1, 2]}},
        "plugin_path": "/path/to/plugin",
        "requirements": ["numpy"],
        "config": {"a": 1},
        "modules": {"m": "x = 1"},
    }


@sync_only
@pytest.mark.parametrize("name", RUNS)
def test_the_whole_body_of_v1_is_sent_as_it_is(open_client: OpenClient, open_server: OpenServer, name: str) -> None:
    """The body of v1 is sent untouched and never mutated, validated or completed; other arguments are ignored."""
    server = open_server()
    client = open_client(server.url)
    others = {"params": {"ignored": 1}, "requirements": ["ignored"], "job_id": "ignored", "language": "ignored"}
    bodies: list[dict[str, Any]] = [
        {},
        {"unknown": None, "params": None, "nested": {"empty": {}, "list": []}},
        {"action": 5, "params": "text", "job_id": 7},
    ]
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
def test_each_run_has_a_key(open_client: OpenClient, open_server: OpenServer, name: str) -> None:
    """Every run carries a fresh UUID, or the caller's own in the form that the contract asks for."""
    server = open_server()
    client = open_client(server.url)
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
def test_a_call_that_breaks_is_named(open_client: OpenClient, open_server: OpenServer) -> None:
    """An error names a request by its method and URL, and a run by its job id and key."""
    server = open_server(hang_up)
    client = open_client(server.url, retry=None)
    for name, arguments in CALLS.items():
        with pytest.raises(exceptions.ClientConnectionError) as caught:
            getattr(client, name)(*arguments, **({"job_id": "job-1"} if name in RUNS else {}))
        request = server.requests[-1]
        assert str(caught.value).startswith(f"{request.method} {server.url}{request.path}: ")
        if name in RUNS:
            key = request.headers["idempotency-key"]
            assert str(caught.value).endswith(f"may be running. Job id: job-1, idempotency key: {key}")


class Custom:
    """Something that is no JSON."""


DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]

# Each is an operation, its arguments by place and by name, and the error with a part of its message. Lookups, old
# conventions and values that are no JSON have more in tests/unit.
WRONG: list[Any] = [
    *[
        (name, (lookup, *CALLS[name][1:]), {}, ValueError, "names no release. Give its id")
        for name in ("get_plugin_release", "delete_plugin_release", "run_plugin_release")
        for lookup in ("", None, "..", "a@1\r\nX-Injected: 1", {"plugin": "a"})
    ],
    *[
        ("create_plugin_release", (), {"plugin": "a", "version": "1", wrong: value}, ValueError, f"{wrong} must be")
        for wrong in ("plugin", "version")
        for value in ("", "  ", None, 5, b"a")
    ],
    *[
        ("list_plugin_releases", ({"tag": value},), {}, TypeError, "params['tag'] must be a text, a number, a bool")
        for value in ({"a": 1}, {1}, [[1]], [None], b"a", Custom())
    ],
    *[("list_plugin_releases", (value,), {}, TypeError, "params must be a dict") for value in ("a=1", [("a", 1)], 5)],
    ("list_plugin_releases", ({5: "a"},), {}, TypeError, "the name of a filter must be a text, not 5"),
    ("list_plugin_releases", ({"q": "x" * 100_000},), {}, ValueError, "make no URL"),
    ("list_plugin_releases", ({"q": "\ud800"},), {}, ValueError, "make no URL"),
    ("get_plugin_release", ("a@" + "1" * 100_000,), {}, ValueError, "make no URL"),
    *[
        (name, (*CALLS[name][:-1], action), options, kind, part)
        for name in RUNS
        for action, options, kind, part in [
            (None, {}, TypeError, f"{name}() needs action='...'"),
            (" ", {"params": {}}, TypeError, f"{name}() needs action='...'"),
            (5, {}, TypeError, f"{name}() takes the action's name as text"),
            ("train", {"data": "text"}, TypeError, f"{name}() takes data as a dict"),
            ("train", {"params": [1]}, TypeError, "params must be a dict"),
            ("train", {"requirements": "numpy"}, TypeError, "requirements must be a list of texts"),
            ("train", {"requirements": [5]}, TypeError, "requirements must be a list of texts"),
            ("train", {"requirements": {"numpy"}}, TypeError, "requirements must be a list of texts"),
            ("train", {"job_id": Custom()}, TypeError, "job_id is not JSON: a Custom"),
            ("train", {"language": b"ko"}, TypeError, "language is not JSON: a bytes"),
            ("train", {"idempotency_key": "key"}, ValueError, "idempotency_key must be a UUID"),
            ("train", {"idempotency_key": 5}, ValueError, "idempotency_key must be a UUID"),
            *[
                ("train", {"timeout": value}, ValueError, "timeout takes seconds")
                for value in (0, -1, "5", True, float("nan"), {"total": 1})
            ],
            ("train", {"params": {"deep": DEEP}}, ValueError, "nested too deep"),
            ({"params": {"when": {1, 2}}}, {}, TypeError, "params.when is not JSON: a set"),
            ("train", {"params": {"items": [0, {"at": "\ud800"}]}}, ValueError, "params.items[1].at is not JSON"),
            ("train", {"data": {"params": {"when": float("nan")}}}, ValueError, "params.when is not JSON: nan"),
        ]
    ],
    *[
        ("run_debug_plugin_release", ("train",), {wrong: value}, TypeError, part)
        for wrong, value, part in [
            ("config", "debug", "config must be a dict"),
            ("modules", [1], "modules must be a dict"),
            ("plugin_path", 5, "plugin_path must be a text or a Path"),
            ("plugin_path", b"/path", "plugin_path must be a text or a Path"),
        ]
    ],
]


@sync_only
@pytest.mark.parametrize("name", sorted({name for name, *_ in WRONG}))
def test_wrong_arguments_are_refused_before_anything_is_sent(
    open_client: OpenClient, open_server: OpenServer, name: str
) -> None:
    """Every wrong argument raises an error that names it, before a connection is opened."""
    server = open_server()
    client = open_client(server.url)
    for _, arguments, options, kind, part in [wrong for wrong in WRONG if wrong[0] == name]:
        with pytest.raises(kind) as caught:
            getattr(client, name)(*arguments, **options)
        assert part in str(caught.value)
        assert len(str(caught.value)) < 500
    assert (server.requests, server.connections) == ([], 0)


SETTINGS: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"base_url": "http://user:pw@agent"}, ValueError),
    ({"base_url": "http://xn--/"}, ValueError),
    ({"base_url": f"http://{'a' * 64}/"}, ValueError),
    ({"agent_token": "a", "access_token": "b"}, ValueError),
    ({"agent_token": "line\nbreak"}, ValueError),
    ({"timeout": 0}, ValueError),
    ({"headers": {"X-A": "a\r\nX-Injected: 1"}}, ValueError),
    ({"verify": "no/such/file.pem"}, ValueError),
    ({"retry": True}, TypeError),
    ({"limits": None}, TypeError),
    ({"limits": httpx.Limits(max_connections=0)}, ValueError),
    ({"max_response_bytes": 0}, ValueError),
    ({"max_response_bytes": 1.5}, ValueError),
    ({"http_client": object()}, TypeError),
    ({"transport": object()}, TypeError),
    ({"http_client": object(), "transport": object()}, ValueError),
    ({"prefetch": 0}, ValueError),
    ({"prefetch": True}, ValueError),
]


def test_a_wrong_setting_is_named() -> None:
    """A setting that cannot be used is named when the client is made, and not at its first call."""
    for options, kind in SETTINGS:
        with pytest.raises(kind, match=next(iter(options))):
            AgentClient(**{"base_url": "http://agent", **options})


UNUSUAL = {
    "id": "7",
    "plugin": None,
    "created": "2026-01-02T03:04:05.678Z",
    "unknown": {"nested": [1, 2.50, None, True]},
    "big": 2**70,
    "text": "é\u0000\n",
}
RESULTS: list[Any] = [{"a": [1]}, [], [[None]], "", "text", '{"a": 1}', 0, -1.5, 2**70, True, False, None]


def test_what_the_agent_sends_is_handed_back_untouched(open_client: OpenClient, open_server: OpenServer) -> None:
    """Fields that nobody knows stay, dates stay texts, and missing fields are not made up; a run gives any JSON."""
    for name, arguments in CALLS.items():
        if name != "delete_plugin_release":
            results = RESULTS if name in RUNS else [UNUSUAL, {}]
            client = open_client(open_server(*map(reply, results)).url)
            for value in results:
                result = getattr(client, name)(*arguments)
                assert (result, type(result)) == (value, type(value))


GENERATED: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]] = {
    "health_check": (health_check, (), {}),
    "list_plugin_releases": (list_plugin_releases, (), {"page_size": 5}),
    "create_plugin_release": (
        create_plugin_release,
        (),
        {"body": models.CreatePluginReleaseRequest(plugin="ocr_plugin", version="2.0.0")},
    ),
    "get_plugin_release": (get_plugin_release, ("a/b@1",), {}),
    "delete_plugin_release": (delete_plugin_release, ("a/b@1",), {}),
    "run_plugin_release": (run_plugin_release, ("7",), {"body": models.RunPluginReleaseRequest(action="train")}),
    "run_debug_plugin_release": (
        run_debug_plugin_release,
        (),
        {"body": models.RunDebugPluginReleaseRequest(action="train")},
    ),
}


def call_generated(client: Any, name: str) -> Any:
    """Call a generated function with the client's `api`, in the client's own event loop where it has one."""
    endpoint, arguments, options = GENERATED[name]
    if hasattr(client, "_runner"):
        return client._runner.run(endpoint.asyncio_detailed(*arguments, client=client.api, **options))
    return endpoint.sync_detailed(*arguments, client=client.api, **options)


def significant(request: Received) -> dict[str, str]:
    """The headers that say who asks."""
    names = ("authorization", "synapse-user", "synapse-tenant", "user-agent", "accept", "x-trace", "host")
    return {name: request.headers[name] for name in names}


def test_generated_functions_send_as_the_client_does(open_client: OpenClient, open_server: OpenServer) -> None:
    """The generated functions work with `client.api`: same connection, prefix and headers, parsed answers."""
    server = open_server()
    options = {"user_token": "user-token", "tenant": "tenant-1", "headers": {"X-Trace": "abc"}}
    client = open_client(f"{server.url}/prefix/", **options)
    client.get_plugin_release(7)
    for name, (_, arguments, _) in GENERATED.items():
        answer = {"health_check": {"status": "ok"}, "list_plugin_releases": page([RELEASE], 1)}.get(name, RELEASE)
        server.answers[:] = [reply(answer, 204 if name == "delete_plugin_release" else 200)]
        response = call_generated(client, name)
        if name == "get_plugin_release":
            assert response.parsed == models.PluginRelease(id=7, plugin="ocr_plugin", version="2.0.0")
        request = server.requests[-1]
        assert (significant(request), request.connection) == (significant(server.requests[0]), 1)
        method, path = TARGETS[name]
        path = path.replace("7", "a%2Fb%401") if "a/b@1" in arguments else path
        assert (request.method, request.path) == (method, f"/prefix{path}")


def test_generated_functions_raise_the_errors_of_the_sdk(open_client: OpenClient, open_server: OpenServer) -> None:
    """An error that a generated function meets is the one that the client raises."""
    server = open_server(reply({"detail": "no"}, 401))
    client = open_client(server.url)
    for name in GENERATED:
        with pytest.raises(exceptions.AuthenticationError) as caught:
            call_generated(client, name)
        assert (caught.value.status_code, caught.value.detail) == (401, "no")
    assert len(server.requests) == len(GENERATED)


def test_reprs_show_no_secrets(
    open_client: OpenClient, open_server: OpenServer, caplog: pytest.LogCaptureFixture
) -> None:
    """No repr of a client or of what it holds shows a token, and neither does any log."""
    caplog.set_level(logging.DEBUG)
    secrets = ["secret-agent", "secret-user", "secret-tenant", "secret-header"]
    server = open_server()
    agent, user, tenant, header = secrets
    client = open_client(server.url, agent_token=agent, user_token=user, tenant=tenant, headers={"X-Key": header})
    client.health_check()
    call_generated(client, "health_check")
    assert set(secrets) <= {value.removeprefix("Token ") for value in server.requests[0].headers.values()}
    inner: Any = getattr(client, "client", client)
    held = [inner, inner.api, *vars(inner).values(), *(value for _, value in inspect.getmembers(inner.api))]
    shown = " ".join(map(repr, held)) + caplog.text
    assert [secret for secret in secrets if secret in shown] == []
