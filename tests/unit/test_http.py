"""HTTP requests match those that httpx would build."""

from __future__ import annotations

import httpx
import pytest
from synapse_agent_sdk.runtime import HttpClient, Request, RetryPolicy
from synapse_agent_sdk.runtime.exchange import drive
from synapse_agent_sdk.runtime.http_client import HttpOptions
from synapse_agent_sdk.runtime.options import load_options

BASE = "http://agent:8600"


def http(sent: list[httpx.Request], headers: dict[str, str] | None = None) -> HttpClient:
    """A client that records requests instead of sending them."""

    def respond(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200)

    settings = dict.fromkeys(("agent_token", "access_token", "user_token", "tenant", "timeout", "headers"))
    options = load_options({}, base_url=BASE, **settings)
    return HttpClient(options, HttpOptions(RetryPolicy(), 100, httpx.Headers(headers)), httpx.MockTransport(respond))


def test_an_invalid_path_is_rejected() -> None:
    """A path that is invalid in a URL raises a ValueError, and nothing is sent."""
    sent: list[httpx.Request] = []
    with http(sent) as client:
        for path in ("/a\n", "/" + "a" * 70_000):
            with pytest.raises(ValueError, match="the arguments do not form a valid URL"):
                client.call(Request("GET", path, None))
    assert sent == []


def test_a_request_does_not_change_the_client() -> None:
    """Headers of one request, with or without a body, are not sent with the next one."""
    sent: list[httpx.Request] = []
    with http(sent, headers={"Host": "agent:8600", "X-Name": "ours"}) as client:
        before = client.headers.copy()
        assert "Connection" not in before
        headers = {"x-name": "theirs", "X-More": "more"}
        for request in (
            Request("POST", "/a?b=1", None, headers=headers, json={}),
            Request("POST", "/a?b=1", None, headers=headers),
            Request("GET", "/b", None, {"c": "1"}),
        ):
            drive(client.exchange(request), client.send_once, client.sleep)
        assert client.headers == before
    first, bare, second = sent
    for each in (first, bare):
        assert (each.headers.get_list("X-Name"), each.headers["X-More"]) == (["theirs"], "more")
    assert (first.headers["Content-Length"], first.content, "Content-Length" in bare.headers) == ("2", b"{}", False)
    assert (second.headers, str(second.url)) == (before, "http://agent:8600/b?c=1")
    with http(sent, headers={"Connection": "close"}) as client:
        assert client.headers["Connection"] == "close"
