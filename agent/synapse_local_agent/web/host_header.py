"""The check of the `Host` header, against DNS rebinding.

A web page can make its own host name resolve to this machine. Its scripts then reach the agent as if it were the
page's server, but the `Host` header still has the page's name.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")


class HostError(ValueError):
    """The agent would be exposed to other machines or web pages; the message says what to do, in one line."""


def allowed(host: str, further: Collection[str], *, has_token: bool) -> frozenset[str]:
    """The host names that an agent accepts.

    Args:
        host: The address to listen on.
        further: More names to accept.
        has_token: Whether the user chose a token.

    Raises:
        HostError: If it would listen beyond this machine without a token chosen by the user, or on all addresses
            without further names.

    Example:
        >>> sorted(allowed("192.0.2.7", ["agent.example"], has_token=True))
        ['127.0.0.1', '192.0.2.7', '::1', 'agent.example', 'localhost']
    """
    if not _is_loopback(host) and not has_token:
        msg = f"Listening on {host} lets other machines in: choose a token with --token-file or SYNAPSE_AGENT_TOKEN"
        raise HostError(msg)
    if _is_any(host) and not further:
        msg = f"Listening on {host} needs --allowed-host: the host names or addresses that callers use for the agent"
        raise HostError(msg)
    own = set() if _is_any(host) else {host.lower()}
    return LOOPBACK | own | {name.lower().strip("[]") for name in further}


def is_allowed(header: str, names: Collection[str]) -> bool:
    """Whether a Host header has one of the names, with any port.

    Example:
        >>> is_allowed("LocalHost:8600", {"localhost"}), is_allowed("evil.example:8600", {"localhost"})
        (True, False)
    """
    host = HOST.fullmatch(header.lower())
    return host is not None and host["name"].strip("[]") in names


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host or "0.0.0.0").is_unspecified  # noqa: S104 - an empty host means all addresses
    except ValueError:
        return False
