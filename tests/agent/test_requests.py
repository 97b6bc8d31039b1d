"""The checks before any operation: paths, methods, tokens, bodies, parameters."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from synapse_local_agent.web import app

from tests.agent.helpers import DOCUMENT, detail, raw_request, run_source

if TYPE_CHECKING:
    from tests.threaded_agent import ThreadedAgent

pytestmark = pytest.mark.contract
JSON = {"Content-Type": "application/json"}
CREATE = "/plugin_releases/"
RUN = "/plugin_releases/shared@1.0.0+lite/run/"
DEBUG = "/plugin_releases/run_debug/"


PATHS = ["/", "/health", "//health/", "/%68ealth/", "/plugin_releases/1/", "/docs/../openapi.json"]
PATHS += ["/plugin_releases/x/../../health/", "/plugin_releases/%2e%2e/health/"]
ELSEWHERE = [*(("GET", path) for path in PATHS), ("POST", "/plugin_releases//run/"), ("OPTIONS", "*")]


def test_path_that_is_not_exact_is_not_found(agent: ThreadedAgent) -> None:
    """A path that is not exactly in the contract, or a lookup of invalid bytes, is 404, and never a redirect."""
    for method, target in ELSEWHERE:
        status, headers, body = raw_request(agent, method, target)
        assert (status, headers["content-type"], "location" in headers) == (404, "application/json", False), target
        assert json.loads(body).keys() == {"detail"}
    typed = {**JSON, "Content-Length": "17"}
    for lookup in ("%00", "%zz", "%ff", "9" * 30, "a@", "%F0%9F%90%99@1", "..%2f..%2fhealth"):
        target = f"/plugin_releases/{lookup}"
        statuses = [raw_request(agent, method, target)[0] for method in ("GET", "DELETE")]
        statuses.append(raw_request(agent, "POST", f"{target}/run/", typed, b'{"action": "run"}')[0])
        assert statuses == [404] * 3, lookup
    _, _, body = raw_request(agent, "GET", "/plugin_releases/%2e%2e%2fhealth%2f")
    assert json.loads(body) == {"detail": "There is no release ../health/."}


def test_other_method_is_not_allowed(agent: ThreadedAgent) -> None:
    """A method that is not in the contract is 405 with a detail, and the allowed ones are listed."""
    for method, target, allowed in (
        ("HEAD", "/health/", "GET"),
        ("OPTIONS", "/plugin_releases/", "GET, POST"),
        ("PATCH", "/plugin_releases/1", "DELETE, GET"),
        ("BREW", DEBUG, "POST"),
    ):
        status, headers, body = raw_request(agent, method, target)
        assert (status, headers["content-type"]) == (405, "application/json"), (method, target)
        assert method == "HEAD" or json.loads(body).keys() == {"detail"}
        assert ", ".join(sorted(headers["allow"].split(", "))) == allowed


@pytest.mark.parametrize("token", [None, b"", b"wrong", b"\xff", b"Bearer {}", b"{}x", b"{}, {}"], ids=repr)
def test_wrong_token_is_unauthorized(agent: ThreadedAgent, http: httpx.Client, token: bytes | None) -> None:
    """Without the exact agent token, with no scheme, every operation except health is 401."""
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            if method == "parameters" or not operation.get("security", True):
                continue
            request = http.build_request(method, path.replace("{lookup}", "1"), content=b"not json")
            del request.headers["Authorization"]
            if token is not None:
                given = (b"Authorization", token.replace(b"{}", agent.token.encode()))
                request.headers = httpx.Headers([*request.headers.raw, given])
            response = http.send(request)
            assert response.status_code == 401, (method, path)
            assert detail(response) == "The agent token is missing or wrong."
    response = http.get("/health/", headers={"Authorization": "wrong"})
    assert (response.status_code, response.json()["status"]) == (200, "ok")
    assert response.json().keys() == {"status", "version"}


NOT_JSON = [
    *(b"", b"{", b'{"action": "run"} {}', b"\xff\xfe{\x00}\x00", b'\xef\xbb\xbf{"action": "run"}'),
    *(b'{"action": "run", "params": {"x": %b}}' % x for x in (b"NaN", b'"\\ud800"', b"9" * 5000)),
    b'{"action": "run", "params": {"x": %b}}' % (b"[" * 100_000 + b"]" * 100_000),
]


def test_body_must_be_json(agent: ThreadedAgent, http: httpx.Client) -> None:
    """A body that is not application/json is 415, invalid JSON is 400, and a large body is 413, even unsent."""
    for path in (CREATE, RUN, DEBUG):
        for media_type in (None, "", "text/plain", "application/x-www-form-urlencoded", "*/*"):
            headers = {} if media_type is None else {"Content-Type": media_type}
            assert http.post(path, content=b"{}", headers=headers).status_code == 415, (path, media_type)
    odd = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert http.post(RUN, content=b'{"action": "run"}', headers=odd).status_code == 200
    for body in NOT_JSON:
        for path in (CREATE, RUN):
            response = http.post(path, content=body, headers=JSON)
            assert response.status_code == 400, body[:50]
            assert detail(response).startswith("The body is not JSON: ")
    declared = {**JSON, "Content-Length": str(app.MAX_BODY_BYTES + 1)}
    status, _, answer = raw_request(agent, "POST", CREATE, declared)
    assert (status, json.loads(answer)["detail"]) == (413, f"The body is larger than {app.MAX_BODY_BYTES} bytes.")
    chunks = (b" " * 2**20 for _ in range(app.MAX_BODY_BYTES // 2**20 + 1))
    assert http.post(CREATE, content=chunks, headers=JSON).status_code == 413


INVALID: list[tuple[str, Any, list[Any], str]] = [
    *((RUN, body, ["body"], kind) for body, kind in (({}, "required"), (None, "type"))),
    (RUN, {"action": "run", "params": []}, ["body", "params"], "type"),
    (RUN, {"action": "run", "requirements": ["numpy", 10**400]}, ["body", "requirements", 1], "type"),
    (DEBUG, {"action": "a", "modules": {"m": 1}}, ["body", "modules", "m"], "type"),
    (CREATE, {"plugin": "", "version": "1"}, ["body", "plugin"], "minLength"),
    (CREATE, {"plugin": "a", "version": "1", "x": 1}, ["body"], "additionalProperties"),
]


def test_what_the_contract_forbids_is_unprocessable(http: httpx.Client) -> None:
    """An invalid body, page or key is 422 with up to a hundred issues; unknown fields are allowed."""
    for path, body, loc, kind in INVALID:
        response = http.post(path, content=json.dumps(body), headers=JSON)
        assert response.status_code == 422, body
        (issue,) = detail(response)
        assert (issue["loc"], issue["type"]) == (loc, kind)
        assert 0 < len(issue["msg"]) < 300
    assert len(detail(http.post(RUN, json={"action": "run", "requirements": [1] * 10_000}))) == 100
    for query in ("page=0", "page=-1", "page=x", "page=", "page=1.5", "page_size=0", "page_size=1001"):
        response = http.get(f"/plugin_releases/?{query}")
        assert response.status_code == 422, query
        assert detail(response)[0]["loc"] == ["query", query.partition("=")[0]]
    for key in ("x", "", "7f3f0e0a6f1c4c6b9d522a4d8c1b7e90", "7f3f0e0a-6f1c-4c6b-9d52-2a4d8c1b7e9g"):
        response = http.post(RUN, json={"action": "run"}, headers={"Idempotency-Key": key})
        assert response.status_code == 422, key
        assert detail(response)[0]["loc"] == ["header", "Idempotency-Key"]
    headers = {"Idempotency-Key": "7F3F0E0A-6f1c-4c6b-9d52-2a4d8c1b7e90", "SYNAPSE-User": "x", "SYNAPSE-Tenant": "y"}
    body = {"action": "run", "params": {"a": 1}, "legacy": True}
    assert http.post(RUN, json=body, headers=headers).json() == {"a": 1}
    assert run_source(http, "def run(params): return 1", legacy={"x": 1}).status_code == 200
