"""httpx transports with a connection pool that replaces httpcore's.

The most recently used connection is reused first, so each request checks one connection, while httpcore's pool checks
every idle one. httpx's own classes wrap the pool, so its proxy and TLS options still work, as do patches of
`HTTPTransport.handle_request`, such as OpenTelemetry's.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Self

import httpcore
import httpx

from synapse_agent_sdk.runtime.transport._private import (
    backend_of,
    create_connection,
    has_surplus,
    pool_of,
    set_pool,
)
from synapse_agent_sdk.runtime.transport.attempt import ATTEMPT, Attempt
from synapse_agent_sdk.runtime.transport.network import Backend, Connection, clamp

if TYPE_CHECKING:
    from collections.abc import Iterator


class IdleConnections(deque[Connection]):
    """The idle connections to one agent, most recently used last. Not thread-safe; never blocks."""

    def __init__(self, limits: httpx.Limits) -> None:
        super().__init__()
        self.capacity = limits.max_connections
        self._keep = limits.max_keepalive_connections
        self._expiry = limits.keepalive_expiry

    def put(self, connection: Connection) -> list[Connection]:
        """Add a connection, and return those to close: itself if it cannot be reused, and an expired one."""
        if not connection.inner.is_idle() or has_surplus(connection.inner):
            return [connection]
        connection.idle_since = time.monotonic()
        closing = []
        if self and self._expiry is not None and connection.idle_since - self[0].idle_since > self._expiry:
            closing.append(self.popleft())
        if self._keep is not None and len(self) >= self._keep:
            closing.append(connection)
        else:
            self.append(connection)
        return closing

    def take_all(self) -> list[Connection]:
        """Remove and return all connections."""
        connections = list(self)
        self.clear()
        return connections


class ConnectionPool:
    """Thread-safe connection pool; replaces httpcore's."""

    def __init__(self, factory: httpcore.ConnectionPool, limits: httpx.Limits) -> None:
        self._factory = factory
        self._backend = backend_of(factory)
        self._idle = IdleConnections(limits)
        self._closed = False
        self._reset()

    def _reset(self) -> None:
        """Initialize the pool, again after a fork: locks may be held by threads that no longer exist."""
        self._lock = threading.Lock()
        self._room = threading.Semaphore(sys.maxsize if self._idle.capacity is None else self._idle.capacity)
        for connection in self._idle.take_all():
            connection.inner.close()
        self._pid = os.getpid()  # last, so that no other thread takes the old lock

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request on the most recently used idle connection, or a new one."""
        if self._pid != os.getpid():
            self._reset()
        attempt = request.extensions.get(ATTEMPT) or Attempt()
        attempt.watched = True
        if not self._room.acquire(blocking=False):
            self._wait_for_room(request, attempt)
        try:
            connection = self._connect(request, attempt)
            try:
                response: httpcore.Response = connection.inner.handle_request(request)
            except BaseException:
                connection.inner.close()
                raise
        except BaseException:
            self._room.release()
            raise
        response.stream = PooledStream(response.stream, connection, self)
        return response

    def _wait_for_room(self, request: httpcore.Request, attempt: Attempt) -> None:
        timeout = clamp(attempt, request.extensions.get("timeout", {}).get("pool"), httpcore.PoolTimeout)
        if not self._room.acquire(timeout=timeout):
            msg = f"all {self._idle.capacity} connections are in use"
            raise httpcore.PoolTimeout(msg)

    def _connect(self, request: httpcore.Request, attempt: Attempt) -> Connection:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
                if connection is None:
                    connection = Connection(attempt)
                    backend = Backend(self._backend, connection)
                    connection.inner = create_connection(self._factory, request.url.origin, backend)
                    return connection
            if connection.inner.can_handle_request(request.url.origin) and not connection.inner.has_expired():
                connection.attempt = attempt
                attempt.reused = True
                return connection
            connection.inner.close()

    def give_back(self, connection: Connection) -> None:
        """Return a connection after its response was read or abandoned."""
        with self._lock:
            closing = self._idle.put(connection)
            if self._closed:
                closing += self._idle.take_all()
        for each in closing:
            each.inner.close()
        self._room.release()

    def close(self) -> None:
        """Close the idle connections; those in use are closed when they are returned."""
        with self._lock:
            self._closed = True
            connections = self._idle.take_all()
        for connection in connections:
            connection.inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # If the client was not closed, close its sockets without a warning at exit.
        try:
            for connection in self._idle.take_all():
                connection.inner.close()
        except Exception:  # noqa: BLE001, S110 - at exit anything may be gone, and no caller handles errors
            pass


class PooledStream:
    """A response body that returns its connection to the pool when closed."""

    def __init__(self, stream: Any, connection: Connection, pool: ConnectionPool) -> None:
        self._stream = stream
        self._connection: Connection | None = connection
        self._pool = pool

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def close(self) -> None:
        """Return the connection; safe to call twice."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                self._stream.close()
            finally:
                self._pool.give_back(connection)


class Transport(httpx.HTTPTransport):
    """httpx's transport with this pool and the same arguments."""

    def __init__(self, *, limits: httpx.Limits, **options: Any) -> None:
        super().__init__(limits=limits, **options)
        set_pool(self, ConnectionPool(pool_of(self), limits))
