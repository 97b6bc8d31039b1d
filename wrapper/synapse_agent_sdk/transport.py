"""Connections: httpx's transports, with the idle connections of one agent on a stack in place of httpcore's pool.

The last connection that came back is the first to be used again, so each request looks at one connection, where the
pool asks every idle one whether it is still alive. httpx's own classes stay in place around it: its proxies and TLS
options work, and so does what patches `HTTPTransport.handle_request`, as OpenTelemetry does.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Self

import httpcore
import httpx

from synapse_sdk.clients.agent import internals
from synapse_sdk.clients.agent.attempt import ATTEMPT, Attempt
from synapse_sdk.clients.agent.network import Backend, Line
from synapse_sdk.clients.agent.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator


class Pool:
    """Lends the connections of a stack to threads; it takes the place of a pool of httpcore."""

    def __init__(self, factory: httpcore.ConnectionPool, limits: httpx.Limits) -> None:
        self._factory = factory
        self._backend = internals.backend_of(factory)
        self._stack = Stack(limits)
        self._closed = False
        self._reset()

    def _reset(self) -> None:
        """Begin anew, as a process that was forked must: locks may be held by threads that are not there."""
        self._lock = threading.Lock()
        self._room = threading.Semaphore(self._stack.capacity) if self._stack.capacity is not None else None
        for line in self._stack.clear():
            line.connection.close()
        self._pid = os.getpid()  # last, so that no other thread takes the lock of before

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request on the connection that came back last, or on a new one."""
        if self._pid != os.getpid():
            self._reset()
        attempt = request.extensions.get(ATTEMPT) or Attempt()
        attempt.watched = True
        self._wait_for_room(request, attempt)
        try:
            line = self._line(request, attempt)
            try:
                response: httpcore.Response = line.connection.handle_request(request)
            except BaseException:
                line.connection.close()
                raise
        except BaseException:
            self._leave()
            raise
        response.stream = Body(response.stream, line, self)
        return response

    def _wait_for_room(self, request: httpcore.Request, attempt: Attempt) -> None:
        if self._room is not None and not self._room.acquire(blocking=False):
            timeout = attempt.cut(request.extensions.get("timeout", {}).get("pool"), httpcore.PoolTimeout)
            if not self._room.acquire(timeout=timeout):
                msg = f"all {self._stack.capacity} connections are in use"
                raise httpcore.PoolTimeout(msg)

    def _leave(self) -> None:
        if self._room is not None:
            self._room.release()

    def _line(self, request: httpcore.Request, attempt: Attempt) -> Line:
        while True:
            with self._lock:
                line = self._stack.take()
                if line is None:
                    line = Line(attempt)
                    backend = Backend(self._backend, line)
                    line.connection = internals.create_connection(self._factory, request.url.origin, backend)
                    return line
            if line.connection.can_handle_request(request.url.origin) and not line.connection.has_expired():
                line.attempt = attempt
                attempt.reused = True
                return line
            line.connection.close()

    def give_back(self, line: Line) -> None:
        """Take back a connection whose response was read, or given up."""
        with self._lock:
            closing = self._stack.put(line)
            if self._closed:
                closing += self._stack.clear()
        for each in closing:
            each.connection.close()
        self._leave()

    def close(self) -> None:
        """Close the idle connections; those in use are closed when they come back."""
        with self._lock:
            self._closed = True
            lines = self._stack.clear()
        for line in lines:
            line.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # Nobody closed the client: its sockets close with it, without a warning at exit.
        for line in self._stack.clear():
            line.connection.close()


class Body:
    """The body of a response, which gives its connection back when it is closed."""

    def __init__(self, stream: Any, line: Line, pool: Pool) -> None:
        self._stream = stream
        self._line: Line | None = line
        self._pool = pool

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def close(self) -> None:
        """Give the connection back; twice is harmless."""
        line, self._line = self._line, None
        if line is not None:
            try:
                self._stream.close()
            finally:
                self._pool.give_back(line)


class Transport(httpx.HTTPTransport):
    """httpx's transport on a stack of connections; it takes the same arguments."""

    def __init__(self, *, limits: httpx.Limits, **options: Any) -> None:
        super().__init__(limits=limits, **options)
        internals.set_pool(self, Pool(internals.pool_of(self), limits))
