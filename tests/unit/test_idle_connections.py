"""Idle connections to one agent."""

from __future__ import annotations

import time

import httpcore
import httpx
from synapse_agent_sdk.runtime.transport.attempt import Attempt
from synapse_agent_sdk.runtime.transport.connection_pool import IdleConnections
from synapse_agent_sdk.runtime.transport.network import Connection

ORIGIN = httpcore.Origin(b"http", b"agent", 80)


def used_connection(*, surplus: bytes = b"", idle: bool = True) -> Connection:
    """A connection that was used for one exchange."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" + surplus
    made = Connection(Attempt())
    made.inner = httpcore.HTTP11Connection(ORIGIN, httpcore.MockStream([answer]))
    response = made.inner.handle_request(httpcore.Request("GET", "http://agent/", headers=[("Host", "agent")]))
    response.read()
    if idle:
        response.close()
    return made


def test_the_most_recently_used_connection_is_reused_first() -> None:
    """The most recently used connection is reused first; a broken or expired one is closed."""
    idle = IdleConnections(httpx.Limits(keepalive_expiry=5000))
    connections = [used_connection() for _ in range(3)]
    assert [idle.put(each) for each in connections] == [[], [], []]
    for spoilt in (used_connection(surplus=b"HTTP/1.1 200 OK\r\n\r\n"), used_connection(idle=False)):
        assert idle.put(spoilt) == [spoilt]
    connections[0].idle_since = time.monotonic() - 6000
    new = used_connection()
    assert idle.put(new) == [connections[0]]
    assert [idle.pop() for _ in range(3)] == [new, connections[2], connections[1]]


def test_idle_connections_are_limited() -> None:
    """At most max_keepalive_connections are kept, the rest are returned for closing, and take_all returns all."""
    connections = [used_connection() for _ in range(5)]
    for keep in (0, 2, 5, 6):
        idle = IdleConnections(httpx.Limits(max_connections=7, max_keepalive_connections=keep))
        closing = [each for back in connections for each in idle.put(back)]
        assert idle.take_all() + closing == connections
        assert (len(closing), len(idle), idle.capacity) == (max(5 - keep, 0), 0, 7)
