"""A server in front of an agent that injects faults and forwards all other requests."""

from __future__ import annotations

import contextlib
import math
import selectors
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import h11

from synapse_agent_sdk.testing.calls import AgentCalls, check_operation
from synapse_agent_sdk.testing.faults import Fault
from synapse_agent_sdk.testing.server import CHUNK, FaultServer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from synapse_agent_sdk.testing.server import Received


@dataclass
class _Planned:
    """A planned fault."""

    fault: Fault
    operation: str | None
    times: float
    """The number of calls still to meet it; infinite for `always`."""
    is_met: bool = False

    def __repr__(self) -> str:
        times = "" if self.times in {1, math.inf} else f", times={self.times}"
        operation = "" if self.operation is None else f", operation={self.operation!r}"
        return f"{'always' if self.times == math.inf else 'next'}({self.fault}{times}{operation})"


class AgentFaults:
    """The faults for the next calls. Calls without a fault go through to the agent.

    Example:
        >>> from synapse_agent_sdk.testing.agent import ProxiedAgent
        >>> from synapse_agent_sdk.testing.faults import status
        >>> with ProxiedAgent("examples/plugins") as agent, AgentClient(agent.url, agent.token) as client:
        ...     agent.faults.next(status(503), times=2)
        ...     print(client.health_check()["status"], agent.calls.operations)
        ok ['health_check', 'health_check', 'health_check']
    """

    def __init__(self, known: Collection[str], down: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
        self._known = known
        self._down = down
        self._planned: list[_Planned] = []
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"AgentFaults({self._planned})"

    def next(self, *faults: Fault, times: int = 1, operation: str | None = None) -> None:
        """Queue faults for the next calls, in order, after those already queued.

        Args:
            faults: The faults, one per call.
            times: The number of calls that meet each fault.
            operation: Only calls of this operation in the contract meet the faults, such as `run_plugin_release`.
                Default: any call.

        Raises:
            TypeError: If an argument is not a fault: pass `status(503)`, not `status`.
            ValueError: If `times` is less than 1, or the contract has no such operation.
        """
        if not isinstance(times, int) or isinstance(times, bool) or times < 1:
            msg = f"times must be an integer of 1 or more, not {times!r:.100}: use always() for a permanent fault"
            raise ValueError(msg)
        self._plan(faults, times, operation)

    def always(self, fault: Fault, *, operation: str | None = None) -> None:
        """Make every call meet a fault until `clear()`, once the faults of `next` are used up.

        Args:
            fault: The fault.
            operation: Only calls of this operation in the contract meet the fault. Default: every call.

        Raises:
            TypeError: If it is not a fault.
            ValueError: If the contract has no such operation.
        """
        self._plan((fault,), math.inf, operation)

    def down(self) -> contextlib.AbstractContextManager[None]:
        """Close open connections and refuse new ones for a block.

        Returns:
            A context manager; afterwards the agent is back at the same URL, in the same state.

        Example:
            >>> from synapse_agent_sdk.testing.agent import ProxiedAgent
            >>> from synapse_agent_sdk.exceptions import ClientConnectionError
            >>> with ProxiedAgent("examples/plugins") as agent, AgentClient(agent.url, retry=None) as client:
            ...     with agent.faults.down():
            ...         try:
            ...             client.health_check()
            ...         except ClientConnectionError:
            ...             print("down")
            ...     print(client.health_check()["status"])
            down
            ok
        """
        return self._down()

    @property
    def unmet(self) -> list[str]:
        """The faults that calls have not met as often as planned, as strings."""
        with self._lock:
            return [repr(each) for each in self._planned if each.times != math.inf or not each.is_met]

    def clear(self) -> None:
        """Remove the remaining faults."""
        with self._lock:
            self._planned.clear()

    def _plan(self, faults: tuple[Fault, ...], times: float, operation: str | None) -> None:
        if operation is not None:
            check_operation(operation, self._known)
        for fault in faults:
            if not isinstance(fault, Fault):
                msg = f"Pass a fault from synapse_agent_sdk.testing.faults, such as status(503), not {fault!r:.100}"
                raise TypeError(msg)
        if not faults:
            msg = "No fault was passed: use a fault such as next(status(503))"
            raise TypeError(msg)
        with self._lock:
            self._planned += [_Planned(fault, operation, times) for fault in faults]

    def take(self, operation: str | None) -> Fault | None:
        """Take the fault for a call, or None; faults of `next` come before those of `always`."""
        with self._lock:
            meant = [each for each in self._planned if each.operation in {None, operation}]
            for planned in sorted(meant, key=lambda each: each.times == math.inf):  # stable sort keeps the order
                planned.times -= 1
                planned.is_met = True
                if not planned.times:
                    self._planned.remove(planned)
                return planned.fault
        return None


class Proxy(FaultServer):
    """The server in front of an agent.

    Args:
        upstream: The agent's host and port.
        operations: The names of the contract's operations.
        operation_of: Returns the operation for a method and a target, or None.
    """

    def __init__(
        self,
        upstream: tuple[str, int],
        operations: Collection[str],
        operation_of: Callable[[str, str], str | None],
    ) -> None:
        super().__init__([], operation_of=operation_of)
        self._upstream = upstream
        self.faults = AgentFaults(operations, self.down)
        self.calls = AgentCalls(operations)

    def respond(self, connection: socket.socket, request: Received) -> bool:
        """Record a request, then inject its fault or forward it to the agent."""
        with self._lock:
            self.calls.record(request)
            fault = self.faults.take(request.operation)
        if fault is None:
            return self._forward(request, connection, connection.sendall)

        def forward() -> bytes:
            parts: list[bytes] = []
            self._forward(request, connection, parts.append)
            return b"".join(parts)

        return fault(connection, forward)

    def _forward(self, request: Received, client: socket.socket, send: Callable[[bytes], object]) -> bool:
        """Forward a request, stream the response, and return whether the connection stays open.

        Raises:
            ConnectionError: If the caller disconnects; the connection to the agent is then closed, too.
        """
        with socket.create_connection(self._upstream) as upstream:
            parser = h11.Connection(h11.CLIENT)
            head = h11.Request(method=request.method, target=request.target, headers=request.headers.pairs)
            events: list[h11.Event] = [head, h11.Data(data=request.body), h11.EndOfMessage()]
            upstream.sendall(b"".join(parser.send(event) or b"" for event in events))
            with selectors.DefaultSelector() as selector:
                selector.register(upstream, selectors.EVENT_READ)
                selector.register(client, selectors.EVENT_READ)
                while not isinstance(event := parser.next_event(), h11.EndOfMessage | h11.ConnectionClosed):
                    if event is h11.NEED_DATA:
                        _wait_for(upstream, client, selector)
                        data = upstream.recv(CHUNK)
                        parser.receive_data(data)
                        send(data)
            return parser.their_state is not h11.MUST_CLOSE and isinstance(event, h11.EndOfMessage)

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """Refuse connections for a block."""
        self._hang_up()
        # A bound socket that does not listen refuses connections and reserves the port.
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self.port))
        try:
            yield
        finally:
            self._listener.listen()
            self._start(self._accept, self._listener)


def _wait_for(upstream: socket.socket, client: socket.socket, selector: selectors.BaseSelector) -> None:
    """Wait until the agent sends.

    Raises:
        ConnectionError: If the caller disconnects first.
    """
    while upstream not in (ready := [key.fileobj for key, _ in selector.select()]):
        if client in ready and client.recv(1, socket.MSG_PEEK) == b"":
            msg = "the caller disconnected"
            raise ConnectionError(msg)
        selector.unregister(client)  # it is already sending the next request
