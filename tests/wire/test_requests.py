"""What arrives at the agent, for every operation and argument."""

from __future__ import annotations

import copy
import inspect
import json
import logging
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
from synapse_sdk.clients.agent import ReleaseLookup

from tests.wire.faults import RELEASE, page, reply

if TYPE_CHECKING:
    import asyncio

    from tests.wire.conftest import OpenClient, OpenServer
    from tests.wire.faults import Received

LOOKUPS = {
    "123": "123",
    "ocr_plugin@2.0.0": "ocr_plugin%402.0.0",
    "seg-anything@2.1.0+lig": "seg-anything%402.1.0%2Blig",
    "a/b@1": "a%2Fb%401",
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

CALLS: dict[str, tuple[tuple[Any, ...], str, str]] = {
    "health_check": ((), "GET", "/health/"),
    "list_plugin_releases": ((), "GET", "/plugin_releases/"),
    "create_plugin_release": (("ocr_plugin", "2.0.0"), "POST", "/plugin_releases/"),
    "get_plugin_release": ((7,), "GET", "/plugin_releases/7"),
    "delete_plugin_release": ((7,), "DELETE", "/plugin_releases/7"),
    "run_plugin_release": ((7, "train"), "POST", "/plugin_releases/7/run/"),
    "run_debug_plugin_release": (("train",), "POST", "/plugin_releases/run_debug/"),
}
"""Each operation with the least arguments, and the method and path that the contract gives it."""

RUNS = [name for name in CALLS if name.startswith("run")]
EVERY_CALL = pytest.mark.parametrize("name", CALLS)
EVERY_RUN = pytest.mark.parametrize("name", RUNS)
EVERY_LOOKUP = pytest.mark.parametrize("lookup", LOOKUPS, ids=ascii)


@EVERY_CALL
def test_each_operation_has_its_method_and_path(open_client: OpenClient, open_server: OpenServer, name: str) -> None:
    """Each operation is sent once, with the method and the path of the contract and no query."""
    server = open_server()
    arguments, method, path = CALLS[name]
    getattr(open_client(server.url), name)(*arguments)
    assert [(request.method, request.target) for request in server.requests] == [(method, path)]


@EVERY_LOOKUP
@pytest.mark.parametrize("name", ["get_plugin_release", "delete_plugin_release", "run_plugin_release"])
def test_a_lookup_is_one_segment_of_the_path(
    open_client: OpenClient, open_server: OpenServer, name: str, lookup: str
) -> None:
    """A lookup arrives percent-encoded as one segment, whatever it holds, and so reaches no other path."""
    server = open_server()
    arguments = (lookup, *CALLS[name][0][1:])
    getattr(open_client(server.url), name)(*arguments)
    (request,) = server.requests
    assert request.target == CALLS[name][2].replace("7", LOOKUPS[lookup])
    assert request.lookup == lookup


@pytest.mark.parametrize(
    "release",
    [
        7,
        "7",
        RELEASE,
        MappingProxyType(RELEASE),
        models.PluginRelease(id=7, plugin="ocr_plugin", version="2.0.0"),
        ReleaseLookup("7"),
    ],
    ids=lambda release: type(release).__name__,
)
def test_a_release_is_named_by_what_is_at_hand(open_client: OpenClient, open_server: OpenServer, release: Any) -> None:
    """A release that the client returned can be given back to it in place of its id."""
    server = open_server()
    open_client(server.url).get_plugin_release(release)
    assert server.requests[0].path == "/plugin_releases/7"


@pytest.mark.parametrize("prefix", ["", "/", "/team-a", "/team-a/", "/a%20b/c//"])
@EVERY_CALL
def test_a_path_prefix_is_kept(open_client: OpenClient, open_server: OpenServer, name: str, prefix: str) -> None:
    """A base_url may carry a path prefix, with or without a slash at its end."""
    server = open_server()
    arguments, _, path = CALLS[name]
    getattr(open_client(server.url + prefix), name)(*arguments)
    assert server.requests[0].target == prefix.rstrip("/") + path


@pytest.mark.parametrize(
    ("params", "query"),
    [
        (None, []),
        ({}, []),
        ({"page": 2, "page_size": 50}, [("page", "2"), ("page_size", "50")]),
        ({"plugin": "ocr_plugin", "page": None}, [("plugin", "ocr_plugin")]),
        ({"tag": ["a", "b"], "state": ("x",), "none": []}, [("tag", "a"), ("tag", "b"), ("state", "x")]),
        ({"ready": True, "failed": False, "score": 0.5}, [("ready", "true"), ("failed", "false"), ("score", "0.5")]),
        ({"q": "a b&c=d/é+%", "empty": ""}, [("q", "a b&c=d/é+%"), ("empty", "")]),
        (MappingProxyType({"plugin": "ocr_plugin"}), [("plugin", "ocr_plugin")]),
    ],
    ids=str,
)
def test_filters_are_the_query(
    open_client: OpenClient, open_server: OpenServer, params: Any, query: list[tuple[str, str]]
) -> None:
    """Filters arrive as they were given, lists as repeated names, booleans in lower case, None not at all."""
    server = open_server()
    open_client(server.url).list_plugin_releases(params)
    assert server.requests[0].path == "/plugin_releases/"
    assert server.requests[0].query == query


@pytest.mark.parametrize(
    ("params", "size"), [(None, "100"), ({}, "100"), ({"page_size": None}, "100"), ({"page_size": 50}, "50")], ids=str
)
def test_whole_lists_are_read_in_pages_of_a_hundred(
    open_client: OpenClient, open_server: OpenServer, params: Any, size: str
) -> None:
    """Whole lists ask for 100 releases a page unless told otherwise."""
    server = open_server(reply(page([RELEASE], 1)))
    client = open_client(server.url)
    assert client.list_plugin_releases(params, list_all=True) == ([RELEASE], 1)
    assert list(client.iter_plugin_releases(params)) == [RELEASE]
    assert [request.query for request in server.requests] == [[("page_size", size)]] * 2


@EVERY_CALL
def test_headers_of_every_request(open_client: OpenClient, open_server: OpenServer, name: str) -> None:
    """The token is sent raw, user and tenant as `Token ...`, beside the SDK's name and what was given."""
    server = open_server()
    options = {"user_token": "user-token", "tenant": "tenant-1", "headers": {"X-Trace": "abc"}}
    getattr(open_client(server.url, **options), name)(*CALLS[name][0])
    (request,) = server.requests
    assert request.headers["authorization"] == "agent-token"
    assert request.headers["synapse-user"] == "Token user-token"
    assert request.headers["synapse-tenant"] == "Token tenant-1"
    assert request.headers["user-agent"] == f"synapse-agent-sdk/{__version__}"
    assert request.headers["accept"] == "application/json"
    assert request.headers["x-trace"] == "abc"
    assert request.headers["host"] == server.url.removeprefix("http://")
    has_body = CALLS[name][1] == "POST"
    assert request.headers.get("content-type") == ("application/json" if has_body else None)
    assert ("idempotency-key" in request.headers) is (name in RUNS)
    names = [name.lower() for name, _ in request.headers.pairs]
    assert len(names) == len(set(names))
    if not has_body:
        assert request.body == b""


@EVERY_CALL
def test_what_is_not_set_is_not_sent(open_client: OpenClient, open_server: OpenServer, name: str) -> None:
    """Without a token, a user and a tenant there are no headers of theirs."""
    server = open_server()
    getattr(open_client(server.url, agent_token=None), name)(*CALLS[name][0])
    assert not {"authorization", "synapse-user", "synapse-tenant"} & server.requests[0].headers.keys()


@pytest.mark.parametrize("options", [{"user_token": "u"}, {"tenant": "t"}], ids=str)
def test_user_and_tenant_do_not_need_each_other(
    open_client: OpenClient, open_server: OpenServer, options: dict[str, str]
) -> None:
    """A user token is sent without a tenant, and a tenant without a user token."""
    server = open_server()
    open_client(server.url, **options).health_check()
    headers = server.requests[0].headers
    assert headers.get("synapse-user") == ("Token u" if "user_token" in options else None)
    assert headers.get("synapse-tenant") == ("Token t" if "tenant" in options else None)


def test_a_header_of_the_callers_takes_the_place_of_ours(open_client: OpenClient, open_server: OpenServer) -> None:
    """Headers that are given win over the SDK's own names, but not over the token."""
    server = open_server()
    headers = {"user-agent": "mine/1.0", "ACCEPT": "text/plain", "authorization": "Bearer other"}
    open_client(server.url, headers=headers).health_check()
    received = server.requests[0].headers
    assert (received["user-agent"], received["accept"]) == ("mine/1.0", "text/plain")
    assert received["authorization"] == "agent-token"


@pytest.mark.parametrize("options", [{"agent_token": None}, {"agent_token": None, "access_token": None}], ids=str)
def test_settings_come_from_the_environment(
    open_client: OpenClient, open_server: OpenServer, monkeypatch: pytest.MonkeyPatch, options: dict[str, None]
) -> None:
    """URL, token, user token and tenant come from the environment where they are left out."""
    server = open_server()
    monkeypatch.setenv("SYNAPSE_AGENT_URL", f"{server.url}/from-environment/")
    monkeypatch.setenv("SYNAPSE_AGENT_TOKEN", "environment-token\n")
    monkeypatch.setenv("SYNAPSE_USER_TOKEN", "environment-user")
    monkeypatch.setenv("SYNAPSE_TENANT", "environment-tenant")
    open_client(None, **options).health_check()
    (request,) = server.requests
    assert request.target == "/from-environment/health/"
    assert request.headers["authorization"] == "environment-token"
    assert request.headers["synapse-user"] == "Token environment-user"
    assert request.headers["synapse-tenant"] == "Token environment-tenant"


def test_the_other_name_of_the_token(open_client: OpenClient, open_server: OpenServer) -> None:
    """access_token is sent just as agent_token is, and wins over the environment."""
    server = open_server()
    open_client(server.url, agent_token=None, access_token="access-token").health_check()
    assert server.requests[0].headers["authorization"] == "access-token"


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
DEBUG_FIELDS: dict[str, Any] = {
    **FIELDS,
    "plugin_path": "/path/to/plugin",
    "config": {"debug": True},
    "modules": {"my_plugin.processor": "class Processor: ..."},
}


def run_with(client: Any, name: str, *arguments: Any, **options: Any) -> Any:
    """Run an action, of release 7 where it is one of a release."""
    return getattr(client, name)(*((7,) if name == "run_plugin_release" else ()), *arguments, **options)


@pytest.mark.parametrize(
    ("name", "fields"), [("run_plugin_release", FIELDS), ("run_debug_plugin_release", DEBUG_FIELDS)]
)
def test_every_field_of_a_run_is_sent(
    open_client: OpenClient, open_server: OpenServer, name: str, fields: dict[str, Any]
) -> None:
    """All named arguments of a run arrive as fields of its body, by their own names."""
    server = open_server()
    before = copy.deepcopy(fields)
    run_with(open_client(server.url), name, **fields)
    assert server.requests[0].json == before == fields


@pytest.mark.parametrize(
    ("name", "optional"), [("run_plugin_release", FIELDS), ("run_debug_plugin_release", DEBUG_FIELDS)]
)
def test_none_is_left_out(
    open_client: OpenClient, open_server: OpenServer, name: str, optional: dict[str, Any]
) -> None:
    """Arguments of a run that are None are not sent."""
    server = open_server()
    client = open_client(server.url)
    run_with(client, name, **{**dict.fromkeys(optional), "action": "train", "data": None})
    run_with(client, name, "train")
    run_with(client, name, "train", None)
    assert [request.body for request in server.requests] == [b'{"action":"train"}'] * 3


@pytest.mark.parametrize(
    ("name", "empty"),
    [
        ("run_plugin_release", {"params": {}, "requirements": [], "job_id": "", "language": ""}),
        (
            "run_debug_plugin_release",
            {"params": {}, "requirements": [], "config": {}, "modules": {}, "plugin_path": "", "job_id": ""},
        ),
    ],
)
def test_what_is_empty_is_sent(
    open_client: OpenClient, open_server: OpenServer, name: str, empty: dict[str, Any]
) -> None:
    """Empty dicts, lists and texts are sent, since they are not None."""
    server = open_server()
    run_with(open_client(server.url), name, "train", **empty)
    assert server.requests[0].json == {"action": "train", **empty}


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


BODIES: list[dict[str, Any]] = [
    {},
    {"action": "train", "params": {"epochs": 10}, "job_id": "job-uuid"},
    {"unknown": None, "params": None, "nested": {"empty": {}, "list": []}},
    {"action": 5, "params": "text", "job_id": 7},
]


@pytest.mark.parametrize("body", BODIES, ids=json.dumps)
@pytest.mark.parametrize("convention", ["data", "positional", "data beside others"])
@EVERY_RUN
def test_the_whole_body_of_v1_is_sent_as_it_is(
    open_client: OpenClient, open_server: OpenServer, name: str, convention: str, body: dict[str, Any]
) -> None:
    """The body of v1 is sent untouched and never mutated, validated or completed; other arguments are ignored."""
    server = open_server()
    client = open_client(server.url)
    before = copy.deepcopy(body)
    others = {"params": {"ignored": 1}, "requirements": ["ignored"], "job_id": "ignored", "language": "ignored"}
    if convention == "data":
        run_with(client, name, data=body)
    elif convention == "positional":
        run_with(client, name, body)
    else:
        run_with(client, name, "ignored", data=body, **others)
    assert server.requests[0].body == json.dumps(before, separators=(",", ":")).encode()
    assert body == before


@EVERY_RUN
def test_each_run_has_a_key_of_its_own(open_client: OpenClient, open_server: OpenServer, name: str) -> None:
    """Every run carries a fresh UUID, with the body of v1 too."""
    server = open_server()
    client = open_client(server.url)
    for _ in range(2):
        run_with(client, name, "train")
        run_with(client, name, data={"action": "train"})
    keys = [request.headers["idempotency-key"] for request in server.requests]
    assert len(set(keys)) == 4
    assert all(str(uuid.UUID(key)) == key for key in keys)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("7f3f0e0a-6f1c-4c6b-9d52-2a4d8c1b7e90", "7f3f0e0a-6f1c-4c6b-9d52-2a4d8c1b7e90"),
        ("7F3F0E0A-6F1C-4C6B-9D52-2A4D8C1B7E90", "7F3F0E0A-6F1C-4C6B-9D52-2A4D8C1B7E90"),
        ("7f3f0e0a6f1c4c6b9d522a4d8c1b7e90", "7f3f0e0a-6f1c-4c6b-9d52-2a4d8c1b7e90"),
        ("{7f3f0e0a-6f1c-4c6b-9d52-2a4d8c1b7e90}", "7f3f0e0a-6f1c-4c6b-9d52-2a4d8c1b7e90"),
        (uuid.UUID("7f3f0e0a-6f1c-4c6b-9d52-2a4d8c1b7e90"), "7f3f0e0a-6f1c-4c6b-9d52-2a4d8c1b7e90"),
    ],
)
@EVERY_RUN
def test_a_key_that_is_given_is_kept(
    open_client: OpenClient, open_server: OpenServer, name: str, given: str | uuid.UUID, sent: str
) -> None:
    """A caller's own UUID is the key of the run, in the form that the contract asks for."""
    server = open_server()
    run_with(open_client(server.url), name, "train", idempotency_key=given)
    assert server.requests[0].headers["idempotency-key"] == sent


class Custom:
    """Something that is no JSON."""


DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]

WRONG_LOOKUPS: list[Any] = [
    "",
    " ",
    None,
    "ocr_plugin",
    "@1",
    "a@",
    ".",
    "..",
    "../health/",
    "a\n@1",
    "a@1\r\nX-Injected: 1",
    -1,
    True,
    1.5,
    {},
    {"plugin": "a"},
    {"plugin": "a", "version": "1@2"},
    object(),
]
WRONG_VALUES: list[tuple[Any, type[Exception], str]] = [
    ({1, 2}, TypeError, "a set"),
    (Custom(), TypeError, "a Custom"),
    (b"bytes", TypeError, "a bytes"),
    (float("nan"), ValueError, "nan"),
    (float("inf"), ValueError, "inf"),
    ("\ud800", ValueError, "a text with lone surrogates"),
]
# Each is an operation, its arguments by place and by name, and the error with a part of its message.
WRONG: list[Any] = [
    *[
        (name, (lookup, *CALLS[name][0][1:]), {}, ValueError, "names no release. Give its id")
        for name in ("get_plugin_release", "delete_plugin_release", "run_plugin_release")
        for lookup in WRONG_LOOKUPS
    ],
    *[
        (
            "create_plugin_release",
            (),
            {"plugin": "a", "version": "1", wrong: value},
            ValueError,
            f"{wrong} must be a text",
        )
        for wrong in ("plugin", "version")
        for value in ("", "  ", None, 5, b"a")
    ],
    *[
        ("list_plugin_releases", ({"tag": value},), {}, TypeError, "params['tag'] must be")
        for value in ({"a": 1}, {1}, object(), [[1]], [None], b"a", Custom())
    ],
    *[("list_plugin_releases", (value,), {}, TypeError, "params must be a dict") for value in ("a=1", [("a", 1)], 5)],
    ("run_plugin_release", (7,), {}, TypeError, "needs action='...'"),
    ("run_debug_plugin_release", (), {}, TypeError, "needs action='...'"),
    ("run_plugin_release", (7, "train", "params"), {}, TypeError, "params must be a dict"),
    *[
        (name, (*CALLS[name][0][:-1], action), options, kind, part)
        for name in RUNS
        for action, options, kind, part in [
            (None, {}, TypeError, "needs action='...'"),
            ("", {}, TypeError, "needs action='...'"),
            (" ", {"params": {}}, TypeError, "needs action='...'"),
            (5, {}, TypeError, "action's name as text"),
            (["train"], {}, TypeError, "action's name as text"),
            ("train", {"data": "text"}, TypeError, "takes data as a dict"),
            ("train", {"data": [1]}, TypeError, "takes data as a dict"),
            ("train", {"params": [1]}, TypeError, "params must be a dict"),
            ("train", {"requirements": "numpy"}, TypeError, "requirements must be a list of texts"),
            ("train", {"requirements": [5]}, TypeError, "requirements must be a list of texts"),
            ("train", {"requirements": 5}, TypeError, "requirements must be a list of texts"),
            ("train", {"requirements": {"numpy"}}, TypeError, "requirements must be a list of texts"),
            ("train", {"job_id": Custom()}, TypeError, "job_id is not JSON: a Custom"),
            ("train", {"language": b"ko"}, TypeError, "language is not JSON: a bytes"),
            ("train", {"idempotency_key": "key"}, ValueError, "idempotency_key must be a UUID"),
            ("train", {"idempotency_key": ""}, ValueError, "idempotency_key must be a UUID"),
            ("train", {"idempotency_key": 5}, ValueError, "idempotency_key must be a UUID"),
            *[
                ("train", {"timeout": value}, ValueError, "timeout takes seconds")
                for value in (0, -1, "5", True, float("nan"), float("inf"), (1,), {"total": 1}, [1, 2])
            ],
            ("train", {"params": {"deep": DEEP}}, ValueError, "nested too deep"),
            ({"params": {"deep": DEEP}}, {}, ValueError, "nested too deep"),
            *[
                (
                    "train",
                    {"params": {"items": [0, 1, 2, {"when": value}]}},
                    kind,
                    f"params.items[3].when is not JSON: {part}",
                )
                for value, kind, part in WRONG_VALUES
            ],
            *[
                ("train", {"data": {"params": {"when": value}}}, kind, f"params.when is not JSON: {part}")
                for value, kind, part in WRONG_VALUES
            ],
        ]
    ],
    *[
        ("run_debug_plugin_release", ("train",), {wrong: value}, TypeError, f"{wrong} must be")
        for wrong, value in [
            ("config", "debug"),
            ("config", [1]),
            ("modules", "x = 1"),
            ("modules", [1]),
            ("plugin_path", 5),
            ("plugin_path", b"/path"),
        ]
    ],
]


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


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"agent_token": "a", "access_token": "b"}, "agent_token and access_token"),
        ({"agent_token": "two words"}, "agent_token"),
        ({"agent_token": "line\nbreak"}, "agent_token"),
        ({"user_token": "é"}, "user_token"),
        ({"tenant": "a\x00"}, "tenant"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": {"total": 5}}, "timeout"),
        ({"headers": {"X-A": "a\r\nX-Injected: 1"}}, "headers"),
        ({"headers": {"X A": "a"}}, "headers"),
        ({"verify": "no/such/file.pem"}, "verify"),
        ({"verify": None}, "verify"),
    ],
    ids=str,
)
def test_wrong_settings_are_refused_at_once(
    open_client: OpenClient, open_server: OpenServer, options: dict[str, Any], part: str
) -> None:
    """A wrong setting raises a ValueError that names it when the client is made."""
    server = open_server()
    with pytest.raises(ValueError, match=part):
        open_client(server.url, **options)
    assert server.connections == 0


@pytest.mark.parametrize(
    "url", ["127.0.0.1:{port}", "//127.0.0.1:{port}", "http://user:pw@127.0.0.1:{port}", "http://127.0.0.1:{port}?a=1"]
)
def test_a_wrong_url_is_refused_at_once(open_client: OpenClient, open_server: OpenServer, url: str) -> None:
    """A base_url without a scheme, or with a user and password, is refused when the client is made."""
    server = open_server()
    with pytest.raises(ValueError, match="base_url"):
        open_client(url.format(port=server.port))
    assert server.connections == 0


UNUSUAL = {
    "id": "7",
    "plugin": None,
    "created": "2026-01-02T03:04:05.678Z",
    "unknown": {"nested": [1, 2.50, None, True]},
    "big": 2**70,
    "text": "é\u0000\n",
}


@pytest.mark.parametrize(
    "name", ["health_check", "get_plugin_release", "create_plugin_release", "list_plugin_releases"]
)
def test_what_the_agent_sends_is_handed_back_untouched(
    open_client: OpenClient, open_server: OpenServer, name: str
) -> None:
    """Fields that nobody knows stay, dates stay texts, and missing fields are not made up."""
    server = open_server(reply(UNUSUAL))
    result = getattr(open_client(server.url), name)(*CALLS[name][0])
    assert result == UNUSUAL
    assert type(result) is dict


@pytest.mark.parametrize(
    "value", [{}, {"a": [1]}, [], [[None]], "", "text", '{"a": 1}', 0, -1.5, 2**70, True, False, None], ids=json.dumps
)
@EVERY_RUN
def test_the_result_of_a_run_is_any_json(
    open_client: OpenClient, open_server: OpenServer, name: str, value: Any
) -> None:
    """The result of an action comes back as it is, whatever kind of JSON it is."""
    server = open_server(reply(value))
    result = run_with(open_client(server.url), name, "train")
    assert result == value
    assert type(result) is type(value)


def test_a_delete_gives_none(open_client: OpenClient, open_server: OpenServer) -> None:
    """Delete has no result."""
    server = open_server(reply(None, 204))
    assert open_client(server.url).delete_plugin_release(7) is None


def test_calls_share_a_connection(open_client: OpenClient, open_server: OpenServer) -> None:
    """One call after the other goes over the same connection."""
    server = open_server()
    client = open_client(server.url)
    for name, (arguments, *_) in CALLS.items():
        getattr(client, name)(*arguments)
    assert len(server.requests) == len(CALLS)
    assert server.connections == 1


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
        runner: asyncio.Runner = client._runner
        return runner.run(endpoint.asyncio_detailed(*arguments, client=client.api, **options))
    return endpoint.sync_detailed(*arguments, client=client.api, **options)


def significant(request: Received) -> dict[str, str]:
    """The headers that say who asks."""
    names = ("authorization", "synapse-user", "synapse-tenant", "user-agent", "accept", "x-trace", "host")
    return {name: request.headers[name] for name in names}


@pytest.mark.parametrize("name", GENERATED)
def test_generated_functions_send_as_the_client_does(
    open_client: OpenClient, open_server: OpenServer, name: str
) -> None:
    """The generated functions work with `client.api`: same connection, prefix and headers, parsed answers."""
    releases = page([RELEASE], 1)
    answer = {"health_check": {"status": "ok"}, "list_plugin_releases": releases}.get(name, RELEASE)
    server = open_server(reply(answer, 204 if name == "delete_plugin_release" else 200))
    options = {"user_token": "user-token", "tenant": "tenant-1", "headers": {"X-Trace": "abc"}}
    client = open_client(f"{server.url}/prefix/", **options)
    client.delete_plugin_release(7) if name == "delete_plugin_release" else client.health_check()
    response = call_generated(client, name)
    assert response.status_code in {200, 204}
    if name == "get_plugin_release":
        assert response.parsed == models.PluginRelease(id=7, plugin="ocr_plugin", version="2.0.0")
    first, second = server.requests
    assert significant(first) == significant(second)
    assert (first.connection, second.connection) == (1, 1)
    path = CALLS[name][2].replace("7", "a%2Fb%401") if "a/b@1" in GENERATED[name][1] else CALLS[name][2]
    assert (second.method, second.path) == (CALLS[name][1], f"/prefix{path}")


@pytest.mark.parametrize("name", GENERATED)
@pytest.mark.parametrize(("status", "kind"), [(401, exceptions.AuthenticationError), (500, exceptions.ServerError)])
def test_generated_functions_raise_the_errors_of_the_sdk(
    open_client: OpenClient, open_server: OpenServer, name: str, status: int, kind: type[exceptions.HTTPError]
) -> None:
    """An error that a generated function meets is the one that the client raises."""
    server = open_server(reply({"detail": "no"}, status))
    with pytest.raises(kind) as caught:
        call_generated(open_client(server.url), name)
    assert (caught.value.status_code, caught.value.detail) == (status, "no")
    assert len(server.requests) == 1


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


@pytest.mark.parametrize(
    "options",
    [
        {"retry": "x"},
        {"retry": True},
        {"limits": None},
        {"limits": httpx.Limits(max_connections=0)},
        {"max_response_bytes": None},
        {"max_response_bytes": 0},
        {"max_response_bytes": 1.5},
    ],
    ids=str,
)
def test_a_wrong_setting_is_named(open_client: OpenClient, options: dict[str, Any]) -> None:
    """A setting that cannot be used is named when the client is made, and not at its first call."""
    with pytest.raises((ValueError, TypeError), match=next(iter(options))):
        open_client("http://agent", **options)
