"""Links stay within the agent's origin."""

from __future__ import annotations

import httpx
from hypothesis import example, given, settings
from hypothesis import strategies as st
from synapse_agent_sdk.exceptions import UntrustedOriginError
from synapse_agent_sdk.runtime import origins

from tests.unit.helpers import refusal

TEAM = "http://agent:8600/team"
CURRENT = httpx.URL(f"{TEAM}/plugin_releases/?page=1")
PIECES = st.sampled_from(
    [
        *("http:", "https:", "//", "/", "\\", "@", ":", "agent", "evil", ":8600", ":80", "?page=2", "#", "[", "]"),
        *("..", "%2f", "\t", "é", "\x00", " "),
    ]
)


def test_links_within_the_origin_are_followed() -> None:
    """Absolute and relative links within the origin are followed; a default port may be explicit."""
    within = {
        "?page=2": f"{TEAM}/plugin_releases/?page=2",
        "/plugin_releases/?page=2": "http://agent:8600/plugin_releases/?page=2",
        "../health/": f"{TEAM}/health/",
        "HTTP://AGENT:8600/x?cursor=a%2Fb": "http://agent:8600/x?cursor=a%2Fb",
        "//agent:8600/x": "http://agent:8600/x",
        "x#fragment": f"{TEAM}/plugin_releases/x",
        "": str(CURRENT),
    }
    assert {link: str(origins.resolve_link(link, CURRENT)) for link in within} == within
    assert origins.resolve_link("http://agent:80/x", httpx.URL("http://agent/")).path == "/x"
    assert origins.resolve_link("https://agent/x", httpx.URL("https://agent:443/")).path == "/x"


def test_links_to_other_origins_are_rejected() -> None:
    """A link to another scheme, host or port, with a password, or invalid, raises an UntrustedOriginError."""
    for link in (
        *("http://evil/", "//evil/", "https://agent:8600/", "http://agent/", "http://agent:8601/"),
        *("http://agent.evil:8600/", "http://agent:8600@evil/", "http://user:password@agent:8600/"),
        *("ftp://agent:8600/", "file:///etc/passwd", "javascript:alert(1)"),
        *("http://[::1", "http://agent:port/", "http://\x00/", "/x" * 40_000),
    ):
        message = refusal(UntrustedOriginError, origins.resolve_link, link, CURRENT)
        assert len(message) < 500
        assert "password" not in message


@settings(max_examples=100)
@given(st.text() | st.lists(PIECES).map("".join))
@example("http://agent:8600\\@evil/")
@example("\\\\evil/")
@example("//evil\\@agent:8600/")
def test_any_link_stays_within_the_origin_or_is_rejected(link: str) -> None:
    """Any link stays within the agent's origin or is rejected."""
    try:
        url = origins.resolve_link(link, CURRENT)
    except UntrustedOriginError:
        return
    assert (url.scheme, url.host, url.port, url.userinfo) == ("http", "agent", 8600, b"")
