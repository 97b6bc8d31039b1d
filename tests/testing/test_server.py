"""The server with faults, by itself."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import pytest
from synapse_agent_sdk import AgentClient
from synapse_agent_sdk.testing.faults import lost_answer, reply, status
from synapse_agent_sdk.testing.server import FaultServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def impatience() -> Iterator[None]:
    """Threads that take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("impatience")
def test_the_server_closes_while_connections_come_in() -> None:
    """A connection that comes while the server closes is closed with it, and nothing is raised."""
    for _ in range(2000):  # that is four times as many as it took to see it fail
        with FaultServer([reply({})]) as server:
            connection = socket.create_connection(("127.0.0.1", server.port))
        connection.close()
        assert server.open_connections == set()


def test_a_server_of_faults_needs_no_agent() -> None:
    """A FaultServer answers as it is told, keeps what arrived, and has no agent's answer to damage."""
    with FaultServer([status(503), reply({"id": 7})]) as server, AgentClient(server.url) as client:
        assert client.get_plugin_release(7)["id"] == 7
        seen = server.requests
    assert [(call.method, call.path, call.operation) for call in seen] == [("GET", "/plugin_releases/7", None)] * 2
    with socket.socket() as connection, pytest.raises(RuntimeError, match="no agent behind this server"):
        lost_answer()(connection)
