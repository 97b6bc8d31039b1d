"""Requests of calls: as httpx itself would make them."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from synapse_agent_sdk.endpoints import Request
from synapse_agent_sdk.runtime.http_client import HttpClient
from synapse_agent_sdk.runtime.retry import RetryPolicy

BASES = ("http://agent:8600", "https://agent:443/some%20where/", "http://[::1]:8600/a/./b", "http://ÄGENT.example")
PIECES = st.sampled_from(["/", ".", "..", "%2F", "%", "%zz", "?", "&", "=", "#", "@", ":", "+", "~", " ", "é"])
TARGETS = st.lists(PIECES | st.text(max_size=3), max_size=12).map(lambda pieces: "/" + "".join(pieces))


def http(base: str = BASES[0], headers: dict[str, str] | None = None) -> HttpClient:
    """A sender that sends nothing."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200))
    return HttpClient(RetryPolicy(), 100, (), base_url=base, headers=headers, transport=transport)


@settings(max_examples=60)
@given(st.sampled_from(BASES), TARGETS)
@example(BASES[0], "/plugin_releases/?page=2&page_size=100")
@example(BASES[0], "/a/../b")
@example(BASES[0], "/a\n")
@example(BASES[0], "/" + "a" * 70_000)
def test_the_url_of_a_call_is_what_httpx_makes_of_it(base: str, target: str) -> None:
    """A path that needs no parser gives the same URL as one that has been through it, and no URL where that fails."""
    call: Request[None] = Request("GET", target, None)
    with http(base) as sender:
        try:
            parsed = httpx.URL(base.rstrip("/") + target)
        except httpx.InvalidURL:
            with pytest.raises(httpx.InvalidURL):
                sender.prepare(call, httpx.Timeout(1))
            return
        url = sender.prepare(call, httpx.Timeout(1)).url
    assert url == parsed
    assert (url.raw_path, url.netloc, url.raw_scheme) == (parsed.raw_path, parsed.netloc, parsed.raw_scheme)


def test_a_call_leaves_the_client_as_it_is() -> None:
    """What one call adds to the URL and the headers, with a body or without, is not there for the next one."""
    with http(headers={"Host": "agent:8600", "X-Name": "ours"}) as sender:
        before = sender.headers.copy()
        assert "Connection" not in before
        call: Request[None] = Request(
            "POST", "/a?b=1", None, headers={"x-name": "theirs", "X-More": "more"}, content=b"{}"
        )
        calls: list[Request[None]] = [call, call._replace(content=None), Request("GET", "/b", None)]
        first, bare, second = (sender.prepare(each, httpx.Timeout(1)) for each in calls)
        assert sender.headers == before
    for request in (first, bare):
        assert (request.headers.get_list("X-Name"), request.headers["X-More"]) == (["theirs"], "more")
    assert (first.headers["Content-Length"], first.content, "Content-Length" in bare.headers) == ("2", b"{}", False)
    assert (second.headers, str(second.url)) == (before, "http://agent:8600/b")
    with http(headers={"Connection": "close"}) as sender:
        assert sender.headers["Connection"] == "close"
