"""Idempotency keys: a request with a key is carried out once, and a repeat gets the first response."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Callable

    Reply = tuple[int, bytes]
    """A status and a body."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (
    key TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    created REAL NOT NULL,
    status INTEGER,
    body BLOB
);
CREATE INDEX IF NOT EXISTS keys_by_age ON keys (created);
"""
DIED = {
    "error_type": "action_crashed",
    "detail": "The agent ended during the run with this idempotency key, which may have had effects: check them before "
    "you run it again with a new key.",
}


class KeyReusedError(Exception):
    """The key was used for another request."""


def fingerprint(*call: Any) -> str:
    """A hash of a request; the order of JSON keys does not matter."""
    return hashlib.sha256(json.dumps(call, sort_keys=True).encode()).hexdigest()


class IdempotencyStore:
    """The keys of one agent, in its database. Use it only on the event loop's thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._connection.executescript(SCHEMA)
        self._running: dict[str, tuple[str, asyncio.Future[Reply]]] = {}

    def running(self) -> frozenset[str]:
        """The keys of requests that are running now."""
        return frozenset(self._running)

    async def finish(self) -> None:
        """Wait for the running requests."""
        await asyncio.gather(*(reply for _, reply in self._running.values()), return_exceptions=True)

    async def run_once(self, key: str, call: str, carry_out: Callable[[Callable[[], None]], Awaitable[Reply]]) -> Reply:
        """Carry out a request, or return the response to the first one with its key, waiting for it if needed.

        Args:
            key: The key.
            call: The fingerprint of the request.
            carry_out: Carries it out. It takes a function to call at the point after which the request must not be
                repeated; errors raised before that are not remembered.

        Raises:
            KeyReusedError: If the key was used for another request.
        """
        key = key.lower()
        if key in self._running:
            first, reply = self._running[key]
            _check(first, call)
            return await asyncio.shield(reply)  # a cancelled repeat must not cancel the others
        row = self._connection.execute("SELECT fingerprint, status, body FROM keys WHERE key = ?", (key,)).fetchone()
        if row is None:
            return await self._first(key, call, carry_out)
        first, status, body = row
        _check(first, call)
        return (500, json.dumps(DIED).encode()) if status is None else (status, body)

    async def _first(self, key: str, call: str, carry_out: Callable[[Callable[[], None]], Awaitable[Reply]]) -> Reply:
        def begin() -> None:
            values = (key, call, time.time())
            self._connection.execute("INSERT INTO keys (key, fingerprint, created) VALUES (?, ?, ?)", values)

        reply = asyncio.get_running_loop().create_future()
        self._running[key] = (call, reply)
        try:
            status, body = await carry_out(begin)
            self._connection.execute("UPDATE keys SET status = ?, body = ? WHERE key = ?", (status, body, key))
            reply.set_result((status, body))
        except Exception as failure:
            reply.set_exception(failure)
            reply.exception()  # mark it as retrieved: maybe nobody else waits
            raise
        finally:
            del self._running[key]
            reply.cancel()  # if this request was cancelled
        return status, body


def _check(first: str, call: str) -> None:
    if first != call:
        raise KeyReusedError
