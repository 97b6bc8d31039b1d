"""Origins: where a link leads, and whether the token may go there."""

from __future__ import annotations

import httpx

from synapse_agent_sdk.exceptions import UntrustedOriginError

PORTS = {"http": 80, "https": 443}


def resolve_link(link: str, current: httpx.URL) -> httpx.URL:
    """The URL that a link in the answer from `current` leads to.

    Raises:
        UntrustedOriginError: If it leads to another origin, or nowhere.

    Example:
        >>> resolve_link("?page=2", httpx.URL("http://agent:8600/plugin_releases/?page=1"))
        URL('http://agent:8600/plugin_releases/?page=2')
    """
    try:
        url = httpx.URL(link)
        url = url if url.is_absolute_url else current.join(url)  # each step of joining parses a URL anew
        _origin(url)  # some hosts turn out to be none only when they are read
    except (httpx.InvalidURL, ValueError, TypeError):
        msg = f"A link in an answer of {_shown(current)} is no URL: {link!r:.200}"
        raise UntrustedOriginError(detail=msg) from None
    check_origin(url, current)
    return url.copy_with(fragment=None) if "#" in link else url


def check_origin(url: httpx.URL, base: httpx.URL) -> None:
    """Make sure that `url` is of the origin of `base` (RFC 6454), since the token is sent along.

    Raises:
        UntrustedOriginError: If it is not.
    """
    if _origin(url) != _origin(base) or url.userinfo:
        msg = f"A link leads from {_shown(base)} to {_shown(url)}, which is another origin: nothing was sent there"
        raise UntrustedOriginError(detail=msg)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or PORTS.get(url.scheme)


def _shown(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.host}{'' if url.port is None else f':{url.port}'}"
