"""Which names a request may call the agent by.

A web page can have its own name resolve to this machine (DNS rebinding), and then its scripts reach the agent as if it
were the page's own server. What gives them away is the `Host` header: it has the page's name.
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
    """The agent would be open to others than it is meant for; the message says what to do, in one line."""


def allowed(host: str, further: Collection[str], *, has_token: bool) -> frozenset[str]:
    """The names that an agent answers to.

    Args:
        host: The address that it listens on.
        further: Names that it is told to answer to as well.
        has_token: Whether it was given a token, and did not make one.

    Raises:
        HostError: If it would listen beyond this machine without a token of its user's choice, or on all addresses
            without a name to be called by.

    Example:
        >>> sorted(allowed("192.0.2.7", ["agent.example"], has_token=True))
        ['127.0.0.1', '192.0.2.7', '::1', 'agent.example', 'localhost']
    """
    if not _is_loopback(host) and not has_token:
        msg = f"Listening on {host} lets other machines in: choose a token, with --token-file or SYNAPSE_AGENT_TOKEN"
        raise HostError(msg)
    if _is_any(host) and not further:
        msg = f"Listening on {host}, the agent does not know its name: give it with --allowed-host, as callers spell it"
        raise HostError(msg)
    own = set() if _is_any(host) else {host.lower()}
    return LOOPBACK | own | {name.lower().strip("[]") for name in further}


def is_allowed(header: str, names: Collection[str]) -> bool:
    """Whether a Host header has one of the names, with whatever port.

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
        return ipaddress.ip_address(host or "0.0.0.0").is_unspecified  # noqa: S104 - what nothing stands for
    except ValueError:
        return False
