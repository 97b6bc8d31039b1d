"""The idle connections of one agent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpcore
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synapse_sdk.clients.agent.attempt import Attempt
from synapse_sdk.clients.agent.network import Line
from synapse_sdk.clients.agent.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Sequence

ORIGIN = httpcore.Origin(b"http", b"agent", 80)


def line(*, surplus: bytes = b"", idle: bool = True) -> Line:
    """A line whose connection carried one exchange."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" + surplus
    made = Line(Attempt())
    made.connection = httpcore.HTTP11Connection(ORIGIN, httpcore.MockStream([answer]))
    response = made.connection.handle_request(httpcore.Request("GET", "http://agent/", headers=[("Host", "agent")]))
    response.read()
    if idle:
        response.close()
    return made


def stack(keep: int | None = None, expiry: float | None = None) -> Stack:
    """A stack with these limits."""
    return Stack(httpx.Limits(max_keepalive_connections=keep, keepalive_expiry=expiry))


def put_all(onto: Stack, lines: Sequence[Line]) -> list[Line]:
    """Put lines onto a stack, and give those that are to be closed."""
    return [closing for each in lines for closing in onto.put(each)]


def test_the_last_connection_back_is_the_first_out() -> None:
    """The connection that came back last is used first, since it is the one that is surely open."""
    lines = [line() for _ in range(3)]
    idle = stack()
    assert put_all(idle, lines) == []
    assert [idle.take() for _ in range(4)] == [*reversed(lines), None]


def test_an_empty_stack_has_none() -> None:
    """Without idle connections there is none to take."""
    assert stack().take() is None
    assert stack().clear() == []


@pytest.mark.parametrize("bad", [line(surplus=b"HTTP/1.1 200 OK\r\n\r\n"), line(idle=False)], ids=["surplus", "busy"])
def test_a_connection_that_cannot_be_used_again_is_closed(bad: Line) -> None:
    """A connection with bytes behind its answer, or with an answer unread, is not kept."""
    idle = stack()
    assert idle.put(bad) == [bad]
    assert idle.take() is None


@given(st.integers(0, 5), st.integers(0, 8))
def test_no_more_are_kept_than_the_limit(keep: int, count: int) -> None:
    """At most max_keepalive_connections are kept, and every other is handed back to be closed."""
    lines = [line() for _ in range(count)]
    idle = stack(keep=keep)
    closing = put_all(idle, lines)
    kept = idle.clear()
    assert len(kept) == min(keep, count)
    assert sorted(map(id, kept + closing)) == sorted(map(id, lines))


def test_what_expired_is_closed_one_by_one() -> None:
    """A connection that was idle for too long is closed when another comes back."""
    old, new = line(), line()
    idle = stack(expiry=5)
    idle.put(old)
    old.idle_since = time.monotonic() - 6
    assert idle.put(new) == [old]
    assert idle.clear() == [new]


def test_clearing_gives_all() -> None:
    """Clearing takes every connection off the stack."""
    lines = [line() for _ in range(3)]
    idle = stack()
    put_all(idle, lines)
    assert idle.clear() == lines
    assert idle.take() is None


def test_the_capacity_is_that_of_the_limits() -> None:
    """How many connections there may be is max_connections."""
    assert Stack(httpx.Limits(max_connections=7)).capacity == 7
    assert Stack(httpx.Limits()).capacity is None
