"""Idle connections to one agent."""

from __future__ import annotations

import time

import httpcore
import httpx
from synapse_agent_sdk.runtime.transport.attempt import Attempt
from synapse_agent_sdk.runtime.transport.connection_pool import IdleConnections
from synapse_agent_sdk.runtime.transport.network import Connection

ORIGIN = httpcore.Origin(b"http", b"agent", 80)


def line(*, surplus: bytes = b"", idle: bool = True) -> Connection:
    """A connection that was used for one exchange."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" + surplus
    made = Connection(Attempt())
    made.inner = httpcore.HTTP11Connection(ORIGIN, httpcore.MockStream([answer]))
    response = made.inner.handle_request(httpcore.Request("GET", "http://agent/", headers=[("Host", "agent")]))
    response.read()
    if idle:
        response.close()
    return made


def test_the_last_connection_back_is_the_first_out() -> None:
    """The most recently used connection is reused first; a broken or expired one is closed."""
    idle = IdleConnections(httpx.Limits(keepalive_expiry=5000))
    lines = [line() for _ in range(3)]
    assert [idle.put(each) for each in lines] == [[], [], []]
    for spoilt in (line(surplus=b"HTTP/1.1 200 OK\r\n\r\n"), line(idle=False)):
        assert idle.put(spoilt) == [spoilt]
    lines[0].idle_since = time.monotonic() - 6000
    new = line()
    assert idle.put(new) == [lines[0]]
    assert [idle.pop() for _ in range(3)] == [new, lines[2], lines[1]]


def test_no_more_are_kept_than_the_limit() -> None:
    """At most max_keepalive_connections are kept, the rest are returned for closing, and take_all returns all."""
    lines = [line() for _ in range(5)]
    for keep in (0, 2, 5, 6):
        idle = IdleConnections(httpx.Limits(max_connections=7, max_keepalive_connections=keep))
        closing = [each for back in lines for each in idle.put(back)]
        assert idle.take_all() + closing == lines
        assert (len(closing), len(idle), idle.capacity) == (max(5 - keep, 0), 0, 7)
