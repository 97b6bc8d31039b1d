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


class Keys:
    """The keys of one agent, in its database. For the thread of the agent's event loop."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._connection.executescript(SCHEMA)
        self._running: dict[str, tuple[str, asyncio.Task[Reply]]] = {}

    def running(self) -> frozenset[str]:
        """The keys whose call is carried out now."""
        return frozenset(self._running)

    async def finish(self) -> None:
        """Wait for the calls that are still carried out, whose callers may have gone."""
        await asyncio.gather(*(task for _, task in self._running.values()), return_exceptions=True)

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
        if key not in self._running:
            row = self._connection.execute("SELECT fingerprint, status, body FROM keys WHERE key = ?", (key,))
            if known := row.fetchone():
                first, status, body = known
                _check(first, call)
                return (500, json.dumps(DIED).encode()) if status is None else (status, body)
            task = asyncio.create_task(self._first(key, call, carry_out))
            self._running[key] = (call, task)
            task.add_done_callback(lambda _: self._running.pop(key))
        first, task = self._running[key]
        _check(first, call)
        return await asyncio.shield(task)  # whoever waits may go away; the others still want the answer

    async def _first(self, key: str, call: str, carry_out: Callable[[Callable[[], None]], Awaitable[Reply]]) -> Reply:
        def begin() -> None:
            values = (key, call, time.time())
            self._connection.execute("INSERT INTO keys (key, fingerprint, created) VALUES (?, ?, ?)", values)

        status, body = await carry_out(begin)
        self._connection.execute("UPDATE keys SET status = ?, body = ? WHERE key = ?", (status, body, key))
        return status, body


def _check(first: str, call: str) -> None:
    if first != call:
        raise KeyReusedError
