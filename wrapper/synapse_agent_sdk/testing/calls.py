"""The calls that arrived at an agent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from collections.abc import Collection

    from synapse_agent_sdk.testing.server import Received


def check_operation(name: str, known: Collection[str]) -> None:
    """Reject an unknown operation: a misspelled name would never match a call.

    Raises:
        ValueError: If the contract has no such operation.
    """
    if name not in known:
        msg = f"Unknown operation {name!r:.100}: the contract has {', '.join(sorted(known))}"
        raise ValueError(msg)


class AgentCalls(Sequence["Received"]):
    """The calls that arrived, in order, including retries and calls that met a fault.

    Args:
        known: The names of the contract's operations.

    Attributes:
        is_recording: Whether new calls are recorded.

    Example:
        >>> from synapse_agent_sdk.testing.agent import ProxiedAgent
        >>> with ProxiedAgent("examples/plugins") as agent, AgentClient(agent.url, agent.token) as client:
        ...     release = client.create_plugin_release("text_stats", "1.0.0")
        ...     print(agent.calls.operations, agent.calls[0].json)
        ['create_plugin_release'] {'plugin': 'text_stats', 'version': '1.0.0'}
    """

    def __init__(self, known: Collection[str]) -> None:
        self._known = known
        self._received: list[Received] = []
        self.is_recording = True

    def record(self, call: Received) -> None:
        """Record a call if recording is on."""
        if self.is_recording:
            self._received.append(call)

    @overload
    def __getitem__(self, index: int) -> Received: ...
    @overload
    def __getitem__(self, index: slice) -> list[Received]: ...
    def __getitem__(self, index: int | slice) -> Received | list[Received]:
        return self._received[index]

    def __len__(self) -> int:
        return len(self._received)

    def __repr__(self) -> str:
        return f"AgentCalls({self._received})"

    @property
    def operations(self) -> list[str | None]:
        """The operation name of each call in the contract; None for unknown operations."""
        return [call.operation for call in list(self._received)]

    def of(self, operation: str) -> list[Received]:
        """The calls of one operation.

        Args:
            operation: The name in the contract, such as `run_plugin_release`.

        Returns:
            The calls, in order of arrival.

        Raises:
            ValueError: If the contract has no such operation.
        """
        check_operation(operation, self._known)
        return [call for call in list(self._received) if call.operation == operation]

    def clear(self) -> None:
        """Remove the recorded calls."""
        self._received.clear()
