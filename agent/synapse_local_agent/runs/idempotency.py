"""Idempotency keys: a call with a key is carried out once, and a repeat is answered with the first answer."""

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
    "detail": "The agent ended while it ran the action for this idempotency key. It may have been carried out in part: "
    "look at what it did, and use a new key to run it again.",
}


class KeyReusedError(Exception):
    """The key was used for another call."""


def fingerprint(*call: Any) -> str:
    """A hash of what a call asks for, the same for the same JSON however it was written."""
    return hashlib.sha256(json.dumps(call, sort_keys=True).encode()).hexdigest()


class IdempotencyStore:
    """The keys of one agent, in its database. For the thread of the agent's event loop."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._connection.executescript(SCHEMA)
        self._running: dict[str, tuple[str, asyncio.Future[Reply]]] = {}

    def running(self) -> frozenset[str]:
        """The keys whose call is carried out now."""
        return frozenset(self._running)

    async def finish(self) -> None:
        """Wait for the calls that are still carried out."""
        await asyncio.gather(*(reply for _, reply in self._running.values()), return_exceptions=True)

    async def once(self, key: str, call: str, carry_out: Callable[[Callable[[], None]], Awaitable[Reply]]) -> Reply:
        """Carry out a call, or answer with what became of it when it came first, be it still running.

        Args:
            key: The key.
            call: The fingerprint of the call.
            carry_out: Carries it out. It is given a function to call at the moment from which on the call must not be
                carried out again; what it raises before that is not remembered.

        Raises:
            KeyReusedError: If the key came with another call.
        """
        key = key.lower()
        if key in self._running:
            first, reply = self._running[key]
            _check(first, call)
            return await asyncio.shield(reply)  # a repeat that goes away leaves the others waiting
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
            reply.exception()  # nobody else may have asked for it
            raise
        finally:
            del self._running[key]
            reply.cancel()  # where this call was cancelled
        return status, body


def _check(first: str, call: str) -> None:
    if first != call:
        raise KeyReusedError
