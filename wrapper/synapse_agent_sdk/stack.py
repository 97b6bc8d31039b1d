"""The idle connections of one agent, the last one that came back on top. Pure bookkeeping, shared by both flavours."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from synapse_sdk.clients.agent import internals

if TYPE_CHECKING:
    import httpx

    from synapse_sdk.clients.agent.network import Line


class Stack:
    """The idle connections of one agent. It neither waits nor locks."""

    def __init__(self, limits: httpx.Limits) -> None:
        self.capacity = limits.max_connections
        self._keep = limits.max_keepalive_connections
        self._expiry = limits.keepalive_expiry
        self._lines: deque[Line] = deque()

    def take(self) -> Line | None:
        """The connection that came back last, if any."""
        return self._lines.pop() if self._lines else None

    def put(self, line: Line) -> list[Line]:
        """Take a connection back, and give those to be closed: it, if it cannot be used again, and one that expired."""
        if not line.connection.is_idle() or internals.has_surplus(line.connection):
            return [line]
        line.idle_since = time.monotonic()
        closing = []
        if self._lines and self._expiry is not None and line.idle_since - self._lines[0].idle_since > self._expiry:
            closing.append(self._lines.popleft())
        if self._keep is not None and len(self._lines) >= self._keep:
            closing.append(line)
        else:
            self._lines.append(line)
        return closing

    def clear(self) -> list[Line]:
        """All connections, which are taken off the stack."""
        lines = list(self._lines)
        self._lines.clear()
        return lines
