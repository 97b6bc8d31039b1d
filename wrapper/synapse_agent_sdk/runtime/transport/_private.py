"""All that this SDK uses of httpx, httpcore and asyncio beyond what they document.

Everything private stands here, so that a new release of theirs is checked in one place: `tests/unit/test_internals.py`
fails where one of these names is gone or means something else.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx


def pool_of(transport: httpx.HTTPTransport | httpx.AsyncHTTPTransport) -> Any:
    """Httpcore's pool, which httpx configured with proxies and TLS, and which makes connections."""
    return transport._pool


def set_pool(transport: httpx.HTTPTransport | httpx.AsyncHTTPTransport, pool: Any) -> None:
    """Have a transport send through another pool, which has the same few methods."""
    transport._pool = pool


def backend_of(pool: Any) -> Any:
    """The network backend that a pool of httpcore gives to its connections."""
    return pool._network_backend


def create_connection(pool: Any, origin: Any, backend: Any) -> Any:
    """A connection as a pool of httpcore makes it, with a network backend of its own."""
    pool._network_backend = backend
    return pool.create_connection(origin)


class _NoLock:
    """What is locked by one task alone."""

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...


_NO_LOCK = _NoLock()


def unlock(connection: Any) -> None:
    """Take the locks off an async connection that one task at a time uses: each costs a turn of the event loop."""
    while connection is not None:
        for name in ("_request_lock", "_state_lock"):
            if hasattr(connection, name):
                setattr(connection, name, _NO_LOCK)
        connection = getattr(connection, "_connection", None)


def has_surplus(connection: Any) -> bool:
    """Whether more bytes arrived than the answer had, which would be taken for the start of the next one."""
    while (inner := getattr(connection, "_connection", None)) is not None:
        connection = inner
    state = getattr(connection, "_h11_state", None)
    return state is not None and bool(state.trailing_data[0])


def abandon(connection: Any, *, forked: bool = False) -> None:
    """Close the socket of an async connection that nobody can await the closing of.

    Args:
        connection: A connection of httpcore.
        forked: Whether it was made by the parent process, whose event loop must not be touched: its selector is
            shared with this process.
    """
    while (inner := getattr(connection, "_connection", None)) is not None:
        connection = inner
    outer = stream = getattr(connection, "_network_stream", None)
    while stream is not None and not hasattr(stream, "_transport"):
        stream = getattr(stream, "_stream", None) or getattr(stream, "transport_stream", None)
    transport = getattr(stream, "_transport", None)
    loop = getattr(transport, "_loop", None)
    with contextlib.suppress(Exception):  # its loop may be in any state, and there is nobody to tell
        if transport is not None and loop is not None and (forked or loop.is_closed()):
            transport._call_connection_lost(None)  # what asyncio's loop would have called
        elif transport is not None and not forked:
            transport.abort()  # uvloop's tell no loop
        elif outer is not None:
            outer.get_extra_info("socket").close()  # trio's have no transport


def set_content(response: httpx.Response, content: bytes) -> None:
    """Give a response its decoded body, as its own `read` would."""
    response._content = content
