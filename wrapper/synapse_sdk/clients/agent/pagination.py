"""Pages: from one to the next, within the agent's origin, and never in a circle. Pure, and shared by both flavours."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from synapse_sdk import exceptions
from synapse_sdk.clients.agent import flow

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    from synapse_agent_api.typed_dicts import PluginRelease, PluginReleasePage

    from synapse_sdk.clients.agent.operations import Call

PAGE_SIZE = 100
"""Releases a page, unless the caller asks otherwise."""


def collect(
    call: Call[PluginReleasePage], build: Callable[[Call[PluginReleasePage]], httpx.Request]
) -> flow.Flow[tuple[list[PluginRelease], int]]:
    """Fetch all pages, one after the other.

    Args:
        call: The call of the first page.
        build: As in `flow.exchange`.

    Returns:
        A flow whose value is the list of all results in order, and the count that the agent gave.

    Raises:
        UntrustedOriginError: If a link to the next page leads to another origin.
        PaginationError: If the pages do not end, or are none.
    """
    releases: list[PluginRelease] = []
    seen: set[httpx.URL] = set()
    while True:
        request = build(call)
        seen.add(request.url)
        page = yield from flow.exchange(call, build)
        results = page.get("results")
        if not isinstance(results, list):
            msg = f"{call.method} {call.url}: the page has no list of results"
            raise exceptions.PaginationError(msg, releases)
        releases += results
        link = page.get("next")
        if link is None:
            count = page.get("count")
            return releases, count if isinstance(count, int) else len(releases)
        url = follow(link, request.url)
        if url in seen:
            msg = f"{call.method} {call.url}: the link to the next page leads back to a page already read"
            raise exceptions.PaginationError(msg, releases)
        call = replace(call, url=str(url), params=None)


def follow(link: str, current: httpx.URL) -> httpx.URL:
    """The URL that a link on the page at `current` leads to.

    Raises:
        UntrustedOriginError: If that is another origin (RFC 6454): the token must not get there.

    Example:
        >>> follow("?page=2", httpx.URL("http://agent:8600/plugin_releases/?page=1"))
        URL('http://agent:8600/plugin_releases/?page=2')
    """
    url = current.join(link)
    if _origin(url) != _origin(current):
        msg = f"A link leads from {_shown(current)} to {_shown(url)}, which is another origin: nothing was sent there"
        raise exceptions.UntrustedOriginError(detail=msg)
    return url


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _shown(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.host}{'' if url.port is None else f':{url.port}'}"
