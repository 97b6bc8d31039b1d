"""What the agent makes of requests before any operation is carried out: paths, methods, tokens, bodies, parameters."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from synapse_local_agent import app

from tests.agent.helpers import DOCUMENT, as_json, detail, raw_request, run_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.threaded_agent import ThreadedAgent

JSON = {"Content-Type": "application/json"}
RUN = "/plugin_releases/shared@1.0.0+lite/run/"


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/health"),
        ("GET", "/plugin_releases"),
        ("GET", "/plugin_releases/1/"),
        ("POST", "/plugin_releases/1/run"),
        ("POST", "/plugin_releases//run/"),
        ("GET", "//health/"),
        ("GET", "/health//"),
        ("GET", "/plugin_releases/x/../../health"),
        ("GET", "/plugin_releases/x/../../health/"),
        ("GET", "/plugin_releases/%2e%2e/health/"),
        ("GET", "/plugin_releases/%2e%2e%2fhealth%2f"),
        ("GET", "/plugin_releases/..%2f..%2fhealth"),
        ("GET", "/%68ealth/"),
        ("GET", "/docs/"),
        ("GET", "/docs/../openapi.json"),
        ("GET", "/"),
        ("OPTIONS", "*"),
        ("POST", "/plugin_releases/1/../run_debug/"),
    ],
)
def test_path_that_is_not_exact_is_not_found(agent: ThreadedAgent, method: str, target: str) -> None:
    """A path that is not exactly one of the contract is 404, with a detail, and never a redirect."""
    status, headers, body = raw_request(agent, method, target)
    assert (status, headers["content-type"], "location" in headers) == (404, "application/json", False)
    assert as_json(body).keys() == {"detail"}


def test_encoded_slash_stays_within_the_lookup(agent: ThreadedAgent) -> None:
    """A lookup is one segment whatever it holds: an encoded slash or dot in it reaches no other path."""
    _, _, body = raw_request(agent, "GET", "/plugin_releases/%2e%2e%2fhealth%2f")
    assert as_json(body) == {"detail": "There is no release ../health/."}


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("HEAD", "/health/", "GET"),
        ("PUT", "/health/", "GET"),
        ("HEAD", "/plugin_releases/", "GET, POST"),
        ("OPTIONS", "/plugin_releases/", "GET, POST"),
        ("PUT", "/plugin_releases/1", "DELETE, GET"),
        ("POST", "/plugin_releases/1", "DELETE, GET"),
        ("PATCH", "/plugin_releases/1", "DELETE, GET"),
        ("GET", "/plugin_releases/1/run/", "POST"),
        ("GET", "/plugin_releases/run_debug/", "POST"),
        ("BREW", "/health/", "GET"),
    ],
)
def test_other_method_is_not_allowed(agent: ThreadedAgent, method: str, target: str, allowed: str) -> None:
    """A method that the contract does not have for a path is 405 with a detail, and all that it has are named."""
    status, headers, body = raw_request(agent, method, target)
    assert (status, headers["content-type"]) == (405, "application/json")
    assert method == "HEAD" or as_json(body).keys() == {"detail"}
    assert sorted(headers["allow"].split(", ")) == sorted(allowed.split(", "))


def operations() -> Iterator[tuple[str, str]]:
    """Method and path of every operation that asks for a token."""
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            if method != "parameters" and operation.get("security", True):
                yield method.upper(), path.replace("{lookup}", "1")


@pytest.mark.parametrize(("method", "path"), list(operations()))
@pytest.mark.parametrize("token", [None, b"", b"wrong", b"t\xf6ken", b"Token", b"\xff"], ids=repr)
def test_wrong_token_is_unauthorized(http: httpx.Client, method: str, path: str, token: bytes | None) -> None:
    """Without the agent token, or with any other text in its place, every operation is 401."""
    request = http.build_request(method, path, content=b"not json")
    del request.headers["Authorization"]
    if token is not None:
        request.headers = httpx.Headers([*request.headers.raw, (b"Authorization", token)])
    response = http.send(request)
    assert response.status_code == 401
    assert detail(response) == "The agent token is missing or wrong."


@pytest.mark.parametrize("change", ["Token {}", "Bearer {}", "{}x", "{}, {}"])
def test_token_is_taken_raw_and_whole(agent: ThreadedAgent, http: httpx.Client, change: str) -> None:
    """A token with a scheme in front of it, or with more behind it, is not the token."""
    headers = {"Authorization": change.format(agent.token, agent.token)}
    assert http.get("/plugin_releases/", headers=headers).status_code == 401


def test_health_needs_no_token(http: httpx.Client) -> None:
    """Health answers whoever asks, even with a wrong token, and tells no more than status and version."""
    response = http.get("/health/", headers={"Authorization": "wrong"})
    assert response.status_code == 200
    assert response.json().keys() == {"status", "version"}
    assert response.json()["status"] == "ok"


@pytest.mark.parametrize("path", ["/plugin_releases/", RUN, "/plugin_releases/run_debug/"])
@pytest.mark.parametrize("media_type", [None, "", "text/plain", "application/x-www-form-urlencoded", "json", "*/*"])
def test_other_media_type_is_refused(http: httpx.Client, path: str, media_type: str | None) -> None:
    """A body that is not declared as application/json is 415, whatever it holds."""
    headers = {} if media_type is None else {"Content-Type": media_type}
    assert http.post(path, content=b"{}", headers=headers).status_code == 415


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_media_type_is_read_as_it_is_meant(http: httpx.Client, media_type: str) -> None:
    """Case and parameters of the media type do not matter."""
    response = http.post(RUN, content=b'{"action": "run"}', headers={"Content-Type": media_type})
    assert response.status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"not json",
        b'{"action": "run"} {}',
        b"\xff\xfe{\x00}\x00",
        b'\xef\xbb\xbf{"action": "run"}',
        b'{"action": "run", "params": {"x": NaN}}',
        b'{"action": "run", "params": {"x": -Infinity}}',
        b'{"action": "run", "params": {"x": "\\ud800"}}',
        b'{"action": "run", "params": {"\\udfff": 1}}',
        b'{"action": "run", "params": {"x": ' + b"9" * 5000 + b"}}",
        b'{"action": "run", "params": {"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        b'{"x":' * 100_000,
    ],
    ids=lambda body: repr(body[:40]),
)
@pytest.mark.parametrize("path", ["/plugin_releases/", RUN])
def test_body_that_is_not_json_is_a_bad_request(http: httpx.Client, path: str, body: bytes) -> None:
    """A body that is not JSON, or that no process could be given, is 400, and the agent says why."""
    response = http.post(path, content=body, headers=JSON)
    assert response.status_code == 400
    assert detail(response).startswith("The body is not JSON: ")


def test_deep_params_arrive(http: httpx.Client) -> None:
    """Params that are nested as deep as JSON is read here reach the action and come back."""
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    response = http.post(RUN, json={"action": "run", "params": {"deep": deep}})
    assert response.json() == {"deep": deep}


def test_body_that_says_it_is_too_large_is_not_read(agent: ThreadedAgent) -> None:
    """A body whose declared length is over the limit is 413 before any of it is sent."""
    headers = {**JSON, "Content-Length": str(app.MAX_BODY_BYTES + 1)}
    status, _, body = raw_request(agent, "POST", "/plugin_releases/", headers)
    assert status == 413
    assert as_json(body) == {"detail": f"The body is larger than {app.MAX_BODY_BYTES} bytes."}


def test_body_that_grows_too_large_is_refused(http: httpx.Client) -> None:
    """A body without a declared length is 413 once it is over the limit."""
    megabyte = b" " * 2**20
    chunks = (megabyte for _ in range(app.MAX_BODY_BYTES // 2**20 + 1))
    assert http.post("/plugin_releases/", content=chunks, headers=JSON).status_code == 413


@pytest.mark.parametrize(
    ("path", "body", "loc", "kind"),
    [
        (RUN, {}, ["body"], "required"),
        (RUN, None, ["body"], "type"),
        (RUN, [], ["body"], "type"),
        (RUN, {"action": 1}, ["body", "action"], "type"),
        (RUN, {"action": "run", "params": None}, ["body", "params"], "type"),
        (RUN, {"action": "run", "params": []}, ["body", "params"], "type"),
        (RUN, {"action": "run", "requirements": "numpy"}, ["body", "requirements"], "type"),
        (RUN, {"action": "run", "requirements": ["numpy", 1]}, ["body", "requirements", 1], "type"),
        (RUN, {"action": "run", "job_id": 1}, ["body", "job_id"], "type"),
        (RUN, {"action": 10**400}, ["body", "action"], "type"),
        ("/plugin_releases/run_debug/", {"action": "a", "modules": {"m": 1}}, ["body", "modules", "m"], "type"),
        ("/plugin_releases/run_debug/", {"action": "a", "plugin_path": 1}, ["body", "plugin_path"], "type"),
        ("/plugin_releases/", {"plugin": "a"}, ["body"], "required"),
        ("/plugin_releases/", {"plugin": "", "version": "1"}, ["body", "plugin"], "minLength"),
        ("/plugin_releases/", {"plugin": "a", "version": 1.0}, ["body", "version"], "type"),
        ("/plugin_releases/", {"plugin": "a", "version": "1", "x": 1}, ["body"], "additionalProperties"),
    ],
    ids=str,
)
def test_invalid_body_is_unprocessable(http: httpx.Client, path: str, body: Any, loc: list[Any], kind: str) -> None:
    """A body that is JSON but not what the contract describes is 422 and says where and what is wrong."""
    response = http.post(path, content=json.dumps(body), headers=JSON)
    assert response.status_code == 422
    (issue,) = detail(response)
    assert (issue["loc"], issue["type"]) == (loc, kind)
    assert 0 < len(issue["msg"]) < 300


def test_issues_are_bounded(http: httpx.Client) -> None:
    """A body with ten thousand faults is answered with the first hundred."""
    response = http.post(RUN, json={"action": "run", "requirements": [1] * 10_000})
    assert response.status_code == 422
    assert len(detail(response)) == 100


@pytest.mark.parametrize(
    "query", ["page=0", "page=-1", "page=x", "page=", "page=1.5", "page=1e2", "page_size=0", "page_size=1001"]
)
def test_bad_page_is_unprocessable(http: httpx.Client, query: str) -> None:
    """A page or page size that is no number in its range is 422 and names the parameter."""
    response = http.get(f"/plugin_releases/?{query}")
    assert response.status_code == 422
    assert detail(response)[0]["loc"] == ["query", query.partition("=")[0]]


@pytest.mark.parametrize("key", ["x", "", "7f3f0e0a6f1c4c6b9d522a4d8c1b7e90", "7f3f0e0a-6f1c-4c6b-9d52-2a4d8c1b7e9g"])
def test_bad_idempotency_key_is_unprocessable(http: httpx.Client, key: str) -> None:
    """An Idempotency-Key that is no UUID is 422, and nothing runs."""
    response = http.post(RUN, json={"action": "run"}, headers={"Idempotency-Key": key})
    assert response.status_code == 422
    assert detail(response)[0]["loc"] == ["header", "Idempotency-Key"]


def test_headers_of_the_contract_are_taken(http: httpx.Client) -> None:
    """A valid Idempotency-Key and the SYNAPSE headers are accepted."""
    headers = {
        "Idempotency-Key": "7F3F0E0A-6f1c-4c6b-9d52-2a4d8c1b7e90",
        "SYNAPSE-User": "Token user",
        "SYNAPSE-Tenant": "Token tenant",
    }
    assert http.post(RUN, json={"action": "run"}, headers=headers).status_code == 200


def test_further_fields_of_a_run_are_ignored(http: httpx.Client) -> None:
    """The run bodies take fields that nobody knows, since callers of old send them."""
    assert http.post(RUN, json={"action": "run", "params": {"a": 1}, "legacy": True}).json() == {"a": 1}
    assert run_source(http, "def run(params): return 1", legacy={"x": 1}).status_code == 200


@pytest.mark.parametrize("lookup", ["%00", "%zz", "%ff", "%0a", "9" * 30, "@", "a@", "@1", "%F0%9F%90%99@1", "1%40"])
def test_odd_lookup_is_not_found(agent: ThreadedAgent, lookup: str) -> None:
    """A lookup of any bytes is 404 for each operation that takes one."""
    for method, target in (("GET", lookup), ("DELETE", lookup), ("POST", f"{lookup}/run/")):
        body = b'{"action": "run"}' if method == "POST" else None
        headers = {**JSON, "Content-Length": str(len(body or b""))}
        status, _, _ = raw_request(agent, method, f"/plugin_releases/{target}", headers, body)
        assert status == 404, (method, target)
