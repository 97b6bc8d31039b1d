"""Where a link may lead."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from synapse_sdk.clients.agent import origins
from synapse_sdk.exceptions import UntrustedOriginError

CURRENT = httpx.URL("http://agent:8600/team/plugin_releases/?page=1")
PIECES = [
    "http:",
    "https:",
    "//",
    "/",
    "\\",
    "@",
    ":",
    "agent",
    "evil",
    ":8600",
    ":80",
    "?page=2",
    "#",
    "[",
    "]",
    "..",
    "%2f",
    "\t",
    "é",
    "\x00",
    " ",
]


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("?page=2", "http://agent:8600/team/plugin_releases/?page=2"),
        ("/plugin_releases/?page=2", "http://agent:8600/plugin_releases/?page=2"),
        ("../health/", "http://agent:8600/team/health/"),
        ("http://agent:8600/x?cursor=a%2Fb", "http://agent:8600/x?cursor=a%2Fb"),
        ("HTTP://AGENT:8600/x", "http://agent:8600/x"),
        ("//agent:8600/x", "http://agent:8600/x"),
        ("x#fragment", "http://agent:8600/team/plugin_releases/x"),
        ("", "http://agent:8600/team/plugin_releases/?page=1"),
    ],
)
def test_links_within_the_origin_are_followed(link: str, expected: str) -> None:
    """Absolute and relative links are followed where they stay with the agent."""
    assert origins.follow(link, CURRENT) == httpx.URL(expected)


@pytest.mark.parametrize(
    ("link", "base"), [("http://agent:80/x", "http://agent/"), ("https://agent/x", "https://agent:443/")]
)
def test_a_default_port_is_the_same_origin(link: str, base: str) -> None:
    """A port that is written out is the same as the one that goes without saying."""
    assert origins.follow(link, httpx.URL(base)).path == "/x"


@pytest.mark.parametrize(
    "link",
    [
        "http://evil/",
        "//evil/",
        "https://agent:8600/",
        "http://agent/",
        "http://agent:8601/",
        "http://agent.evil:8600/",
        "http://agent:8600@evil/",
        "http://user:password@agent:8600/",
        "ftp://agent:8600/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://[::1",
        "http://agent:port/",
        "http://\x00/",
        "/x" * 40_000,
    ],
    ids=lambda link: ascii(link)[:30],
)
def test_links_to_anywhere_else_are_refused(link: str) -> None:
    """A link to another scheme, host or port, with a password, or to nowhere, raises an UntrustedOriginError."""
    with pytest.raises(UntrustedOriginError) as caught:
        origins.follow(link, CURRENT)
    assert len(str(caught.value)) < 500
    assert "password" not in str(caught.value)


@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map("".join)))
@example("http://agent:8600\\@evil/")
@example("\\\\evil/")
@example("//evil\\@agent:8600/")
def test_any_link_stays_or_is_refused(link: str) -> None:
    """Whatever a link is, the token goes to the agent's own origin or nowhere."""
    try:
        url = origins.follow(link, CURRENT)
    except UntrustedOriginError:
        return
    assert (url.scheme, url.host, url.port, url.userinfo) == ("http", "agent", 8600, b"")
