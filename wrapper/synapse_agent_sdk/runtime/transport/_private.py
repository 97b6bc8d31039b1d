"""Every use of httpx, httpcore and asyncio internals.

They are all here, so that new releases need checking in one place: `tests/unit/test_internals.py` fails if one of
these names is gone or behaves differently.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx


def pool_of(transport: httpx.HTTPTransport | httpx.AsyncHTTPTransport) -> Any:
    """The httpcore pool, configured by httpx with proxies and TLS; it creates connections."""
    return transport._pool


def set_pool(transport: httpx.HTTPTransport | httpx.AsyncHTTPTransport, pool: Any) -> None:
    """Replace the pool of a transport."""
    transport._pool = pool


def backend_of(pool: Any) -> Any:
    """The network backend of an httpcore pool."""
    return pool._network_backend


def create_connection(pool: Any, origin: Any, backend: Any) -> Any:
    """Create a connection of an httpcore pool, with its own network backend."""
    pool._network_backend = backend
    return pool.create_connection(origin)


class _NoLock:
    """A lock for a single task."""

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...


_NO_LOCK = _NoLock()


def unlock(connection: Any) -> None:
    """Remove the locks of an async connection used by one task at a time; each costs an event loop iteration."""
    while connection is not None:
        for name in ("_request_lock", "_state_lock"):
            if hasattr(connection, name):
                setattr(connection, name, _NO_LOCK)
        connection = getattr(connection, "_connection", None)


def has_surplus(connection: Any) -> bool:
    """Whether bytes arrived after the response, which would be parsed as the next response."""
    while (inner := getattr(connection, "_connection", None)) is not None:
        connection = inner
    state = getattr(connection, "_h11_state", None)
    return state is not None and bool(state.trailing_data[0])


def abandon(connection: Any, *, forked: bool = False) -> None:
    """Close the socket of an async connection without awaiting.

    Args:
        connection: An httpcore connection.
        forked: Whether the parent process opened it. The parent's event loop must not be touched: its selector is
            shared with this process.
    """
    while (inner := getattr(connection, "_connection", None)) is not None:
        connection = inner
    outer = stream = getattr(connection, "_network_stream", None)
    while stream is not None and not hasattr(stream, "_transport"):
        stream = getattr(stream, "_stream", None) or getattr(stream, "transport_stream", None)
    transport = getattr(stream, "_transport", None)
    loop = getattr(transport, "_loop", None)
    with contextlib.suppress(Exception):  # its loop may be in any state, and no caller handles errors
        if transport is not None and loop is not None and (forked or loop.is_closed()):
            transport._call_connection_lost(None)  # asyncio's loop would call this
        elif transport is not None and not forked:
            transport.abort()  # uvloop transports do not expose their loop
        elif outer is not None:
            outer.get_extra_info("socket").close()  # trio streams have no transport


def set_content(response: httpx.Response, content: bytes) -> None:
    """Set the decoded body of a response, as its `read` would."""
    response._content = content
