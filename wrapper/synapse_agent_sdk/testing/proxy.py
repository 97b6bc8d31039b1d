"""A server in front of an agent: it makes the faults that it is told to, and passes everything else on."""

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
    """A fault that was asked for."""

    fault: Fault
    operation: str | None
    times: float
    """How often it is still to be met; infinite for one that stays."""
    is_met: bool = False

    def __repr__(self) -> str:
        times = "" if self.times in {1, math.inf} else f", times={self.times}"
        operation = "" if self.operation is None else f", operation={self.operation!r}"
        return f"{'always' if self.times == math.inf else 'next'}({self.fault}{times}{operation})"


class AgentFaults:
    """The faults that the next calls meet. A call that meets none is answered by the agent.

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
        """Have the next calls meet faults, in their order, behind those that were asked for before.

        Args:
            faults: The faults, one for each call.
            times: How many calls each of them is for.
            operation: The contract's name of the calls that are meant, such as `run_plugin_release`. All others pass.
                Where left out, any call is meant.

        Raises:
            TypeError: If one is no fault; `status(503)` is one, and `status` is none.
            ValueError: If `times` is less than 1, or the contract has no such operation.
        """
        if not isinstance(times, int) or isinstance(times, bool) or times < 1:
            msg = f"times must be a whole number, 1 or more, not {times!r:.100}: always() makes a fault that stays"
            raise ValueError(msg)
        self._plan(faults, times, operation)

    def always(self, fault: Fault, *, operation: str | None = None) -> None:
        """Have every call meet a fault, once those that `next` asked for are used up, until `clear()`.

        Args:
            fault: The fault.
            operation: The contract's name of the calls that are meant. Where left out, every call is.

        Raises:
            TypeError: If it is no fault.
            ValueError: If the contract has no such operation.
        """
        self._plan((fault,), math.inf, operation)

    def down(self) -> contextlib.AbstractContextManager[None]:
        """Have nobody listen at the agent's URL for a block: connections are closed, and further ones refused.

        Returns:
            A context manager; after it the agent is back, at the same URL and as it was.

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
        """The faults that no call has met as often as was asked for, as texts."""
        with self._lock:
            return [repr(each) for each in self._planned if each.times != math.inf or not each.is_met]

    def clear(self) -> None:
        """Drop the faults that are left."""
        with self._lock:
            self._planned.clear()

    def _plan(self, faults: tuple[Fault, ...], times: float, operation: str | None) -> None:
        if operation is not None:
            check_operation(operation, self._known)
        for fault in faults:
            if not isinstance(fault, Fault):
                msg = f"A fault of synapse_agent_sdk.testing.faults is needed, such as status(503), not {fault!r:.100}"
                raise TypeError(msg)
        if not faults:
            msg = "No fault was given: next(status(503)) has the next call fail"
            raise TypeError(msg)
        with self._lock:
            self._planned += [_Planned(fault, operation, times) for fault in faults]

    def take(self, operation: str | None) -> Fault | None:
        """The fault that a call meets, or None; those that are used up go first."""
        with self._lock:
            meant = [each for each in self._planned if each.operation in {None, operation}]
            for planned in sorted(meant, key=lambda each: each.times == math.inf):  # stable: else in their order
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
        operation_of: Tells the operation of a method and a target, or None.
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
        """Remember a request, and have the fault that it meets act, or the agent answer."""
        with self._lock:
            self.calls.record(request)
            fault = self.faults.take(request.operation)
        if fault is None:
            return self._pass_on(request, connection, connection.sendall)

        def forward() -> bytes:
            parts: list[bytes] = []
            self._pass_on(request, connection, parts.append)
            return b"".join(parts)

        return fault(connection, forward)

    def _pass_on(self, request: Received, client: socket.socket, send: Callable[[bytes], object]) -> bool:
        """Have the agent carry out a request, send on its answer as it comes, and say whether that leaves it open.

        Raises:
            ConnectionError: If the caller goes away meanwhile; the agent is then left too, as it would be without us.
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
        # Bound without listening it refuses, and nobody else is given the port.
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
        ConnectionError: If the caller goes away before.
    """
    while upstream not in (ready := [key.fileobj for key, _ in selector.select()]):
        if client in ready and client.recv(1, socket.MSG_PEEK) == b"":
            msg = "the caller went away"
            raise ConnectionError(msg)
        selector.unregister(client)  # it sends its next request already
