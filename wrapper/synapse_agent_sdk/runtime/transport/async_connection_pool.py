"""Connection pool of the async client; see `connection_pool` for the design."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Self

import anyio
import httpcore
import httpx

from synapse_agent_sdk.runtime.transport._private import abandon, create_connection, pool_of, set_pool, unlock
from synapse_agent_sdk.runtime.transport.attempt import ATTEMPT, Attempt
from synapse_agent_sdk.runtime.transport.connection_pool import IdleConnections
from synapse_agent_sdk.runtime.transport.network import AsyncBackend, Connection, clamp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class AsyncConnectionPool:
    """Connection pool for the tasks of one event loop; replaces httpcore's."""

    def __init__(self, factory: httpcore.AsyncConnectionPool, limits: httpx.Limits) -> None:
        self._factory = factory
        # Not httpcore's default, which commits to asyncio or trio on first use.
        self._backend: Any = httpcore.AnyIOBackend()
        self._idle = IdleConnections(limits)
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None  # unused so far, or trio
        self._pid = os.getpid()
        self._entering = threading.Lock()
        self._busy = 0
        self._waiting: deque[anyio.Event] = deque()

    def _enter_loop(self) -> None:
        """Reset the pool in another event loop or a forked process.

        Raises:
            RuntimeError: If the previous loop is still in use: loops cannot share connections.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None  # trio
        if self._loop is loop and self._pid == os.getpid():
            return
        with self._entering:
            self._change_loop(loop)

    def _change_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
        before = self._loop if self._pid == os.getpid() else None
        if before is not None and not before.is_closed() and (self._busy or before.is_running()):
            msg = "the client is in use in another event loop: create one client per loop"
            raise RuntimeError(msg)
        for connection in self._idle.take_all():
            abandon(connection.inner, forked=self._pid != os.getpid())
        self._loop = loop
        self._pid = os.getpid()
        self._busy = 0
        self._waiting.clear()

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request on the most recently used idle connection, or a new one."""
        self._enter_loop()
        attempt = request.extensions.get(ATTEMPT) or Attempt()
        attempt.watched = True
        await self._wait_for_room(request, attempt)
        try:
            connection = await self._connect(request, attempt)
            connection.owner = self._loop
            try:
                response: httpcore.Response = await connection.inner.handle_async_request(request)
            except BaseException:
                await self._close([connection])
                raise
        except BaseException:
            self._leave()
            raise
        response.stream = AsyncPooledStream(response.stream, connection, self)
        return response

    async def _wait_for_room(self, request: httpcore.Request, attempt: Attempt) -> None:
        if self._idle.capacity is not None and self._busy >= self._idle.capacity:
            timeout = clamp(attempt, request.extensions.get("timeout", {}).get("pool"), httpcore.PoolTimeout)
            turn = anyio.Event()
            self._waiting.append(turn)
            try:
                with anyio.fail_after(timeout):
                    await turn.wait()
            except BaseException as error:
                if turn.is_set():
                    self._leave()  # pass this task's slot to the next one
                else:
                    self._waiting.remove(turn)
                if not isinstance(error, TimeoutError):
                    raise
                msg = f"all {self._idle.capacity} connections are in use"
                raise httpcore.PoolTimeout(msg) from None
        else:
            self._busy += 1

    def _leave(self) -> None:
        """Pass the slot to the longest-waiting task, or free it."""
        if self._waiting:
            self._waiting.popleft().set()
        else:
            self._busy -= 1

    async def _connect(self, request: httpcore.Request, attempt: Attempt) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.inner.can_handle_request(request.url.origin) and not connection.inner.has_expired():
                unlock(connection.inner)
                connection.attempt = attempt
                attempt.reused = True
                return connection
            await self._close([connection])
        connection = Connection(attempt)
        backend = AsyncBackend(self._backend, connection)
        connection.inner = create_connection(self._factory, request.url.origin, backend)
        return connection

    async def give_back(self, connection: Connection) -> None:
        """Return a connection after its response was read or abandoned; drop it if it belongs to an earlier loop."""
        if connection.owner is not self._loop:
            abandon(connection.inner)
            return
        closing = self._idle.put(connection)
        if self._closed:
            closing += self._idle.take_all()
        self._leave()
        if closing:
            await self._close(closing)

    async def _close(self, connections: list[Connection]) -> None:
        with anyio.CancelScope(shield=True):
            for connection in connections:
                await connection.inner.aclose()

    async def aclose(self) -> None:
        """Close the idle connections; those in use are closed when they are returned."""
        self._closed = True
        self._enter_loop()
        await self._close(self._idle.take_all())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # If the client was not closed, close its sockets without a warning at exit.
        try:
            for connection in self._idle.take_all():
                abandon(connection.inner, forked=self._pid != os.getpid())
        except Exception:  # noqa: BLE001, S110 - at exit anything may be gone, and no caller handles errors
            pass


class AsyncPooledStream:
    """A response body that returns its connection to the pool when closed."""

    def __init__(self, stream: Any, connection: Connection, pool: AsyncConnectionPool) -> None:
        self._stream = stream
        self._connection: Connection | None = connection
        self._pool = pool

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream.__aiter__()  # type: ignore[no-any-return]  # httpcore's stream is untyped

    async def aclose(self) -> None:
        """Return the connection; safe to call twice."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await self._stream.aclose()
            finally:
                await self._pool.give_back(connection)


class AsyncTransport(httpx.AsyncHTTPTransport):
    """httpx's transport with this pool and the same arguments."""

    def __init__(self, *, limits: httpx.Limits, **options: Any) -> None:
        super().__init__(limits=limits, **options)
        set_pool(self, AsyncConnectionPool(pool_of(self), limits))
