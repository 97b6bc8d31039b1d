"""Resolves links, and checks that they stay within the agent's origin."""

from __future__ import annotations

import httpx

from synapse_agent_sdk.exceptions import UntrustedOriginError

PORTS = {"http": 80, "https": 443}


def resolve_link(link: str, current: httpx.URL) -> httpx.URL:
    """The URL of a link in the response from `current`.

    Raises:
        UntrustedOriginError: If it leads to another origin or is not a valid URL.

    Example:
        >>> resolve_link("?page=2", httpx.URL("http://agent:8600/plugin_releases/?page=1"))
        URL('http://agent:8600/plugin_releases/?page=2')
    """
    try:
        url = httpx.URL(link)
        url = url if url.is_absolute_url else current.join(url)  # joining parses URLs again, which is slow
        _origin(url)  # some invalid hosts raise only here
    except (httpx.InvalidURL, ValueError, TypeError):
        msg = f"invalid link in a response from {_shown(current)}: {link!r:.200}"
        raise UntrustedOriginError(detail=msg) from None
    check_origin(url, current)
    return url.copy_with(fragment=None) if "#" in link else url


def check_origin(url: httpx.URL, base: httpx.URL) -> None:
    """Check that `url` has the origin of `base` (RFC 6454), since the token is sent to it.

    Raises:
        UntrustedOriginError: If it has another origin.
    """
    if _origin(url) != _origin(base) or url.userinfo:
        msg = f"refused to follow a link from {_shown(base)} to another origin, {_shown(url)}"
        raise UntrustedOriginError(detail=msg)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or PORTS.get(url.scheme)


def _shown(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.host}{'' if url.port is None else f':{url.port}'}"
