"""The idle connections of one agent, the last one that came back on top. Pure bookkeeping, shared by both flavours."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from synapse_agent_sdk.runtime.transport._private import has_surplus

if TYPE_CHECKING:
    import httpx

    from synapse_agent_sdk.runtime.transport.network import Connection


class IdleConnections:
    """The idle connections of one agent. It neither waits nor locks."""

    def __init__(self, limits: httpx.Limits) -> None:
        self.capacity = limits.max_connections
        self._keep = limits.max_keepalive_connections
        self._expiry = limits.keepalive_expiry
        self._connections: deque[Connection] = deque()

    def take(self) -> Connection | None:
        """The connection that came back last, if any."""
        return self._connections.pop() if self._connections else None

    def put(self, connection: Connection) -> list[Connection]:
        """Take a connection back, and give those to be closed: it, if it cannot be used again, and one that expired."""
        if not connection.inner.is_idle() or has_surplus(connection.inner):
            return [connection]
        connection.idle_since = time.monotonic()
        closing = []
        if (
            self._connections
            and self._expiry is not None
            and connection.idle_since - self._connections[0].idle_since > self._expiry
        ):
            closing.append(self._connections.popleft())
        if self._keep is not None and len(self._connections) >= self._keep:
            closing.append(connection)
        else:
            self._connections.append(connection)
        return closing

    def clear(self) -> list[Connection]:
        """All connections, which are taken off the stack."""
        connections = list(self._connections)
        self._connections.clear()
        return connections
