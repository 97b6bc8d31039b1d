"""Requests are built from arguments."""

from __future__ import annotations

import uuid
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from synapse_agent_sdk.endpoints import (
    auth_headers,
    create_plugin_release,
    delete_plugin_release,
    generated_client,
    get_plugin_release,
    health_check,
    list_plugin_releases,
    run_debug_plugin_release,
    run_plugin_release,
)
from synapse_agent_sdk.runtime import Request
from synapse_agent_sdk.runtime.json_body import ENCODER

from tests.unit.helpers import refusal

KEY = "7f3f0e0a-6f1c-4c6b-9d52-2a4d8c1b7e90"
JSON = {"Content-Type": "application/json"}
NEW = {"plugin": "검사", "version": "1"}
RUNS: list[tuple[Any, tuple[Any, ...], str]] = [
    (run_plugin_release, ("ocr@1",), "/plugin_releases/ocr%401/run/"),
    (run_debug_plugin_release, (), "/plugin_releases/run_debug/"),
]
EVERY_RUN = pytest.mark.parametrize(("run", "place", "url"), RUNS, ids=["run", "debug"])
FIELDS: dict[str, Any] = {
    "params": {"path": "/data/x.pdf", "nested": {"list": [1, 2.5, None, True, "é"]}},
    "requirements": ["pillow>=9.0.0"],
    "job_id": "job_abc123",
    "language": "ko",
}
DEBUG_FIELDS = {"plugin_path": "/path/to/plugin", "config": {"debug": True}, "modules": {"a.b": "class B: ..."}}


def test_each_operation_builds_its_request() -> None:
    """Each operation has its method, path and result type, and only the headers and body it needs."""
    for made, expected in (
        (health_check(), Request("GET", "/health/", dict, None, {})),
        (get_plugin_release("a@1"), Request("GET", "/plugin_releases/a%401", dict, None, {})),
        (delete_plugin_release(7), Request("DELETE", "/plugin_releases/7", None, None, {})),
        (create_plugin_release("검사", "1"), Request("POST", "/plugin_releases/", dict, None, JSON, NEW)),
        (list_plugin_releases(), Request("GET", "/plugin_releases/", dict, {}, {})),
    ):
        assert made == expected._replace(replayable=True)


def test_credentials_are_headers() -> None:
    """Each credential has a header with its scheme, and one that is missing has none."""
    for credentials, expected in {
        (None, None, None): {},
        ("", "", ""): {"Authorization": ""},
        ("a", None, None): {"Authorization": "a"},
        (None, "u", None): {"SYNAPSE-User": "Token u"},
        (None, None, "t"): {"SYNAPSE-Tenant": "Token t"},
        ("a", "u", "t"): {"Authorization": "a", "SYNAPSE-User": "Token u", "SYNAPSE-Tenant": "Token t"},
    }.items():
        assert auth_headers(*credentials) == expected


def test_the_client_for_generated_functions_has_no_token() -> None:
    """The client for generated functions has the agent's URL, and its repr says that the SDK sends the token."""
    client = generated_client("http://agent:8600/team")
    assert "token='(sent by the SDK)'" in repr(client)
    with client as opened:
        assert opened.get_httpx_client().base_url == "http://agent:8600/team/"


def test_filters_are_the_query() -> None:
    """Filters are sent unchanged except None, and override the page size."""
    filters = {"tag": ["a", 1, 0.5], "on": True}
    for params, query in ((MappingProxyType(filters), filters), ({"page_size": 5, "page": None}, {"page_size": 5})):
        assert list_plugin_releases(params, page_size=100).params == {"page_size": 100, **query}


@EVERY_RUN
def test_every_field_of_a_run_is_sent(run: Any, place: Any, url: str) -> None:
    """Arguments are sent as fields of the body, even if empty or of a similar type; None is omitted."""
    fields = FIELDS if place else {**FIELDS, **DEBUG_FIELDS}
    call = run(*place, "process", **fields, idempotency_key=KEY, timeout=5)
    headers = {"Idempotency-Key": KEY, **JSON}
    assert call == Request("POST", url, object, None, headers, call.json, False, 5, "job_abc123", KEY)
    assert call.json == {"action": "process", **fields}
    empty = {name: type(value)() for name, value in fields.items()}
    assert run(*place, "process", **empty).json == {"action": "process", **empty}
    assert run(*place, "process", **dict.fromkeys(fields)).json == {"action": "process"}
    kinds: dict[type, Any] = {dict: MappingProxyType, list: tuple, str: str}
    similar = {name: kinds[type(value)](value) for name, value in fields.items()}
    if not place:
        similar["plugin_path"] = Path("/path/to/plugin")
    assert ENCODER.encode(run(*place, "process", **similar).json) == ENCODER.encode(call.json)


@EVERY_RUN
def test_a_v1_body_is_sent_unchanged(run: Any, place: Any, url: str) -> None:
    """A v1 body is sent unchanged, as data or as the action; other body arguments are ignored."""
    body: dict[str, Any]
    for body in ({}, {"unknown": None, "nested": {"list": []}}, {"action": 5, "params": "text", "job_id": 7}):
        calls = run(*place, body), run(*place, data=body), run(*place, "ignored", data=body, params=5, job_id="ignored")
        for call in calls:
            assert (call.url, call.json, call.replayable, call.job_id) == (url, body, False, body.get("job_id"))


@EVERY_RUN
def test_each_run_has_its_own_idempotency_key(run: Any, place: Any, url: str) -> None:
    """A run has a new UUID as its idempotency key, or the given one in canonical form."""
    fresh = [run(*place, "train").idempotency_key for _ in range(2)]
    assert fresh[0] != fresh[1]
    assert [str(uuid.UUID(key)) for key in fresh] == fresh
    keys = {KEY.upper(): KEY.upper(), f"{{{KEY}}}": KEY, KEY.replace("-", ""): KEY, uuid.UUID(KEY): KEY}
    for given, sent in keys.items():
        call = run(*place, "train", idempotency_key=given)
        assert (call.idempotency_key, call.headers["Idempotency-Key"]) == (sent, sent)
    for wrong in ("key", "", 5):
        expected = f"idempotency_key must be a UUID, such as str(uuid.uuid4()), not {wrong!r}"
        assert refusal(ValueError, run, *place, "train", idempotency_key=wrong) == expected


@EVERY_RUN
def test_invalid_run_arguments_are_rejected(run: Any, place: Any, url: str) -> None:
    """An argument of the wrong type is rejected by name, and a run needs an action."""
    values: tuple[Any, ...] = ("numpy", [5], {"numpy"}, 5)
    wrong = {"params": ("a dict", ("text", [1])), "requirements": ("a list of strings", values)}
    if not place:
        dicts = "a dict", ("x = 1", [1])
        wrong |= {"config": dicts, "modules": dicts, "plugin_path": ("a string or a Path", (5, b"/path"))}
    for name, (kind, values) in wrong.items():
        for value in values:
            expected = f"{name} must be {kind}, not {value!r}"
            assert refusal(TypeError, run, *place, "train", **{name: value}) == expected
    assert f"{run.__name__}() needs action='...'" in refusal(TypeError, run, *place)


def test_invalid_arguments_are_rejected() -> None:
    """An invalid filter, lookup, plugin or version is rejected by name."""
    filters: list[tuple[Any, str]] = [
        *((value, f"params must be a dict, not {value!r}") for value in ("a=1", [("a", 1)], 5)),
        ({5: "a"}, "params: the name of a filter must be a string, not 5"),
    ]
    value: Any
    for value in ({"a": 1}, {1}, [[1]], [None], b"a"):
        what = "a string, a number, a bool or a list of these"
        filters.append(({"tag": value}, f"params['tag'] must be {what}, not {value!r}"))
    for params, expected in filters:
        assert refusal(TypeError, list_plugin_releases, params) == expected
    for value in ("", "  ", None, b"a"):
        for name in ("plugin", "version"):
            arguments = {"plugin": "a", "version": "1", name: value}
            expected = f"{name} must be a non-blank string, not {value!r}"
            assert refusal(ValueError, create_plugin_release, **arguments) == expected
    for operation in (get_plugin_release, delete_plugin_release):
        assert "invalid release '..'" in refusal(ValueError, operation, "..")
